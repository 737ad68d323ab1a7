//! Nodes over the loopback transport, in one process and on a paused clock.
#![allow(missing_docs, reason = "a test")]

mod agents;
mod faults;
mod harness;
mod moving;
mod single;
mod starting;
