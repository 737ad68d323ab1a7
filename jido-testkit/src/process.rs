//! Clusters of real processes.
//!
//! [`ProcessCluster`] runs nodes of a binary that keeps to the demo node's
//! contract: it takes `--name`, `--listen`, `--http`, `--seed` and `--storage`,
//! finds the cookie in `JIDO_COOKIE`, and answers `GET /readyz` with 200 once it
//! serves. [`DemoClient`] speaks the rest of that contract, [`Load`] is many
//! such clients at once that keep a history, [`chaos`] breaks what they work with, and
//! [`drill`] has a zone of it fail and tells how well the others bore it.
//! With [`Namespaces`] the nodes' network loses packets.

mod balancer;
mod builder;
pub mod chaos;
mod client;
mod cluster;
pub mod drill;
mod http;
mod load;
pub(crate) mod logs;
mod namespaces;
mod node;
mod place;
pub(crate) mod ports;
mod program;
mod recovery;
mod replies;

pub use balancer::{Balancer, Picked};
pub use builder::ProcessClusterBuilder;
pub use client::{DemoClient, Inc};
pub use cluster::ProcessCluster;
use load::request_id;
pub use load::{Load, LoadCounts, LoadOptions, LoadReport};
pub use logs::Log;
pub use namespaces::{End, Namespaces};
pub use node::ProcessNode;
pub use program::{node_program, say, unless_told_to_end};
pub use replies::{CounterReply, Member, Move, OwnerReply, RebalancePlan, Rebalanced, Stats};
