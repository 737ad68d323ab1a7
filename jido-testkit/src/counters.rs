//! Histories of increments, and the check that none was lost, doubled or
//! reordered.
//!
//! Every increment adds one to the counter of its key and answers with the value
//! after it. So in a correct history each acknowledged increment of a key has a
//! value of its own; one that started after another had ended has a larger value
//! than it; and the value in the end is at least the number of increments known to
//! have been applied, and at most that and the ones whose outcome is unknown.

use std::collections::BTreeMap;
use std::time::Duration;

mod check;

pub use check::{Verdict, Violation};

/// What a client learned of an increment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered with the value after it.
    Acknowledged(i64),
    /// It is known to have been applied, but its answer got lost.
    Applied,
    /// It may have been applied, or may yet be.
    Unknown,
}

/// One increment by one as its client saw it. One that is known not to have been
/// executed does not belong in a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Increment {
    /// When it was sent, counted from the start of the history.
    pub started: Duration,
    /// When its client learned the outcome, on the same clock.
    pub ended: Duration,
    /// What the client learned.
    pub outcome: Outcome,
}

/// All increments of a run, by key.
///
/// ```
/// use std::{collections::BTreeMap, time::Duration};
/// use jido_testkit::counters::{History, Increment, Outcome};
///
/// let at = Duration::from_millis;
/// let mut history = History::default();
/// for (started, ended, value) in [(0, 5, 1), (6, 9, 1)] {
///     let outcome = Outcome::Acknowledged(value);
///     history.record("k", Increment { started: at(started), ended: at(ended), outcome });
/// }
/// let verdict = history.check(&BTreeMap::from([("k".to_owned(), 1)]));
/// assert_eq!((verdict.lost, verdict.doubled), (1, 1));
/// assert!(!verdict.is_good());
/// ```
#[derive(Debug, Clone, Default)]
pub struct History {
    keys: BTreeMap<String, Vec<Increment>>,
}

impl History {
    /// Adds an increment.
    pub fn record(&mut self, key: &str, increment: Increment) {
        match self.keys.get_mut(key) {
            Some(increments) => increments.push(increment),
            None => {
                self.keys.insert(key.to_owned(), vec![increment]);
            }
        }
    }

    /// Adds all increments of another history with the same start.
    pub fn merge(&mut self, other: Self) {
        for (key, increments) in other.keys {
            self.keys.entry(key).or_default().extend(increments);
        }
    }

    /// The keys that have increments, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// Judges the history, given the value of every key in the end, read once all
    /// its increments had ended.
    pub fn check(&self, stored: &BTreeMap<String, i64>) -> Verdict {
        let mut verdict = Verdict::default();
        for (key, increments) in &self.keys {
            verdict.add(key, increments, stored.get(key).copied());
        }
        verdict
    }
}

#[cfg(test)]
mod tests;
