//! The check of histories of increments and reads: none was lost, doubled or
//! reordered, and reads never went back.
//!
//! Every increment adds one to the counter of its key and answers with the value
//! after it. So in a correct history each acknowledged increment of a key has a
//! value of its own; what started after another had ended shows a larger value than
//! it, or for a read at least that; and the value in the end is at least the number of
//! acknowledged increments, and at most that and the ones whose outcome is unknown.
//! The answers are their own witness, so that the check takes no more than sorting.

use std::collections::BTreeMap;

use crate::history::{Action, History, Kept, Mark, Operation, Outcome, Record};

mod check;
mod verdict;

pub use verdict::{Verdict, Violation};

/// Judges the increments by one and the reads of a history, given the value of every
/// key in the end, read once all its increments had ended. Other operations are left
/// out of account.
///
/// ```
/// use std::collections::BTreeMap;
/// use jido_testkit::counters;
/// use jido_testkit::history::{Action, Answer, By, History, Operation, Outcome};
///
/// let increment = |id, invoked, ended, value| Operation {
///     id,
///     client: 1,
///     key: "k".to_owned(),
///     action: Action::Add(1),
///     invoked,
///     first_try: None,
///     ended,
///     outcome: Outcome::Answered(Answer {
///         value,
///         done: true,
///         by: Some(By { epoch: 1, revision: id }),
///     }),
///     repeats: Vec::new(),
/// };
/// let history = History::new(vec![increment(1, 0, 5, 1), increment(2, 6, 9, 1)]);
/// let verdict = counters::check(&history, &BTreeMap::from([("k".to_owned(), 1)]));
/// assert_eq!((verdict.lost, verdict.doubled), (1, 1));
/// assert!(!verdict.is_good());
/// ```
pub fn check(history: &History, stored: &BTreeMap<String, i64>) -> Verdict {
    let mut verdict = Verdict::default();
    for (key, operations) in history.by_key() {
        verdict.add(key, &operations, stored.get(key).copied());
    }
    verdict
}

/// The records of the counters, as their answers tell them: what
/// [`check::history`](crate::check::history) needs. Only of keys of which every
/// increment was not executed, or answered with who did so: nobody can tell the place of
/// another.
pub fn records(history: &History, stored: &BTreeMap<String, i64>) -> BTreeMap<String, Record> {
    let keys = history.by_key().into_iter();
    keys.filter_map(|(key, operations)| {
        let value = *stored.get(key)?;
        Some((key.to_owned(), record(&operations, value)?))
    })
    .collect()
}

fn record(operations: &[&Operation], value: i64) -> Option<Record> {
    let increments = operations.iter().filter(|op| op.action == Action::Add(1));
    let mut placed = Vec::new();
    for op in increments {
        match op.outcome {
            Outcome::Answered(answer) => placed.push((answer.value, op.id, answer.by?.revision)),
            Outcome::NotExecuted => {}
            Outcome::Unknown => return None,
        }
    }
    placed.sort_unstable();
    let mut marks: Vec<Mark> = Vec::new();
    for (count, (_, _, revision)) in (1..).zip(&placed) {
        match marks.last_mut() {
            Some(mark) if mark.revision == *revision => mark.count = count,
            _ => marks.push(Mark {
                revision: *revision,
                count,
            }),
        }
    }
    Some(Record {
        kept: Kept::InState,
        value,
        applied: placed.into_iter().map(|(_, id, _)| id).collect(),
        thread: Vec::new(),
        marks,
        hooks: Vec::new(),
    })
}

#[cfg(test)]
mod tests;
