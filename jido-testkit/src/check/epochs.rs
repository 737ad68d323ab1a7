//! Epochs never fall: each claim has a larger one than all before.

use super::Violation;
use crate::sim::{Applied, Change};

const INVARIANT: &str = "every claim has a larger epoch";

/// Checks the claims of one agent, in the order in which they took effect.
pub fn check(key: &str, changes: &[Applied]) -> Vec<Violation> {
    let claims: Vec<u64> = changes
        .iter()
        .filter(|applied| matches!(applied.change, Change::Claimed { .. }))
        .map(|applied| applied.epoch.0)
        .collect();
    let falls = claims.windows(2).filter(|pair| pair[1] <= pair[0]);
    falls
        .map(|pair| {
            let what = format!("epoch {} was given after {}", pair[1], pair[0]);
            Violation::new(INVARIANT, key, what)
        })
        .collect()
}
