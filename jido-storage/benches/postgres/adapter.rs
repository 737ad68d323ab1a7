//! The adapter as a node runs it: every agent a task that appends one entry after the other.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use jido_core::{
    AgentId, AgentKey, ClusterName, Epoch, Incarnation, ManagerName, NewEntry, NodeName, Revision,
    Timestamp,
};
use jido_storage::{
    AppendOutcome, Batching, ClaimOutcome, ClaimRequest, Commit, GroupCommitter, GroupOptions,
    NodeRegistration, PostgresOptions, PostgresStorage, Storage,
};

use crate::{BYTES, LANES};

pub(crate) const CLAIMANT: Incarnation = Incarnation(1);

pub(crate) fn cluster() -> ClusterName {
    ClusterName::new("bench").unwrap()
}

pub(crate) fn manager() -> ManagerName {
    ManagerName::new("agents").unwrap()
}

pub(crate) fn agent(n: usize) -> AgentId {
    let key = AgentKey::new(format!("agent-{n}")).unwrap();
    AgentId::new(cluster(), manager(), key)
}

/// The adapter with its defaults, and its node.
pub(crate) async fn connect(url: &str) -> PostgresStorage {
    let options = PostgresOptions::new(url).unwrap();
    let storage = PostgresStorage::connect(options).await.unwrap();
    let node = NodeRegistration {
        cluster: cluster(),
        name: NodeName::new("n1").unwrap(),
        incarnation: CLAIMANT,
        address: String::new(),
        metadata: BTreeMap::new(),
        at: Timestamp(0),
    };
    storage.register_node(node).await.unwrap();
    storage
}

pub(crate) async fn claim(storage: &PostgresStorage, id: &AgentId) -> Epoch {
    let claim = ClaimRequest {
        id: id.clone(),
        claimant: CLAIMANT,
        take_from: None,
        at: Timestamp(0),
    };
    match storage.claim(claim).await.unwrap() {
        ClaimOutcome::Claimed(epoch) => epoch,
        other => panic!("not claimed: {other:?}"),
    }
}

/// An agent that is claimed, and the revision that it is at.
struct Claimed {
    id: AgentId,
    epoch: Epoch,
    revision: AtomicU64,
}

pub(crate) struct Adapter {
    counted: Arc<Counted>,
    group: Arc<GroupCommitter>,
    agents: Vec<Arc<Claimed>>,
}

impl Adapter {
    pub(crate) async fn new(url: &str, agents: usize) -> Self {
        let storage = connect(url).await;
        let lanes = storage.capabilities().batching;
        assert!(matches!(lanes, Batching::Lanes(lanes) if lanes.get() == LANES));
        let mut claimed = Vec::new();
        for n in 0..agents {
            let id = agent(n);
            let epoch = claim(&storage, &id).await;
            let revision = AtomicU64::new(0);
            claimed.push(Arc::new(Claimed {
                id,
                epoch,
                revision,
            }));
        }
        let counted = Arc::new(Counted {
            inner: storage,
            batches: AtomicU64::new(0),
            commits: AtomicU64::new(0),
        });
        let (group, drivers) = GroupCommitter::new(counted.clone(), &GroupOptions::new()).unwrap();
        for driver in drivers {
            tokio::spawn(driver.run());
        }
        Self {
            counted,
            group: Arc::new(group),
            agents: claimed,
        }
    }

    /// How many agents each lane of the group committer has.
    pub(crate) fn shares(&self) -> Vec<usize> {
        let mut shares = vec![0; LANES];
        for agent in &self.agents {
            let mut hasher = DefaultHasher::new();
            agent.id.hash(&mut hasher);
            shares[(hasher.finish() % LANES as u64) as usize] += 1;
        }
        shares.retain(|share| *share > 0);
        shares
    }

    /// Commits of a batch, on the average.
    pub(crate) fn batch(&self) -> f64 {
        let (commits, batches) = (&self.counted.commits, &self.counted.batches);
        commits.load(Ordering::Relaxed) as f64 / batches.load(Ordering::Relaxed) as f64
    }

    /// Appends behind the group committer, or each in a transaction of its own.
    pub(crate) async fn rounds(&self, rounds: u64, grouped: bool) -> Duration {
        let storage: Arc<dyn Storage> = match grouped {
            true => self.group.clone(),
            false => Arc::new(self.counted.inner.clone()),
        };
        let payload = Bytes::from(vec![7u8; BYTES]);
        let begun = Instant::now();
        let tasks: Vec<_> = self
            .agents
            .iter()
            .map(|agent| {
                let (storage, agent, payload) = (storage.clone(), agent.clone(), payload.clone());
                tokio::spawn(async move {
                    for _ in 0..rounds {
                        append(&*storage, &agent, &payload).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        begun.elapsed()
    }
}

async fn append(storage: &dyn Storage, agent: &Claimed, payload: &Bytes) {
    let expected = agent.revision.load(Ordering::Relaxed);
    let at = Timestamp(expected);
    let mut commit = Commit::new(agent.id.clone(), agent.epoch, Revision(expected), at);
    commit
        .entries
        .push(NewEntry::new("e", at, payload.clone()).unwrap());
    match storage.append(commit).await {
        AppendOutcome::Committed(now) => agent.revision.store(now.0, Ordering::Relaxed),
        other => panic!("{other:?}"),
    }
}

/// Counts the batches that reach the adapter.
#[derive(Debug)]
struct Counted {
    inner: PostgresStorage,
    batches: AtomicU64,
    commits: AtomicU64,
}

#[async_trait]
impl jido_storage::Layer for Counted {
    fn inner(&self) -> &dyn Storage {
        &self.inner
    }

    async fn append_many(&self, commits: Vec<Commit>) -> Vec<AppendOutcome> {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.commits
            .fetch_add(commits.len() as u64, Ordering::Relaxed);
        self.inner.append_many(commits).await
    }
}
