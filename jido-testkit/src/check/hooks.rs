//! Hooks run at an agent's start and before it stops, each under an epoch that was its
//! activation's.

use std::collections::BTreeSet;

use super::Violation;
use crate::history::{Hook, Record};
use crate::sim::{Applied, Change};

const START: &str = "an agent starts before all else, and once an activation";
const ORDER: &str = "what an activation notes is not under an epoch before the last";
const CLAIMED: &str = "an agent runs under epochs that were claimed";

/// Checks what an agent that notes its hooks has noted, against its changes.
pub fn check(key: &str, record: &Record, changes: &[Applied]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut report = |invariant, what: String| {
        violations.push(Violation::new(invariant, key, what));
    };
    let claimed: BTreeSet<u64> = changes
        .iter()
        .filter(|applied| matches!(applied.change, Change::Claimed { .. }))
        .map(|applied| applied.epoch.0)
        .collect();
    if !matches!(record.hooks.first(), Some(Hook::Started(_))) {
        report(START, format!("it began with {:?}", record.hooks.first()));
    }
    for pair in record.hooks.windows(2) {
        let [before, after] = pair else { continue };
        if after.epoch() < before.epoch() {
            report(ORDER, format!("{after:?} follows {before:?}"));
        }
        if matches!(after, Hook::Started(_)) && after.epoch() == before.epoch() {
            report(START, format!("{after:?} follows {before:?}"));
        }
    }
    for hook in &record.hooks {
        if !claimed.contains(&hook.epoch()) {
            report(CLAIMED, format!("{hook:?}, and {claimed:?} were claimed"));
        }
    }
    violations
}
