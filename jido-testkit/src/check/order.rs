//! The order of the record is one that the clients could have seen: linearizability of
//! all that had an effect, in linear time, the record being the witness.

use std::collections::BTreeMap;

use super::Violation;
use crate::history::{History, Operation, Outcome, Record};

const REAL_TIME: &str = "what ended before another began is before it in the record";
const ANSWERS: &str = "answers are those of the record's order";
const VALUE: &str = "the stored number is that of the record's order";
const REVISION: &str = "an answer's revision is that of its commit";

/// Checks the order of one agent's record.
pub fn check(key: &str, history: &History, record: &Record) -> Vec<Violation> {
    let mut violations = Vec::new();
    let by_id: BTreeMap<u64, &Operation> = history.of(key).map(|op| (op.id, op)).collect();
    // The operation that began last among those before.
    let mut last: Option<&Operation> = None;
    let mut value = 0;
    for (place, id) in (1..).zip(record.order()) {
        let Some(op) = by_id.get(&id).copied() else {
            continue;
        };
        if let Some(before) = last
            && op.outcome != Outcome::Unknown
            && op.ended < before.invoked
        {
            let what = format!(
                "{:?} ended at {} us, and {:?}, which began at {} us, is before it",
                op.action, op.ended, before.action, before.invoked
            );
            violations.push(Violation::new(REAL_TIME, key, what).by([op.id, before.id]));
        }
        if last.is_none_or(|before| op.invoked > before.invoked) {
            last = Some(op);
        }
        let done;
        (value, done) = op.action.apply(value);
        if !done {
            let what = format!("{:?} can have no effect at place {place}", op.action);
            violations.push(Violation::new(ANSWERS, key, what).by([op.id]));
        }
        let Some(answer) = op.answer() else { continue };
        if (answer.value, answer.done) != (value, true) {
            let what = format!(
                "{:?} answered {answer:?}, the record says {value}",
                op.action
            );
            violations.push(Violation::new(ANSWERS, key, what).by([op.id]));
        }
        if let Some(by) = answer.by
            && let Some((before, upto)) = span(record, by.revision)
            && !(before < place && place <= upto)
        {
            let what = format!(
                "{:?} answered {answer:?}, but is at place {place}, and the revision holds those after {before} up to {upto}",
                op.action
            );
            violations.push(Violation::new(REVISION, key, what).by([op.id]));
        }
    }
    if value != record.value {
        let what = format!("{} is stored, the record makes it {value}", record.value);
        violations.push(Violation::new(VALUE, key, what));
    }
    violations
}

/// How many operations the commits before a revision hold, and how many that one; none
/// where commits were not observed.
pub(super) fn span(record: &Record, revision: u64) -> Option<(usize, usize)> {
    if record.marks.is_empty() {
        return None;
    }
    let upto = |marks: usize| match marks.checked_sub(1) {
        Some(last) => record.marks.get(last).map_or(0, |mark| mark.count),
        None => 0,
    };
    let before = record.marks.partition_point(|m| m.revision < revision);
    let until = record.marks.partition_point(|m| m.revision <= revision);
    Some((upto(before), upto(until)))
}
