//! A whole cluster in one thread, from one seed.
//!
//! [`simulate`] runs a world on a paused clock; a [`SimCluster`] in it runs nodes of
//! the real code, over a network, a storage, clocks and chance that are simulated and
//! do all the harm that the real ones may. The same seed gives the same run, to the
//! last envelope, and [`Traced::hash`] tells whether it did.

mod cluster;
mod environment;
mod network;
mod panics;
mod storage;
mod trace;
pub mod workload;
mod world;

pub use cluster::{CLUSTER, Client, MANAGER, SimCluster};
pub use storage::{Applied, Change, Journal, StorageFaults};
pub use trace::Traced;
pub use world::{World, simulate};
