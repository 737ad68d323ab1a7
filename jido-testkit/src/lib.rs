//! What jido, and services built on it, are tested with.
//!
//! - [`process`]: clusters of real processes that can be killed, paused,
//!   terminated and restarted, a client of the demo node's HTTP contract, and load
//!   from many such clients at once;
//! - [`counters`]: the history of increments that such clients saw, and the check
//!   that none was lost, doubled or reordered;
//! - [`postgres`]: a Postgres server in a temporary folder, which can be stopped,
//!   paused and started again.

pub mod counters;
mod error;
pub mod postgres;
pub mod process;
mod wiring;

pub use error::{Error, ErrorKind};
