//! Nodes over the loopback transport, in one process and on a paused clock.
#![allow(missing_docs, reason = "a test")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may panic, and starts tasks of its own"
)]

mod agents;
mod attaching;
mod capacity;
mod counting;
mod draining;
mod faults;
mod grouping;
mod harness;
mod health;
mod hooks;
mod lives;
mod moving;
mod never;
mod overtaken;
mod panics;
mod parking;
mod placing;
mod reads;
mod rebalancing;
mod relaying;
mod reminders;
mod requests;
mod sending;
mod single;
mod sourced;
mod stampede;
mod starting;
mod supervision;
mod telemetry;
mod unsaved;
mod versions;
