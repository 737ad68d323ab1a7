//! Each operation is applied at most once.

use std::collections::BTreeSet;

use super::Violation;
use crate::history::Record;

const INVARIANT: &str = "an operation is applied at most once";

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
