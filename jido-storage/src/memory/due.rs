//! Who is to be woken, by time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use jido_core::{AgentId, ClusterName, ManagerName, Timestamp};

use crate::{Due, DueQuery};

/// The agents that are to be woken, those of each manager by themselves.
#[derive(Debug, Default)]
pub(super) struct DueIndex(BTreeMap<(ClusterName, ManagerName), BTreeSet<Due>>);

impl DueIndex {
    /// An agent that was to be woken at one time is to be at another; none is never.
    pub(super) fn moved(
        &mut self,
        id: &AgentId,
        before: Option<Timestamp>,
        after: Option<Timestamp>,
    ) {
        if before == after {
            return;
        }
        let manager = (id.cluster.clone(), id.manager.clone());
        let index = self.0.entry(manager).or_default();
        let due = |wake_at| Due {
            wake_at,
            key: id.key.clone(),
        };
        if let Some(before) = before {
            index.remove(&due(before));
        }
        index.extend(after.map(due));
    }

    pub(super) fn page(&self, query: DueQuery) -> Vec<Due> {
        let Some(index) = self.0.get(&(query.cluster, query.manager)) else {
            return Vec::new();
        };
        let after = query.after.map_or(Bound::Unbounded, Bound::Excluded);
        index
            .range((after, Bound::Unbounded))
            .take_while(|due| due.wake_at <= query.until)
            .take(query.limit.max(1))
            .cloned()
            .collect()
    }
}
