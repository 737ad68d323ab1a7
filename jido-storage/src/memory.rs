//! The reference adapter: one map behind one lock.

use std::collections::BTreeMap;
use std::ops::Bound;

use async_trait::async_trait;
use bytes::Bytes;
use jido_core::{
    AgentId, AgentKey, Checkpoint, ClusterName, Entry, Epoch, Incarnation, ManagerName, RequestId,
    Revision, Seq, Timestamp,
};
use parking_lot::Mutex;

use crate::{
    AgentRecord, AppendOutcome, Capabilities, ClaimOutcome, ClaimRequest, Commit, Cursor,
    DirectoryPage, DirectoryQuery, Error, ErrorKind, Loaded, NodeRecord, NodeRegistration,
    NodeState, Registration, Renewal, Sharing, Storage,
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

#[derive(Debug, Default)]
struct Tables {
    nodes: BTreeMap<(ClusterName, Incarnation), NodeRecord>,
    agents: BTreeMap<AgentId, Stored>,
}

#[derive(Debug)]
struct Stored {
    record: AgentRecord,
    deleted: bool,
    checkpoint: Option<Checkpoint>,
    entries: Vec<Entry>,
    replies: BTreeMap<RequestId, Bytes>,
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

impl Tables {
    fn is_up(&self, cluster: &ClusterName, incarnation: Incarnation) -> bool {
        self.nodes
            .get(&(cluster.clone(), incarnation))
            .is_some_and(|node| node.state == NodeState::Up)
    }

    fn claim(&mut self, claim: ClaimRequest) -> ClaimOutcome {
        let ClaimRequest {
            id,
            claimant,
            take_from,
            at,
        } = claim;
        if !self.is_up(&id.cluster, claimant) {
            return ClaimOutcome::ClaimantDead;
        }
        if let Some(stored) = self.agents.get(&id)
            && let Some(owner) = stored.record.owner
            && owner != claimant
            && take_from != Some(owner)
            && self.is_up(&id.cluster, owner)
        {
            return ClaimOutcome::Held {
                owner,
                epoch: stored.record.epoch,
            };
        }
        let stored = self.agents.entry(id.clone()).or_insert_with(|| Stored {
            record: AgentRecord {
                id,
                owner: None,
                epoch: Epoch::ZERO,
                revision: Revision::ZERO,
                thread_len: Seq::ZERO,
                created_at: at,
                updated_at: at,
            },
            deleted: false,
            checkpoint: None,
            entries: Vec::new(),
            replies: BTreeMap::new(),
        });
        if std::mem::take(&mut stored.deleted) {
            stored.record.created_at = at;
        }
        stored.record.owner = Some(claimant);
        stored.record.epoch = stored.record.epoch.next();
        stored.record.updated_at = at;
        ClaimOutcome::Claimed(stored.record.epoch)
    }

    /// The agent, if `epoch` still owns it.
    fn owned(&mut self, id: &AgentId, epoch: Epoch) -> Result<&mut Stored, AppendOutcome> {
        match self.agents.get_mut(id) {
            Some(stored) if stored.record.epoch == epoch && stored.record.owner.is_some() => {
                Ok(stored)
            }
            Some(stored) => Err(AppendOutcome::Fenced {
                epoch: stored.record.epoch,
            }),
            None => Err(AppendOutcome::Fenced { epoch: Epoch::ZERO }),
        }
    }

    fn append(&mut self, commit: Commit) -> Result<Revision, AppendOutcome> {
        commit
            .check_size(MAX_COMMIT_BYTES)
            .map_err(AppendOutcome::Failed)?;
        let stored = self.owned(&commit.id, commit.epoch)?;
        if stored.record.revision != commit.expected {
            return Err(AppendOutcome::Conflict {
                actual: stored.record.revision,
            });
        }
        let thread_len = Seq(stored.record.thread_len.0 + commit.entries.len() as u64);
        if let Some(checkpoint) = &commit.checkpoint
            && checkpoint.covers > thread_len
        {
            return Err(AppendOutcome::Failed(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "checkpoint of agent {} covers {} entries: its thread has {thread_len}",
                    commit.id, checkpoint.covers
                ),
            )));
        }
        if commit.advances_revision() {
            stored.record.revision = stored.record.revision.next();
        }
        let revision = stored.record.revision;
        for (seq, entry) in (stored.record.thread_len.0..).zip(&commit.entries) {
            stored
                .entries
                .push(Entry::committed(entry, Seq(seq), revision, commit.epoch));
        }
        stored.record.thread_len = thread_len;
        if commit.checkpoint.is_some() {
            stored.checkpoint = commit.checkpoint;
        }
        stored
            .replies
            .extend(commit.requests.into_iter().map(|r| (r.request, r.reply)));
        if commit.release {
            stored.record.owner = None;
        }
        stored.record.updated_at = commit.at;
        Ok(revision)
    }

    fn delete(
        &mut self,
        id: &AgentId,
        epoch: Epoch,
        at: Timestamp,
    ) -> Result<Revision, AppendOutcome> {
        let stored = self.owned(id, epoch)?;
        stored.deleted = true;
        stored.checkpoint = None;
        stored.entries.clear();
        stored.replies.clear();
        stored.record.owner = None;
        stored.record.thread_len = Seq::ZERO;
        stored.record.revision = stored.record.revision.next();
        stored.record.updated_at = at;
        Ok(stored.record.revision)
    }

    fn live(&self, id: &AgentId) -> Option<&Stored> {
        self.agents.get(id).filter(|stored| !stored.deleted)
    }

    fn directory(&self, query: &DirectoryQuery) -> Result<DirectoryPage, Error> {
        let after = match &query.after {
            None => None,
            Some(cursor) => Some(cursor_key(cursor)?),
        };
        let of_manager = |cluster: &ClusterName, manager: &ManagerName| {
            *cluster == query.cluster && *manager == query.manager
        };
        // Agents are ordered by cluster, manager, key: skip to the first that
        // belongs here, then go on while they do.
        let start = match after {
            Some(key) => Bound::Excluded(AgentId::new(
                query.cluster.clone(),
                query.manager.clone(),
                key,
            )),
            None => Bound::Unbounded,
        };
        let limit = query.limit.max(1);
        let mut agents: Vec<AgentRecord> = self
            .agents
            .range((start, Bound::Unbounded))
            .skip_while(|(id, _)| !of_manager(&id.cluster, &id.manager))
            .take_while(|(id, _)| of_manager(&id.cluster, &id.manager))
            .filter(|(_, stored)| {
                !stored.deleted
                    && (stored.record.owner.is_some() || stored.record.revision > Revision::ZERO)
            })
            .map(|(_, stored)| stored.record.clone())
            .take(limit + 1)
            .collect();
        let more = agents.len() > limit;
        agents.truncate(limit);
        let next = agents
            .last()
            .filter(|_| more)
            .map(|last| Cursor(Bytes::copy_from_slice(last.id.key.as_str().as_bytes())));
        Ok(DirectoryPage { agents, next })
    }
}

fn cursor_key(cursor: &Cursor) -> Result<AgentKey, Error> {
    let refused = || {
        Error::new(
            ErrorKind::InvalidInput,
            "the cursor is none that a page gave",
        )
    };
    let text = std::str::from_utf8(&cursor.0).map_err(|e| refused().caused_by(e))?;
    AgentKey::new(text).map_err(|e| refused().caused_by(e))
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
        }
    }

    async fn register_node(&self, node: NodeRegistration) -> Result<Registration, Error> {
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

    async fn reply_of(&self, id: &AgentId, request: RequestId) -> Result<Option<Bytes>, Error> {
        let tables = self.tables.lock();
        Ok(tables
            .live(id)
            .and_then(|stored| stored.replies.get(&request).cloned()))
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
}
