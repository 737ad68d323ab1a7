//! What jido, and services built on it, are tested with.
//!
//! - [`sim`]: whole clusters of the real code in one thread, from one seed, with all
//!   that can go wrong; [`sim::workload`] plans work and faults, and judges the run;
//! - [`history`] and [`check`]: what clients saw, held against what is stored, one
//!   invariant a file;
//! - [`process`]: clusters of real processes that can be killed, paused,
//!   terminated and restarted, a client of the demo node's HTTP contract, load
//!   from many such clients at once, and [`process::chaos`], which breaks all that;
//! - [`counters`]: the check of what such clients saw: no increment lost, doubled or
//!   reordered, and no read that went back;
//! - [`check_replay`]: an event-sourced agent's thread, held against the agent that was
//!   live;
//! - [`postgres`]: a Postgres server in a temporary folder, which can be stopped,
//!   paused and started again.

pub mod check;
pub mod counters;
mod error;
pub mod history;
pub mod postgres;
pub mod process;
mod replay;
pub mod sim;
mod wiring;

pub use error::{Error, ErrorKind};
pub use replay::check_replay;

/// The code on the page compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../../docs/testing.md")]
struct Testing;
