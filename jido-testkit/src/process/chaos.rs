//! Breaks a cluster of real processes under load, and judges what its clients saw.
//!
//! [`run`] lets clients increment and read while nodes are killed, paused and
//! terminated, and their Postgres server restarted; [`failover`] measures how soon
//! what was lost serves again. Both drive nodes that keep to the contract of
//! [`process`](crate::process).

pub mod failover;
mod fault;
mod figures;
mod injector;
mod report;
mod run;
pub(super) mod stage;

pub use fault::FaultKind;
pub use figures::Figures;
pub use report::Report;
pub use run::{Options, run};
pub use stage::{Stage, Store};
