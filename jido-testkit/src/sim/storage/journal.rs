//! What took effect in storage, in order: what histories are held against.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use jido_cluster::{AgentId, Epoch, Incarnation, Revision};

/// A change that took effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The agent was claimed.
    Claimed {
        /// By this life.
        owner: Incarnation,
    },
    /// A commit was made.
    Committed {
        /// The revision before.
        before: Revision,
        /// The revision after.
        revision: Revision,
        /// Whether it wrote anything that counts as a revision.
        counts: bool,
        /// The state that it wrote, if it wrote one.
        state: Option<Bytes>,
        /// How many entries it appended.
        entries: u64,
        /// Whether it gave the claim back.
        release: bool,
    },
    /// A commit under the largest epoch met another revision than it expected: nothing
    /// was written.
    Conflicted {
        /// The revision that it expected.
        expected: Revision,
        /// The one that it met.
        actual: Revision,
    },
    /// The agent was deleted.
    Deleted {
        /// The revision after.
        revision: Revision,
    },
}

/// A change of one agent, and when and under which epoch it took effect.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// When, since the start.
    pub at: Duration,
    /// Under which epoch.
    pub epoch: Epoch,
    /// What.
    pub change: Change,
}

impl Applied {
    /// A change as it took effect.
    pub fn new(at: Duration, epoch: Epoch, change: Change) -> Self {
        Self { at, epoch, change }
    }
}

/// All changes that took effect, by agent.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    agents: BTreeMap<AgentId, Vec<Applied>>,
}

impl Journal {
    /// Adds a change, as it takes effect.
    pub fn record(&mut self, id: &AgentId, at: Duration, epoch: Epoch, change: Change) {
        let applied = Applied::new(at, epoch, change);
        match self.agents.get_mut(id) {
            Some(all) => all.push(applied),
            None => {
                self.agents.insert(id.clone(), vec![applied]);
            }
        }
    }

    /// The agents that were changed, each with its changes in order.
    pub fn agents(&self) -> impl Iterator<Item = (&AgentId, &[Applied])> {
        self.agents.iter().map(|(id, all)| (id, all.as_slice()))
    }

    /// The changes of one agent, in order.
    pub fn of(&self, id: &AgentId) -> &[Applied] {
        self.agents.get(id).map_or(&[], Vec::as_slice)
    }
}
