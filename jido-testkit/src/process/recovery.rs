//! How soon agents that died with their node were answered for again.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::history::History;

/// For each of these agents, given with the epochs of the activations that died at a time since
/// the history's start, how long it was from then until the first answer of a later
/// activation. What was never answered for is left out.
pub(super) fn recoveries<'a>(
    history: &History,
    died: Duration,
    agents: &'a BTreeMap<String, u64>,
) -> BTreeMap<&'a str, Duration> {
    let mut recovered: BTreeMap<&str, Duration> = BTreeMap::new();
    for op in &history.operations {
        let Some((key, epoch)) = agents.get_key_value(&op.key) else {
            continue;
        };
        let by = op.answer().and_then(|answer| answer.by);
        let after = Duration::from_micros(op.ended).checked_sub(died);
        // An answer that had left the dead one before is its last.
        if let (Some(by), Some(after)) = (by, after)
            && by.epoch > *epoch
        {
            let first = recovered.entry(key).or_insert(after);
            *first = after.min(*first);
        }
    }
    recovered
}
