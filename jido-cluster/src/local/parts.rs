//! All of a node's agents, part by part.

use std::collections::BinaryHeap;
use std::sync::atomic::Ordering;

use jido_core::{Agent, AgentKey};

use super::{LocalMap, SEALED, SWEPT_AT_ONCE, Slot};
use crate::telemetry::AgentCounts;

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

    /// How many there are of each sort, and how many messages wait for them. Others go on
    /// meanwhile.
    pub(crate) async fn counts(&self) -> AgentCounts {
        let map = self.map.pin_owned();
        let mut counts = AgentCounts {
            bytes: self.bytes(),
            ..AgentCounts::default()
        };
        for (at, slot) in map.values().enumerate() {
            if at % SWEPT_AT_ONCE == SWEPT_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            match slot {
                Slot::Running(local) => {
                    let sent = local.sent.load(Ordering::Relaxed) & !SEALED;
                    counts.waiting += sent.saturating_sub(local.gauge.taken());
                    counts.hot += 1;
                }
                Slot::Parked(_) => counts.parked += 1,
            }
        }
        counts
    }
}
