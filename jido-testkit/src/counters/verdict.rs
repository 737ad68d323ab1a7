//! What is said of a history.

use std::fmt;

use serde::Serialize;

use crate::history::Operation;

/// How many violations are shown.
const SHOWN: usize = 20;

/// One way in which a history is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Violation {
    /// The value in the end is smaller than the number of increments that were
    /// acknowledged, or than a value that was answered.
    Lost {
        /// The key.
        key: String,
        /// The value in the end.
        stored: i64,
        /// The smallest value that it can have.
        at_least: i64,
    },
    /// The value in the end is larger than all increments together can make it.
    Excess {
        /// The key.
        key: String,
        /// The value in the end.
        stored: i64,
        /// The largest value that it can have.
        at_most: i64,
    },
    /// Several increments were acknowledged with the same value.
    Doubled {
        /// The key.
        key: String,
        /// The value.
        value: i64,
        /// How many have it.
        times: u64,
    },
    /// An operation that started after another had ended shows less than that one.
    Reordered {
        /// The key.
        key: String,
        /// The one that ended first.
        earlier: Operation,
        /// The one that started after that.
        later: Operation,
    },
    /// An increment of a smaller value is of a later commit.
    Backwards {
        /// The key.
        key: String,
        /// The one with the smaller value.
        smaller: Operation,
        /// The one with the larger value, and the earlier commit.
        larger: Operation,
    },
    /// An answer that no increments by one of a counter from 0 can give: below 1, or
    /// for a read below 0, or above the number of those that had started.
    Impossible {
        /// The key.
        key: String,
        /// The operation.
        operation: Operation,
    },
    /// No value in the end was given for the key.
    Unread {
        /// The key.
        key: String,
    },
}

fn told(op: &Operation) -> String {
    format!(
        "{:?} {} by {} at {}..{} us: {:?}",
        op.action, op.id, op.client, op.invoked, op.ended, op.outcome
    )
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost {
                key,
                stored,
                at_least,
            } => write!(
                f,
                "key {key:?}: stored {stored}, but it is at least {at_least}"
            ),
            Self::Excess {
                key,
                stored,
                at_most,
            } => write!(
                f,
                "key {key:?}: stored {stored}, but at most {at_most} were sent"
            ),
            Self::Doubled { key, value, times } => {
                write!(
                    f,
                    "key {key:?}: value {value} was acknowledged {times} times"
                )
            }
            Self::Reordered {
                key,
                earlier,
                later,
            } => write!(
                f,
                "key {key:?}: [{}] comes after [{}]",
                told(later),
                told(earlier)
            ),
            Self::Backwards {
                key,
                smaller,
                larger,
            } => write!(
                f,
                "key {key:?}: [{}] was committed after [{}]",
                told(smaller),
                told(larger)
            ),
            Self::Impossible { key, operation } => {
                write!(f, "key {key:?}: nothing explains [{}]", told(operation))
            }
            Self::Unread { key } => write!(f, "key {key:?}: its value in the end is not known"),
        }
    }
}

/// The judgement on a history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Verdict {
    /// How many keys have operations.
    pub keys: u64,
    /// How many increments were acknowledged with a value.
    pub acknowledged: u64,
    /// How many may have been applied.
    pub unknown: u64,
    /// How many reads were answered.
    pub reads: u64,
    /// The sum of all values in the end.
    pub stored: i64,
    /// How many increments that were applied are missing at the end.
    pub lost: u64,
    /// How many acknowledged increments share their value with one before, and by
    /// how much values in the end exceed what was sent.
    pub doubled: u64,
    /// What is wrong; empty for a good history.
    pub violations: Vec<Violation>,
}

impl Verdict {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.violations.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} keys, acknowledged {}, unknown {}, read {}, stored {}, lost {}, doubled {}",
            self.keys,
            self.acknowledged,
            self.unknown,
            self.reads,
            self.stored,
            self.lost,
            self.doubled
        )?;
        for violation in self.violations.iter().take(SHOWN) {
            write!(f, "\n  {violation}")?;
        }
        match self.violations.len().checked_sub(SHOWN) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, "\n  and {more} more"),
        }
    }
}
