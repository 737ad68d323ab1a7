//! What an agent has scheduled comes once, if at all, and only if the message that
//! scheduled it was not undone.

use std::collections::BTreeMap;

use super::Violation;
use super::reminders::Diary;
use crate::history::Reminded;

const ONCE: &str = "what an agent has scheduled comes at most once";
const UNDONE: &str = "nothing comes of what was not scheduled";

/// Checks what one agent has written down, in its commits' order.
pub fn check(key: &str, diary: &Diary) -> Vec<Violation> {
    let mut violations = Vec::new();
    // How often each came.
    let mut scheduled: BTreeMap<u64, u64> = BTreeMap::new();
    for (committed, entry) in &diary.entries {
        let Reminded::Echoed { id } = *entry else {
            if let Reminded::Scheduled { id } = *entry {
                scheduled.insert(id, 0);
            }
            continue;
        };
        let invariant = match scheduled.get_mut(&id) {
            None => UNDONE,
            Some(times) => {
                *times += 1;
                if *times == 1 {
                    continue;
                }
                ONCE
            }
        };
        let what = format!("the message of operation {id} came {committed:?} after the start");
        violations.push(Violation::new(invariant, key, what).by([id]));
    }
    violations
}
