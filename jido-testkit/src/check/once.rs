//! Each operation is applied at most once, and each try of it is answered alike.

use std::collections::BTreeSet;

use super::Violation;
use crate::history::{History, Record};

const INVARIANT: &str = "an operation is applied at most once";
const ALIKE: &str = "a further try of a request is answered as the first was";

/// Checks an agent's state and its thread.
pub fn check(key: &str, record: &Record) -> Vec<Violation> {
    let mut violations = Vec::new();
    let noted: Vec<u64> = record.thread.iter().map(|noted| noted.id).collect();
    for (place, order) in [("state", &record.applied), ("thread", &noted)] {
        let mut seen = BTreeSet::new();
        for id in order {
            if !seen.insert(*id) {
                let what = format!("operation {id} stands in the {place} more than once");
                violations.push(Violation::new(INVARIANT, key, what).by([*id]));
            }
        }
    }
    violations
}

/// Checks what further tries of the requests for one key were answered.
pub fn check_repeats(key: &str, history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    for op in history.of(key) {
        let Some(first) = op.answer() else { continue };
        for again in &op.repeats {
            if (again.value, again.done) != (first.value, first.done) {
                let what = format!("{:?} was answered {first:?}, then {again:?}", op.action);
                violations.push(Violation::new(ALIKE, key, what).by([op.id]));
            }
        }
    }
    violations
}
