//! The verdict on a history.

use std::collections::BTreeMap;
use std::fmt;

use super::{Increment, Outcome};

/// One way in which a history is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// The value in the end is smaller than the number of increments that were
    /// applied, or than an acknowledged value.
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
    /// An increment that started after another had ended has a smaller value.
    Reordered {
        /// The key.
        key: String,
        /// The one that ended first.
        earlier: Increment,
        /// The one that started after that.
        later: Increment,
    },
    /// An acknowledged value that no increment by one of a counter from 0 has.
    Impossible {
        /// The key.
        key: String,
        /// The value.
        value: i64,
    },
    /// No value in the end was given for the key.
    Unread {
        /// The key.
        key: String,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost {
                key,
                stored,
                at_least,
            } => {
                write!(
                    f,
                    "key {key:?}: stored {stored}, but at least {at_least} were applied"
                )
            }
            Self::Excess {
                key,
                stored,
                at_most,
            } => {
                write!(
                    f,
                    "key {key:?}: stored {stored}, but at most {at_most} were sent"
                )
            }
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
                "key {key:?}: {:?} at {:?} after {:?} had ended at {:?}",
                later.outcome, later.started, earlier.outcome, earlier.ended
            ),
            Self::Impossible { key, value } => {
                write!(f, "key {key:?}: value {value} was acknowledged")
            }
            Self::Unread { key } => write!(f, "key {key:?}: its value in the end is not known"),
        }
    }
}

/// The judgement on a history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// How many keys have increments.
    pub keys: u64,
    /// How many increments were acknowledged with a value.
    pub acknowledged: u64,
    /// How many are known to have been applied although their answer got lost.
    pub applied: u64,
    /// How many may have been applied.
    pub unknown: u64,
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

    pub(super) fn add(&mut self, key: &str, increments: &[Increment], stored: Option<i64>) {
        let mut values: BTreeMap<i64, u64> = BTreeMap::new();
        let (mut applied, mut unknown) = (0_u64, 0_u64);
        for increment in increments {
            match increment.outcome {
                Outcome::Acknowledged(value) => *values.entry(value).or_default() += 1,
                Outcome::Applied => applied += 1,
                Outcome::Unknown => unknown += 1,
            }
        }
        let acknowledged: u64 = values.values().sum();
        self.keys += 1;
        self.acknowledged += acknowledged;
        self.applied += applied;
        self.unknown += unknown;

        for (&value, &times) in &values {
            if times > 1 {
                self.doubled += times - 1;
                self.violations.push(Violation::Doubled {
                    key: key.to_owned(),
                    value,
                    times,
                });
            }
            if value < 1 {
                self.violations.push(Violation::Impossible {
                    key: key.to_owned(),
                    value,
                });
            }
        }
        self.check_order(key, increments);

        let Some(stored) = stored else {
            self.violations.push(Violation::Unread {
                key: key.to_owned(),
            });
            return;
        };
        self.stored = self.stored.saturating_add(stored);
        let largest = values.last_key_value().map_or(0, |(value, _)| *value);
        let at_least = signed(acknowledged + applied).max(largest);
        let at_most = signed(acknowledged + applied + unknown);
        if stored < at_least {
            self.lost += at_least.abs_diff(stored);
            self.violations.push(Violation::Lost {
                key: key.to_owned(),
                stored,
                at_least,
            });
        }
        if stored > at_most {
            self.doubled += stored.abs_diff(at_most);
            self.violations.push(Violation::Excess {
                key: key.to_owned(),
                stored,
                at_most,
            });
        }
    }

    /// Holds every acknowledged value against the largest one that had ended when
    /// it was sent.
    fn check_order(&mut self, key: &str, increments: &[Increment]) {
        let mut by_start: Vec<(i64, &Increment)> = increments
            .iter()
            .filter_map(|increment| match increment.outcome {
                Outcome::Acknowledged(value) => Some((value, increment)),
                Outcome::Applied | Outcome::Unknown => None,
            })
            .collect();
        let mut by_end = by_start.clone();
        by_start.sort_by_key(|(_, increment)| increment.started);
        by_end.sort_by_key(|(_, increment)| increment.ended);
        let mut ended = by_end.into_iter().peekable();
        let mut largest: Option<(i64, &Increment)> = None;
        for (value, later) in by_start {
            while let Some(before) = ended.next_if(|(_, other)| other.ended < later.started) {
                if largest.is_none_or(|(most, _)| before.0 > most) {
                    largest = Some(before);
                }
            }
            // An equal value is reported as doubled.
            if let Some((_, earlier)) = largest.filter(|(most, _)| *most > value) {
                self.violations.push(Violation::Reordered {
                    key: key.to_owned(),
                    earlier: *earlier,
                    later: *later,
                });
            }
        }
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} keys, acknowledged {}, unknown {}, stored {}, lost {}, doubled {}",
            self.keys,
            self.acknowledged + self.applied,
            self.unknown,
            self.stored,
            self.lost,
            self.doubled
        )?;
        for violation in self.violations.iter().take(20) {
            write!(f, "\n  {violation}")?;
        }
        match self.violations.len().checked_sub(20) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, "\n  and {more} more"),
        }
    }
}
