//! What a manager was built with.

use std::sync::Arc;
use std::time::Duration;

use jido_core::{Agent, AgentKey, ManagerName};
use jido_storage::Storage;

use super::passivation::{Capacity, Patience};
use crate::activation::{Durability, RequestLimits};
use crate::lease::{Lease, Takeover};
use crate::placement::PlacementPolicy;
use crate::reads::Reads;
use crate::rebalance::Rebalancing;
use crate::telemetry::ManagerMetrics;

/// Makes a fresh agent.
pub(crate) type Initial<A> = Arc<dyn Fn(&AgentKey) -> A + Send + Sync>;

/// Sets what is not part of an agent's serialized state.
pub(crate) type Prepare<A> = Arc<dyn Fn(&mut A, &AgentKey) + Send + Sync>;

/// What a manager was built with.
pub(crate) struct Settings<A: Agent> {
    pub(crate) name: ManagerName,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) durability: Durability,
    pub(crate) reads: Reads,
    pub(crate) lease: Arc<Lease>,
    /// How far back requests are remembered; none where there are no records of them,
    /// and a call whose fate is unknown can't be tried again.
    pub(crate) requests: Option<RequestLimits>,
    pub(crate) takeover: Takeover,
    pub(crate) placement: Arc<dyn PlacementPolicy>,
    pub(crate) patience: Patience,
    pub(crate) capacity: Capacity,
    /// How often agents are looked for that are to be reminded; none for never.
    pub(crate) wake_every: Option<Duration>,
    pub(crate) rebalancing: Rebalancing,
    pub(crate) mailbox_limit: u64,
    /// The storage's limit, asked for once.
    pub(crate) max_commit_bytes: usize,
    pub(crate) concurrent_activations: usize,
    /// Whether the manager's supervisor is told of failures of its agents.
    pub(crate) escalates: bool,
    pub(crate) initial: Initial<A>,
    pub(crate) prepare: Prepare<A>,
    pub(crate) metrics: Arc<ManagerMetrics>,
}

impl<A: Agent> Clone for Settings<A> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            storage: self.storage.clone(),
            durability: self.durability,
            reads: self.reads,
            lease: self.lease.clone(),
            requests: self.requests,
            takeover: self.takeover,
            placement: self.placement.clone(),
            patience: self.patience,
            capacity: self.capacity,
            wake_every: self.wake_every,
            rebalancing: self.rebalancing,
            mailbox_limit: self.mailbox_limit,
            max_commit_bytes: self.max_commit_bytes,
            concurrent_activations: self.concurrent_activations,
            escalates: self.escalates,
            initial: self.initial.clone(),
            prepare: self.prepare.clone(),
            metrics: self.metrics.clone(),
        }
    }
}
