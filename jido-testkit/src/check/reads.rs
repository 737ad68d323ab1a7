//! Answers without an effect: reads, and what was refused by the number as it was.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::Violation;
use super::order::span;
use crate::history::{History, Operation, Record};

const COMMITTED: &str = "an answer shows a number that was committed";
const FRESH: &str = "an answer shows all that was answered before it was asked for";
const RECENT: &str =
    "an owner that was taken over answers no reads once it has had the time to notice";

/// What is promised of reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// They show a committed state, which may be an older one where the owner was cut
    /// off and has not noticed.
    Committed,
    /// They show what was there so many microseconds before they were asked for, or what came
    /// later: an owner that is cut off has noticed by then.
    Within(u64),
    /// They show the latest.
    Latest,
}

impl Promise {
    /// How old what is shown may be, in microseconds; none for any age.
    fn age(self) -> Option<u64> {
        match self {
            Self::Committed => None,
            Self::Within(age) => Some(age),
            Self::Latest => Some(0),
        }
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Reads that showed an older state.
    pub stale: u64,
    /// What breaks the promise.
    pub violations: Vec<Violation>,
}

/// Checks the answers without effect of one agent, where its commits were observed.
pub fn check(key: &str, history: &History, record: &Record, promise: Promise) -> Found {
    let mut found = Found::default();
    let by_id: BTreeMap<u64, &Operation> = history.of(key).map(|op| (op.id, op)).collect();
    let mut values = vec![0];
    // What had been shown by when: the ends of effects and of reads, with their places.
    let mut ends: Vec<(u64, usize)> = Vec::new();
    for (place, id) in (1..).zip(record.order()) {
        let last = values.last().copied().unwrap_or(0);
        let op = by_id.get(&id);
        values.push(op.map_or(last, |op| op.action.apply(last).0));
        ends.extend(op.filter(|op| op.had_effect()).map(|op| (op.ended, place)));
    }
    let mut shown = Shown::of(ends);
    for op in reads(history, key) {
        let Some(answer) = op.answer() else { continue };
        let Some(by) = answer.by else { continue };
        let Some((before, upto)) = span(record, by.revision) else {
            return found;
        };
        let fits = |place: &usize| {
            let (value, done) = op.action.apply(values.get(*place).copied().unwrap_or(0));
            value == answer.value && !done
        };
        let Some(place) = (before..=upto).rev().find(fits) else {
            let what = format!(
                "{:?} answered {answer:?}, which places {before} to {upto} never showed",
                op.action
            );
            found
                .violations
                .push(Violation::new(COMMITTED, key, what).by([op.id]));
            continue;
        };
        let age = promise.age();
        let least = shown.before(op.invoked.saturating_sub(age.unwrap_or(0)));
        if least.is_some_and(|least| place < least) {
            found.stale += 1;
            if age.is_some() {
                let what = format!(
                    "{:?} at {} us showed place {place}, {least:?} had been seen before{}",
                    op.action,
                    op.invoked,
                    age.filter(|age| *age > 0)
                        .map(|age| format!(", {age} us and more"))
                        .unwrap_or_default()
                );
                let invariant = if age == Some(0) { FRESH } else { RECENT };
                found
                    .violations
                    .push(Violation::new(invariant, key, what).by([op.id]));
            }
        } else if age.is_some() {
            // The earliest place that it can have seen binds those that come after.
            let least = least.unwrap_or(0);
            let first = (before.max(least)..=upto).find(fits).unwrap_or(place);
            shown.add(op.ended, first);
        }
    }
    found
}

/// The largest place that had been shown by a time. Whoever asks goes on in time.
struct Shown {
    /// By their ends, the first on top.
    to_come: BinaryHeap<Reverse<(u64, usize)>>,
    largest: Option<usize>,
}

impl Shown {
    fn of(ends: Vec<(u64, usize)>) -> Self {
        Self {
            to_come: ends.into_iter().map(Reverse).collect(),
            largest: None,
        }
    }

    fn add(&mut self, ended: u64, place: usize) {
        self.to_come.push(Reverse((ended, place)));
    }

    fn before(&mut self, time: u64) -> Option<usize> {
        while let Some(Reverse((ended, place))) = self.to_come.peek().copied()
            && ended < time
        {
            self.to_come.pop();
            self.largest = self.largest.max(Some(place));
        }
        self.largest
    }
}

/// In the order of their invocation.
fn reads<'a>(history: &'a History, key: &'a str) -> Vec<&'a Operation> {
    let mut reads: Vec<&Operation> = history
        .of(key)
        .filter(|op| op.answer().is_some() && !op.had_effect())
        .collect();
    reads.sort_by_key(|op| op.invoked);
    reads
}
