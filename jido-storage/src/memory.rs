//! The reference adapter: one map behind one lock.

mod due;
mod tables;

use async_trait::async_trait;
use jido_core::{
    AgentId, ClusterName, Entry, Epoch, Incarnation, RequestId, Revision, Seq, Timestamp,
};
use parking_lot::Mutex;
use tables::Tables;

use crate::{
    AgentRecord, AppendOutcome, Batching, Capabilities, ClaimOutcome, ClaimRequest, Commit,
    CommittedRequest, DirectoryPage, DirectoryQuery, Due, DueQuery, Error, Loaded, NodeRecord,
    NodeRegistration, NodeState, Registration, Renewal, Sharing, Storage,
};

/// 8 MiB, as the durable adapters have it, so that what passes tests on this one
/// passes there.
const MAX_COMMIT_BYTES: usize = 8 * 1024 * 1024;

/// Keeps everything in the memory of one process. The reference for the other
/// adapters, and a store for state that may be lost.
///
/// Nodes of different processes never see the same records. A cluster whose nodes
/// all live in one process may share one [`MemoryStorage::shared`].
#[derive(Debug)]
pub struct MemoryStorage {
    sharing: Sharing,
    tables: Mutex<Tables>,
}

impl MemoryStorage {
    /// An empty storage for the one node of this process.
    pub fn new() -> Self {
        Self {
            sharing: Sharing::Process,
            tables: Mutex::default(),
        }
    }

    /// An empty storage that every node of the cluster is given, because all of them
    /// live in this process, as they do in tests.
    pub fn shared() -> Self {
        Self {
            sharing: Sharing::Cluster,
            ..Self::new()
        }
    }
}

impl Default for MemoryStorage {
    fn default() -> Self {
        Self::new()
    }
}

fn outcome(result: Result<Revision, AppendOutcome>) -> AppendOutcome {
    match result {
        Ok(revision) => AppendOutcome::Committed(revision),
        Err(outcome) => outcome,
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            sharing: self.sharing,
            durable: false,
            max_commit_bytes: MAX_COMMIT_BYTES,
            // A commit costs no more alone than in a batch.
            batching: Batching::Itself,
        }
    }

    async fn register_node(&self, node: NodeRegistration) -> Result<Registration, Error> {
        node.check()?;
        let mut tables = self.tables.lock();
        let own = tables.nodes.get(&(node.cluster.clone(), node.incarnation));
        if let Some(own) = own {
            return Ok(match own.state {
                NodeState::Up => Registration::Registered(own.clone()),
                NodeState::Dead => Registration::NameTaken(own.clone()),
            });
        }
        let taken = tables.nodes.iter().find(|((cluster, _), other)| {
            *cluster == node.cluster && other.name == node.name && other.state == NodeState::Up
        });
        if let Some((_, other)) = taken {
            return Ok(Registration::NameTaken(other.clone()));
        }
        let record = NodeRecord {
            name: node.name,
            incarnation: node.incarnation,
            beat: 1,
            state: NodeState::Up,
            address: node.address,
            metadata: node.metadata,
            registered_at: node.at,
        };
        tables
            .nodes
            .insert((node.cluster, node.incarnation), record.clone());
        Ok(Registration::Registered(record))
    }

    async fn renew_node(
        &self,
        cluster: &ClusterName,
        incarnation: Incarnation,
    ) -> Result<Renewal, Error> {
        let mut tables = self.tables.lock();
        Ok(
            match tables.nodes.get_mut(&(cluster.clone(), incarnation)) {
                Some(node) if node.state == NodeState::Up => {
                    node.beat += 1;
                    Renewal::Renewed(node.beat)
                }
                _ => Renewal::Dead,
            },
        )
    }

    async fn declare_dead(
        &self,
        cluster: &ClusterName,
        incarnation: Incarnation,
        observed: Option<u64>,
    ) -> Result<bool, Error> {
        let mut tables = self.tables.lock();
        let Some(node) = tables.nodes.get_mut(&(cluster.clone(), incarnation)) else {
            return Ok(true);
        };
        if observed.is_none_or(|beat| beat == node.beat) {
            node.state = NodeState::Dead;
        }
        Ok(node.state == NodeState::Dead)
    }

    async fn nodes(&self, cluster: &ClusterName) -> Result<Vec<NodeRecord>, Error> {
        let tables = self.tables.lock();
        Ok(tables
            .nodes
            .iter()
            .filter(|((of, _), _)| of == cluster)
            .map(|(_, node)| node.clone())
            .collect())
    }

    async fn claim(&self, claim: ClaimRequest) -> Result<ClaimOutcome, Error> {
        Ok(self.tables.lock().claim(claim))
    }

    async fn load(&self, id: &AgentId) -> Result<Option<Loaded>, Error> {
        let tables = self.tables.lock();
        Ok(tables.live(id).map(|stored| Loaded {
            record: stored.record.clone(),
            checkpoint: stored.checkpoint.clone(),
            thread_metadata: stored.thread_metadata.clone(),
            reminders: stored.reminders.clone(),
            requests: stored.window(),
        }))
    }

    async fn head(&self, id: &AgentId) -> Result<Option<AgentRecord>, Error> {
        let tables = self.tables.lock();
        Ok(tables.live(id).map(|stored| stored.record.clone()))
    }

    async fn read_thread(
        &self,
        id: &AgentId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        let tables = self.tables.lock();
        let from = usize::try_from(from.0).unwrap_or(usize::MAX);
        Ok(tables
            .live(id)
            .map(|stored| {
                stored
                    .entries
                    .iter()
                    .skip(from)
                    .take(limit)
                    .cloned()
                    .collect()
            })
            .unwrap_or_default())
    }

    async fn reply_of(
        &self,
        id: &AgentId,
        request: RequestId,
    ) -> Result<Option<CommittedRequest>, Error> {
        let tables = self.tables.lock();
        Ok(tables
            .live(id)
            .and_then(|stored| stored.requests.get(&request).cloned()))
    }

    async fn append_many(&self, commits: Vec<Commit>) -> Vec<AppendOutcome> {
        let mut tables = self.tables.lock();
        commits
            .into_iter()
            .map(|commit| outcome(tables.append(commit)))
            .collect()
    }

    async fn delete(&self, id: &AgentId, epoch: Epoch, at: Timestamp) -> AppendOutcome {
        outcome(self.tables.lock().delete(id, epoch, at))
    }

    async fn directory(&self, query: DirectoryQuery) -> Result<DirectoryPage, Error> {
        self.tables.lock().directory(&query)
    }

    async fn due(&self, query: DueQuery) -> Result<Vec<Due>, Error> {
        Ok(self.tables.lock().due.page(query))
    }
}
