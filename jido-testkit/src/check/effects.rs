//! What was acknowledged is there, what was refused is not, and nothing is half there.

use std::collections::BTreeSet;

use super::Violation;
use crate::history::{History, Kept, Outcome, Record};

const LOST: &str = "every acknowledged effect is in the record";
const REFUSED: &str = "what was not executed has no effect";
const UNASKED: &str = "nothing has an effect that nobody asked for";
const HALF: &str = "state and thread are committed together";

/// Checks the operations on one key; an agent without a record has none.
pub fn check(key: &str, history: &History, record: Option<&Record>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let order = record.map(Record::order).unwrap_or_default();
    let applied: BTreeSet<u64> = order.iter().copied().collect();
    for op in history.of(key) {
        let is_there = applied.contains(&op.id);
        if op.had_effect() && !is_there {
            let what = format!("{:?} was answered {:?}", op.action, op.outcome);
            violations.push(Violation::new(LOST, key, what).by([op.id]));
        }
        if is_there && op.outcome == Outcome::NotExecuted {
            let what = format!("{:?} is said not to have been executed", op.action);
            violations.push(Violation::new(REFUSED, key, what).by([op.id]));
        }
    }
    let asked: BTreeSet<u64> = history.of(key).map(|op| op.id).collect();
    for id in applied.difference(&asked) {
        let what = format!("operation {id} is in the record");
        violations.push(Violation::new(UNASKED, key, what).by([*id]));
    }
    if let Some(record) = record
        && record.kept == Kept::InBoth
    {
        let noted: Vec<u64> = record.thread.iter().map(|noted| noted.id).collect();
        if noted != record.applied {
            let what = format!("thread {noted:?}, state {:?}", record.applied);
            violations.push(Violation::new(HALF, key, what));
        }
    }
    violations
}
