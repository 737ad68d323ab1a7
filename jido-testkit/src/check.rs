//! What every history must keep to, one invariant a file.
//!
//! The checks take time in proportion to the history, because the agents' own records
//! are the witness of what was done in which order; [`search`] needs no witness, and
//! takes longer.

pub mod deletions;
pub mod effects;
pub mod epochs;
pub mod hooks;
pub mod hops;
pub mod once;
pub mod order;
pub mod places;
pub mod reads;
pub mod recovery;
pub mod reminders;
pub mod revisions;
pub mod search;
pub mod thread;
pub mod timers;

use std::collections::BTreeMap;
use std::fmt;

use crate::history::{History, Record};

/// One way in which a run is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The invariant that is broken.
    pub invariant: &'static str,
    /// The agent's key.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// The operations that show it.
    pub operations: Vec<u64>,
}

impl Violation {
    pub(crate) fn new(invariant: &'static str, key: &str, what: impl Into<String>) -> Self {
        Self {
            invariant,
            key: key.to_owned(),
            what: what.into(),
            operations: Vec::new(),
        }
    }

    pub(crate) fn by(mut self, operations: impl IntoIterator<Item = u64>) -> Self {
        self.operations.extend(operations);
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: key {}: {}", self.invariant, self.key, self.what)?;
        if !self.operations.is_empty() {
            write!(f, " (operations {:?})", self.operations)?;
        }
        Ok(())
    }
}

/// Holds a history against the agents' records, by key, with every check that needs no
/// more than these. A key without a record was never committed. `reads` says whether
/// an answer without effect must show all that was answered before it was asked for.
pub fn history(
    history: &History,
    records: &BTreeMap<String, Record>,
    reads: reads::Promise,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut keys: Vec<&str> = history
        .operations
        .iter()
        .map(|op| op.key.as_str())
        .collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        violations.extend(of_one(key, history, records.get(key), reads));
    }
    violations
}

/// The same for one key.
pub fn of_one(
    key: &str,
    history: &History,
    record: Option<&Record>,
    reads: reads::Promise,
) -> Vec<Violation> {
    let mut violations = effects::check(key, history, record);
    violations.extend(once::check_repeats(key, history));
    let Some(record) = record else {
        return violations;
    };
    violations.extend(thread::check(key, record));
    violations.extend(once::check(key, record));
    violations.extend(order::check(key, history, record));
    violations.extend(reads::check(key, history, record, reads).violations);
    violations
}

#[cfg(test)]
mod tests;
