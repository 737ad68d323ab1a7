//! Random work on a random cluster, planned from a seed, and judged.
//!
//! A [`Plan`] is data: which clients ask for what and when, and what goes wrong when.
//! So parts of it can be left out, to find the fewest that still show a violation.

mod client;
mod faults;
mod ledger;
mod plan;
mod run;
mod shrink;
mod sweep;

pub use ledger::{Ledger, LedgerAnswer, LedgerMessage};
pub use plan::{Ask, Fault, FaultKind, Options, Plan, Task};
pub use run::{Report, run, run_traced};
pub use shrink::{Shrunk, shrink};
pub use sweep::{Sweep, Swept};

/// The kinds of events that a run over many seeds must reach, or it shows too little.
pub const EXPECTED: &[&str] = &[
    "append fenced",
    "append took effect and its outcome is unknown",
    "append took effect late",
    "cast taken",
    "claim held by another",
    "claimed from a live owner that is out of reach",
    "declared dead",
    "deleted",
    "double name refused",
    "envelope lost",
    "fault: clock jumps",
    "fault: crash",
    "fault: crash for want of power",
    "fault: double name",
    "fault: drain",
    "fault: one-way cut",
    "fault: partition",
    "fault: pause",
    "fault: reset",
    "fault: slow link",
    "fault: storage away",
    "fault: storage fails",
    "late append fenced",
    "node ended by itself",
    "operation: answered",
    "operation: read",
    "operation: not executed",
    "operation: refused by the number",
    "operation: unknown, no effect",
    "operation: unknown, took effect",
    "released",
    "session given up in silence",
    "storage: failed after",
    "storage: failed before",
    "storage: late",
    "storage: lost",
    "storage: stalled",
];
