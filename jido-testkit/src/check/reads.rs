//! Answers without an effect: reads, and what was refused by the number as it was.

use super::Violation;
use super::order::span;
use crate::history::{History, Operation, Record};

const COMMITTED: &str = "an answer shows a number that was committed";
const FRESH: &str = "an answer shows all that was answered before it was asked for";

/// What is promised of reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// They show a committed state, which may be an older one where the owner was cut
    /// off and has not noticed.
    Committed,
    /// They show the latest.
    Latest,
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
    let order = record.order();
    let mut values = vec![0];
    for id in &order {
        let last = values.last().copied().unwrap_or(0);
        let op = history.of(key).find(|op| op.id == *id);
        values.push(op.map_or(last, |op| op.action.apply(last).0));
    }
    let effects: Vec<(u64, usize)> = history
        .of(key)
        .filter(|op| op.had_effect())
        .filter_map(|op| Some((op.ended, 1 + order.iter().position(|id| *id == op.id)?)))
        .collect();
    // When each read ended, and the last place that it can have seen.
    let mut seen: Vec<(u64, usize)> = Vec::new();
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
        let ended_before = |(ended, _): &&(u64, usize)| *ended < op.invoked;
        let least = effects
            .iter()
            .chain(&seen)
            .filter(ended_before)
            .map(|(_, place)| *place)
            .max();
        if least.is_some_and(|least| place < least) {
            found.stale += 1;
            if promise == Promise::Latest {
                let what = format!(
                    "{:?} at {} us showed place {place}, {least:?} had been seen before",
                    op.action, op.invoked
                );
                found
                    .violations
                    .push(Violation::new(FRESH, key, what).by([op.id]));
            }
        } else if promise == Promise::Latest {
            // The earliest place that it can have seen binds those that come after.
            let least = least.unwrap_or(0);
            let first = (before.max(least)..=upto).find(fits).unwrap_or(place);
            seen.push((op.ended, first));
        }
    }
    found
}

fn reads<'a>(history: &'a History, key: &'a str) -> impl Iterator<Item = &'a Operation> {
    history
        .of(key)
        .filter(|op| op.answer().is_some() && !op.had_effect())
}
