//! A thread has no gap, and what came later was written later.

use super::Violation;
use crate::history::Record;

const INVARIANT: &str = "a thread without gaps, its revisions and epochs never falling";

/// Checks an agent's thread.
pub fn check(key: &str, record: &Record) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (place, noted) in (0..).zip(&record.thread) {
        if noted.seq != place {
            let what = format!("entry {place} has seq {}", noted.seq);
            violations.push(Violation::new(INVARIANT, key, what).by([noted.id]));
        }
    }
    for pair in record.thread.windows(2) {
        let [a, b] = pair else { continue };
        if b.revision < a.revision || b.epoch < a.epoch {
            let what = format!(
                "entry {} of revision {}, epoch {} follows one of revision {}, epoch {}",
                b.seq, b.revision, b.epoch, a.revision, a.epoch
            );
            violations.push(Violation::new(INVARIANT, key, what).by([a.id, b.id]));
        }
    }
    violations
}
