//! A storage that does what a test tells it, over the memory adapter.

use std::num::NonZeroUsize;
use std::sync::Arc;

use async_trait::async_trait;
use jido_core::{
    AgentId, AgentKey, ClusterName, Epoch, Incarnation, ManagerName, NewEntry, NodeName, Revision,
    Timestamp,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::*;

/// What happens to a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// As the memory adapter does it.
    Commit,
    Panic,
    /// It is done, but the last outcome is left out.
    ForgetAnOutcome,
}

/// What reached the adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Batch(Vec<String>),
    Delete(String),
    Heads(usize),
}

/// Shows each batch, and holds it until the test lets it go on.
#[derive(Debug)]
pub(super) struct Scripted {
    pub(super) inner: MemoryStorage,
    seen: Mutex<Vec<Seen>>,
    act: Mutex<Act>,
    arrived: Semaphore,
    /// A permit for each call that may go on.
    gate: Semaphore,
}

impl Scripted {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryStorage::new(),
            seen: Mutex::default(),
            act: Mutex::new(Act::Commit),
            arrived: Semaphore::new(0),
            gate: Semaphore::new(0),
        })
    }

    /// Waits until so many more calls have reached the adapter.
    pub(super) async fn arrived(&self, calls: u32) {
        self.arrived.acquire_many(calls).await.unwrap().forget();
    }

    /// Lets so many calls go on.
    pub(super) fn let_go(&self, calls: usize) {
        self.gate.add_permits(calls);
    }

    pub(super) fn set(&self, act: Act) {
        *self.act.lock() = act;
    }

    /// What has reached the adapter since it was last asked.
    pub(super) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock())
    }

    async fn pass(&self, seen: Seen) {
        self.seen.lock().push(seen);
        self.arrived.add_permits(1);
        self.gate.acquire().await.unwrap().forget();
    }

    pub(super) async fn claim(&self, key: &str) -> (AgentId, Epoch) {
        let cluster = ClusterName::new("c").unwrap();
        let node = NodeRegistration {
            cluster: cluster.clone(),
            name: NodeName::new("n1").unwrap(),
            incarnation: Incarnation(1),
            address: String::new(),
            metadata: Default::default(),
            at: Timestamp(0),
        };
        self.inner.register_node(node).await.unwrap();
        let manager = ManagerName::new("agents").unwrap();
        let id = AgentId::new(cluster, manager, AgentKey::new(key).unwrap());
        let claim = ClaimRequest {
            id: id.clone(),
            claimant: Incarnation(1),
            take_from: None,
            at: Timestamp(0),
        };
        match self.inner.claim(claim).await.unwrap() {
            ClaimOutcome::Claimed(epoch) => (id, epoch),
            other => panic!("{other:?}"),
        }
    }
}

/// A commit of one entry of so many bytes.
pub(super) fn note((id, epoch): &(AgentId, Epoch), expected: u64, bytes: usize) -> Commit {
    let mut commit = Commit::new(id.clone(), *epoch, Revision(expected), Timestamp(0));
    let entry = NewEntry::new("e", Timestamp(0), vec![0; bytes].into()).unwrap();
    commit.entries.push(entry);
    commit
}

#[async_trait]
impl crate::Layer for Scripted {
    fn inner(&self) -> &dyn Storage {
        &self.inner
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            batching: Batching::Lanes(NonZeroUsize::MIN),
            ..self.inner.capabilities()
        }
    }

    async fn heads(&self, ids: &[AgentId]) -> Result<Vec<Option<AgentRecord>>, Error> {
        self.seen.lock().push(Seen::Heads(ids.len()));
        self.inner.heads(ids).await
    }

    async fn append_many(&self, commits: Vec<Commit>) -> Vec<AppendOutcome> {
        let names = commits
            .iter()
            .map(|commit| format!("{}{}", commit.id.key, commit.expected))
            .collect();
        self.pass(Seen::Batch(names)).await;
        let act = *self.act.lock();
        assert!(act != Act::Panic, "as the test asked");
        let mut outcomes = self.inner.append_many(commits).await;
        if act == Act::ForgetAnOutcome {
            let _ = outcomes.pop();
        }
        outcomes
    }

    async fn delete(&self, id: &AgentId, epoch: Epoch, at: Timestamp) -> AppendOutcome {
        self.pass(Seen::Delete(id.key.to_string())).await;
        self.inner.delete(id, epoch, at).await
    }
}
