//! Random work on a random cluster, planned from a seed, and judged.
//!
//! A [`Plan`] is data: which clients ask for what and when, and what goes wrong when.
//! So parts of it can be left out, to find the fewest that still show a violation.

mod book;
mod carry;
mod client;
mod faults;
mod ledger;
mod placing;
mod plan;
mod reminders;
mod report;
mod run;
mod shrink;
mod sweep;

/// Bugs that can be planted in what is simulated.
#[cfg(feature = "planted-bugs")]
pub use jido_cluster::storage::planted;
pub use ledger::{Ledger, LedgerAnswer, LedgerMessage};
pub use plan::{Ask, Doubt, Fault, FaultKind, Options, Plan, ReadMode, Task, Zones};
pub use report::Numbers;
pub use run::{Report, run, run_traced};
pub use shrink::{Shrunk, shrink};
pub use sweep::{Sweep, Swept};

/// The kinds of events that a run over many seeds must reach, or it shows too little.
pub const EXPECTED: &[&str] = &[
    "agent parked",
    "append fenced",
    "append took effect and its outcome is unknown",
    "append took effect late",
    "ask passed on",
    "attached",
    "cast taken",
    "claim held by another",
    "claimed from a live owner that is out of reach",
    "clock drifts",
    "commits of several agents in one batch",
    "declared dead",
    "deleted",
    "deletion: told of",
    "double name refused",
    "entries committed without a checkpoint",
    "envelope delayed",
    "envelope doubled",
    "envelope held",
    "envelope lost",
    "envelope overtaken",
    "fault: clock of elapsed time jumps",
    "fault: crash",
    "fault: crash for want of power",
    "fault: deaf",
    "fault: double name",
    "fault: drain",
    "fault: one-way cut",
    "fault: partition",
    "fault: pause",
    "fault: reset",
    "fault: slow link",
    "fault: storage away",
    "fault: storage fails",
    "fault: wall clock jumps",
    "hook: started",
    "hook: stopping",
    "late append fenced",
    "migration: failed",
    "migration: planned",
    "migration: skipped",
    "migration: succeeded",
    "node found itself declared dead",
    "node restarted",
    "operation: answered",
    "operation: not executed",
    "operation: read, leased",
    "operation: read, local",
    "operation: read, strict",
    "operation: refused by the number",
    "operation: unknown, no effect",
    "operation: unknown, took effect",
    "outcome: committed",
    "outcome: not applied",
    "outcome: unknown",
    "placement: by weights",
    "placement: by zones",
    "read of an older state",
    "rebalance: asked for",
    "rebalance: not told what came of it",
    "released",
    "reminder: came",
    "reminder: came after a takeover",
    "reminder: came to an agent that ran",
    "reminder: came when it no longer failed",
    "reminder: cancelled",
    "reminder: missed occurrence made up for",
    "reminder: missed occurrences left out",
    "reminder: set",
    "reminder: set in place of another",
    "reminder: too late, and skipped",
    "reminder: woke a dormant agent",
    "request answered again",
    "request retried",
    "request sent twice at once",
    "request too old for its agent",
    "scheduled message came",
    "search: an order was found",
    "session given up in silence",
    "storage: failed after",
    "storage: failed before",
    "storage: late",
    "storage: lost",
    "storage: stalled",
    "thread read for the start of an agent",
    "way healed",
];
