//! How a history is judged, key by key.

use std::collections::BTreeMap;

use super::verdict::{Verdict, Violation};
use crate::history::{Action, Answer, Operation, Outcome};

/// Whether an answered operation is a read; none for what is neither an increment nor
/// a read.
fn is_read(op: &Operation) -> Option<bool> {
    match op.action {
        Action::Add(1) => Some(false),
        Action::Read => Some(true),
        _ => None,
    }
}

/// An increment or a read that was answered.
#[derive(Clone, Copy)]
struct Seen<'a> {
    op: &'a Operation,
    answer: Answer,
    read: bool,
}

impl<'a> Seen<'a> {
    fn of(op: &'a Operation) -> Option<Self> {
        Some(Self {
            op,
            answer: op.answer()?,
            read: is_read(op)?,
        })
    }

    /// The smallest value that may be answered after this had ended.
    fn least_after(&self, later_is_read: bool) -> i64 {
        // Increments of equal values are reported as doubled.
        let another = self.read && !later_is_read;
        self.answer.value.saturating_add(i64::from(another))
    }
}

impl Verdict {
    pub(super) fn add(&mut self, key: &str, operations: &[&Operation], stored: Option<i64>) {
        let seen: Vec<Seen<'_>> = operations.iter().filter_map(|op| Seen::of(op)).collect();
        let sent = operations
            .iter()
            .filter(|op| is_read(op) == Some(false) && op.outcome != Outcome::NotExecuted);
        let sent: Vec<u64> = sent.map(|op| op.invoked).collect();
        let acknowledged = seen.iter().filter(|seen| !seen.read).count();
        self.keys += 1;
        self.acknowledged += acknowledged as u64;
        self.reads += (seen.len() - acknowledged) as u64;
        self.unknown += (sent.len() - acknowledged) as u64;

        self.check_values(key, &seen, sent.clone());
        self.check_order(key, &seen);
        self.check_commits(key, &seen);

        let Some(stored) = stored else {
            let key = key.to_owned();
            self.violations.push(Violation::Unread { key });
            return;
        };
        self.stored = self.stored.saturating_add(stored);
        let largest = seen.iter().map(|seen| seen.answer.value).max();
        let at_least = signed(acknowledged).max(largest.unwrap_or(0));
        let at_most = signed(sent.len());
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

    /// Holds every value against what had been sent by then, and against the others.
    fn check_values(&mut self, key: &str, seen: &[Seen<'_>], mut sent: Vec<u64>) {
        sent.sort_unstable();
        let mut times: BTreeMap<i64, u64> = BTreeMap::new();
        for Seen { op, answer, read } in seen {
            let by_then = sent.partition_point(|invoked| *invoked <= op.ended);
            let least = i64::from(!read);
            if !(least..=signed(by_then)).contains(&answer.value) {
                self.violations.push(Violation::Impossible {
                    key: key.to_owned(),
                    operation: (*op).clone(),
                });
            }
            if !read {
                *times.entry(answer.value).or_default() += 1;
            }
        }
        for (value, times) in times.into_iter().filter(|(_, times)| *times > 1) {
            self.doubled += times - 1;
            self.violations.push(Violation::Doubled {
                key: key.to_owned(),
                value,
                times,
            });
        }
    }

    /// Holds every value against the largest one that had ended when it was asked for.
    fn check_order(&mut self, key: &str, seen: &[Seen<'_>]) {
        let (mut by_start, mut by_end) = (seen.to_vec(), seen.to_vec());
        by_start.sort_by_key(|seen| seen.op.invoked);
        by_end.sort_by_key(|seen| seen.op.ended);
        let mut ended = by_end.into_iter().peekable();
        // The largest that had ended: in the eyes of an increment, and of a read.
        let mut largest: [Option<Seen<'_>>; 2] = [None, None];
        for later in by_start {
            while let Some(before) = ended.next_if(|other| other.op.ended < later.op.invoked) {
                for (read, largest) in [false, true].into_iter().zip(&mut largest) {
                    let least = before.least_after(read);
                    if largest.is_none_or(|most| least > most.least_after(read)) {
                        *largest = Some(before);
                    }
                }
            }
            let earlier = largest[usize::from(later.read)];
            if let Some(earlier) = earlier
                && earlier.least_after(later.read) > later.answer.value
            {
                self.violations.push(Violation::Reordered {
                    key: key.to_owned(),
                    earlier: earlier.op.clone(),
                    later: later.op.clone(),
                });
            }
        }
    }

    /// Holds the commits of increments against their values.
    fn check_commits(&mut self, key: &str, seen: &[Seen<'_>]) {
        let increments = seen.iter().filter(|seen| !seen.read);
        let mut by_value: Vec<(i64, u64, &Operation)> = increments
            .filter_map(|seen| Some((seen.answer.value, seen.answer.by?.revision, seen.op)))
            .collect();
        by_value.sort_by_key(|(value, revision, _)| (*value, *revision));
        for pair in by_value.windows(2) {
            if let [(_, before, smaller), (_, after, larger)] = pair
                && before > after
            {
                self.violations.push(Violation::Backwards {
                    key: key.to_owned(),
                    smaller: (*smaller).clone(),
                    larger: (*larger).clone(),
                });
            }
        }
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
