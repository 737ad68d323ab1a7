//! The keys of a node's agents, part by part.

use std::collections::BinaryHeap;

use jido_core::{Agent, AgentKey};

use super::{LocalMap, SWEPT_AT_ONCE};

impl<A: Agent> LocalMap<A> {
    /// The first keys after `after` for which `wanted` holds, in order, and no more than
    /// `limit`. Others go on meanwhile.
    pub(crate) async fn first_after(
        &self,
        after: Option<&AgentKey>,
        limit: usize,
        wanted: impl Fn(&AgentKey) -> bool,
    ) -> Vec<AgentKey> {
        let map = self.map.pin_owned();
        let mut first: BinaryHeap<AgentKey> = BinaryHeap::new();
        for (at, key) in map.keys().enumerate() {
            if at % SWEPT_AT_ONCE == SWEPT_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            if after.is_some_and(|after| key <= after) {
                continue;
            }
            let is_full = first.len() >= limit;
            if is_full && first.peek().is_none_or(|last| key >= last) || !wanted(key) {
                continue;
            }
            first.push(key.clone());
            if first.len() > limit {
                first.pop();
            }
        }
        first.into_sorted_vec()
    }
}
