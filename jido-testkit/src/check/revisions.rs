//! Revisions have no gap, and each is written by the one who holds the agent.

use jido_cluster::Incarnation;

use super::Violation;
use crate::sim::{Applied, Change};

const GAPS: &str = "revisions without a gap";
const WRITER: &str = "one writer a revision: the holder of the largest epoch";
const EXPECTED: &str = "the holder of an agent expects the revision that is stored";
const OWNER: &str = "one incarnation an epoch";

/// Checks the changes of one agent, in the order in which they took effect.
pub fn check(key: &str, changes: &[Applied]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut report = |invariant, what: String| {
        violations.push(Violation::new(invariant, key, what));
    };
    let mut revision = 0;
    // Who holds the agent, under which epoch.
    let mut held: Option<u64> = None;
    let mut owners: Vec<(u64, Incarnation)> = Vec::new();
    for applied in changes {
        let epoch = applied.epoch.0;
        let next = match &applied.change {
            Change::Claimed { owner } => {
                let other = owners.iter().find(|(e, o)| *e == epoch && o != owner);
                if let Some((_, other)) = other {
                    report(OWNER, format!("epoch {epoch} is {other}'s and {owner}'s"));
                }
                owners.push((epoch, *owner));
                held = Some(epoch);
                continue;
            }
            Change::Committed {
                before,
                revision: after,
                counts,
                ..
            } => {
                if before.0 != revision || after.0 != before.0 + u64::from(*counts) {
                    let what = format!("{after} was committed on {before}, after {revision}");
                    report(GAPS, what);
                }
                after.0
            }
            Change::Conflicted { expected, actual } => {
                // Nobody else commits under its epoch, so it has loaded too early, or
                // has lost count.
                let what = format!("{expected} was expected under epoch {epoch}, not {actual}");
                report(EXPECTED, what);
                continue;
            }
            Change::Deleted { revision: after } => {
                if after.0 != revision + 1 {
                    report(GAPS, format!("deleted at {after}, after {revision}"));
                }
                after.0
            }
        };
        if held != Some(epoch) {
            let what = format!("revision {next} was written under epoch {epoch}, {held:?} holds");
            report(WRITER, what);
        }
        revision = next;
        if !matches!(applied.change, Change::Committed { release: false, .. }) {
            held = None;
        }
    }
    violations
}
