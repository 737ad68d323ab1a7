//! A storage adapter of one's own, and the whole conformance suite on it with one call.
//!
//! `cargo run -p jido-examples --example 09_adapter`
//!
//! In a crate of one's own the suite is a dev-dependency,
//! `jido-storage = { version = "..", features = ["conformance"] }`, and `main` is a test:
//!
//! ```text
//! #[tokio::test(flavor = "multi_thread")]
//! async fn it_keeps_every_rule() {
//!     conformance::run(|| async { Arc::new(Shelf::default()) as Arc<dyn Storage> }).await;
//! }
//! ```
//!
//! The adapter keeps all in ordered maps behind one lock, so that what a method does is
//! one transaction. One on a disk or a server takes `Suite::at`: see `docs/conformance.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use jido_core::{
    AgentId, AgentKey, ClusterName, Entry, Epoch, Incarnation, RequestId, Revision, Seq, Timestamp,
};
use jido_storage::{
    AgentRecord, AppendOutcome, Batching, Capabilities, ClaimOutcome, ClaimRequest, Commit,
    CommittedRequest, Cursor, DirectoryPage, DirectoryQuery, Due, DueQuery, Error, ErrorKind,
    Loaded, NodeRecord, NodeRegistration, NodeState, Registration, Reminders, Renewal, RequestMark,
    RequestWindow, Sharing, Storage, conformance,
};

const MAX_COMMIT_BYTES: usize = 1024 * 1024;

#[derive(Debug, Default)]
struct Shelf(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    nodes: BTreeMap<(ClusterName, Incarnation), NodeRecord>,
    agents: BTreeMap<AgentId, Agent>,
}

/// An agent; of a deleted one the epoch and the revision stay.
#[derive(Debug)]
struct Agent {
    deleted: bool,
    /// Without the window's marks: they follow from the replies.
    loaded: Loaded,
    thread: Vec<Entry>,
    replies: BTreeMap<RequestId, CommittedRequest>,
}

impl Agent {
    fn new(id: AgentId, at: Timestamp, epoch: Epoch, revision: Revision) -> Self {
        let record = AgentRecord {
            id,
            owner: None,
            epoch,
            revision,
            thread_len: Seq::ZERO,
            created_at: at,
            updated_at: at,
        };
        Self {
            deleted: false,
            loaded: Loaded {
                record,
                checkpoint: None,
                thread_metadata: BTreeMap::new(),
                reminders: Reminders::default(),
                requests: RequestWindow::default(),
            },
            thread: Vec::new(),
            replies: BTreeMap::new(),
        }
    }

    /// Writes a commit that every check has let through: nothing in here can fail, so
    /// nothing stays half written.
    fn write(&mut self, commit: Commit) -> Revision {
        let loaded = &mut self.loaded;
        let (record, checkpoint) = (&mut loaded.record, &mut loaded.checkpoint);
        if commit.advances_revision() {
            record.revision = record.revision.next();
        }
        let begins = commit.begins_thread(record.thread_len);
        if commit.erase.checkpoint {
            *checkpoint = None;
        }
        if commit.erase.thread {
            self.thread.clear();
            loaded.thread_metadata.clear();
            if let Some(checkpoint) = checkpoint {
                checkpoint.covers = Seq::ZERO;
            }
        }
        if begins {
            loaded.thread_metadata = commit.thread_metadata;
        }
        for entry in &commit.entries {
            let seq = Seq(self.thread.len() as u64);
            let entry = Entry::committed(entry, seq, record.revision, commit.epoch);
            self.thread.push(entry);
        }
        record.thread_len = Seq(self.thread.len() as u64);
        *checkpoint = commit.checkpoint.or(checkpoint.take());
        if let Some(reminders) = commit.reminders {
            loaded.reminders = reminders;
        }
        for request in &commit.forget {
            self.replies.remove(request);
        }
        for given in commit.requests {
            // A request that has a reply keeps it.
            let reply = self.replies.entry(given.request);
            reply.or_insert(CommittedRequest {
                issued_at: given.issued_at,
                revision: record.revision,
                reply: given.reply,
            });
        }
        let requests = &mut loaded.requests;
        requests.floor = requests.floor.max(commit.forget_before.unwrap_or_default());
        if commit.release {
            record.owner = None;
        }
        record.updated_at = commit.at;
        record.revision
    }
}

impl Tables {
    fn is_up(&self, cluster: &ClusterName, life: Incarnation) -> bool {
        let node = self.nodes.get(&(cluster.clone(), life));
        node.is_some_and(|node| node.state == NodeState::Up)
    }

    fn live(&self, id: &AgentId) -> Option<&Agent> {
        self.agents.get(id).filter(|agent| !agent.deleted)
    }

    /// The agent, if `epoch` owns it.
    fn owned(&mut self, id: &AgentId, epoch: Epoch) -> Result<&mut Agent, AppendOutcome> {
        let Some(agent) = self.agents.get_mut(id) else {
            return Err(AppendOutcome::Fenced { epoch: Epoch::ZERO });
        };
        let record = &agent.loaded.record;
        if record.epoch != epoch || record.owner.is_none() {
            let epoch = record.epoch;
            return Err(AppendOutcome::Fenced { epoch });
        }
        Ok(agent)
    }

    fn append(&mut self, commit: Commit) -> Result<Revision, AppendOutcome> {
        commit
            .check(MAX_COMMIT_BYTES)
            .map_err(AppendOutcome::Failed)?;
        let agent = self.owned(&commit.id, commit.epoch)?;
        let record = &agent.loaded.record;
        if record.revision != commit.expected {
            let actual = record.revision;
            return Err(AppendOutcome::Conflict { actual });
        }
        commit
            .check_covers(record.thread_len)
            .map_err(AppendOutcome::Failed)?;
        Ok(agent.write(commit))
    }
}

impl Shelf {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        // Whoever panicked had written nothing yet.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn outcome(result: Result<Revision, AppendOutcome>) -> AppendOutcome {
    result.map_or_else(|refused| refused, AppendOutcome::Committed)
}

#[async_trait]
impl Storage for Shelf {
    fn capabilities(&self) -> Capabilities {
        // By these the suite picks its cases.
        Capabilities {
            sharing: Sharing::Process,
            durable: false,
            max_commit_bytes: MAX_COMMIT_BYTES,
            batching: Batching::Itself,
        }
    }

    async fn register_node(&self, node: NodeRegistration) -> Result<Registration, Error> {
        node.check()?;
        let nodes = &mut self.tables().nodes;
        if let Some(own) = nodes.get(&(node.cluster.clone(), node.incarnation)) {
            return Ok(match own.state {
                NodeState::Up => Registration::Registered(own.clone()),
                NodeState::Dead => Registration::NameTaken(own.clone()),
            });
        }
        let up = nodes.iter().find(|((cluster, _), other)| {
            *cluster == node.cluster && other.name == node.name && other.state == NodeState::Up
        });
        if let Some((_, other)) = up {
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
        nodes.insert((node.cluster, node.incarnation), record.clone());
        Ok(Registration::Registered(record))
    }

    async fn renew_node(&self, cluster: &ClusterName, life: Incarnation) -> Result<Renewal, Error> {
        let nodes = &mut self.tables().nodes;
        Ok(match nodes.get_mut(&(cluster.clone(), life)) {
            Some(node) if node.state == NodeState::Up => {
                node.beat += 1;
                Renewal::Renewed(node.beat)
            }
            _ => Renewal::Dead,
        })
    }

    async fn declare_dead(
        &self,
        cluster: &ClusterName,
        life: Incarnation,
        observed: Option<u64>,
    ) -> Result<bool, Error> {
        let nodes = &mut self.tables().nodes;
        let Some(node) = nodes.get_mut(&(cluster.clone(), life)) else {
            return Ok(true);
        };
        if observed.is_none_or(|beat| beat == node.beat) {
            node.state = NodeState::Dead;
        }
        Ok(node.state == NodeState::Dead)
    }

    async fn nodes(&self, cluster: &ClusterName) -> Result<Vec<NodeRecord>, Error> {
        let tables = self.tables();
        let nodes = tables.nodes.iter().filter(|((of, _), _)| of == cluster);
        Ok(nodes.map(|(_, node)| node.clone()).collect())
    }

    async fn claim(&self, claim: ClaimRequest) -> Result<ClaimOutcome, Error> {
        let (id, claimant, at) = (claim.id, claim.claimant, claim.at);
        let mut tables = self.tables();
        if !tables.is_up(&id.cluster, claimant) {
            return Ok(ClaimOutcome::ClaimantDead);
        }
        if let Some(record) = tables.agents.get(&id).map(|agent| &agent.loaded.record)
            && let Some(owner) = record.owner
            && owner != claimant
            && claim.take_from != Some(owner)
            && tables.is_up(&id.cluster, owner)
        {
            let epoch = record.epoch;
            return Ok(ClaimOutcome::Held { owner, epoch });
        }
        let first = || Agent::new(id.clone(), at, Epoch::ZERO, Revision::ZERO);
        let agent = tables.agents.entry(id.clone()).or_insert_with(first);
        let record = &mut agent.loaded.record;
        if std::mem::take(&mut agent.deleted) {
            record.created_at = at;
        }
        record.owner = Some(claimant);
        record.epoch = record.epoch.next();
        record.updated_at = at;
        Ok(ClaimOutcome::Claimed(record.epoch))
    }

    async fn load(&self, id: &AgentId) -> Result<Option<Loaded>, Error> {
        let tables = self.tables();
        let Some(agent) = tables.live(id) else {
            return Ok(None);
        };
        let mut loaded = agent.loaded.clone();
        let replies = agent.replies.iter();
        let marks = &mut loaded.requests.marks;
        marks.extend(replies.map(|(request, committed)| RequestMark {
            request: *request,
            issued_at: committed.issued_at,
            revision: committed.revision,
        }));
        marks.sort_by_key(|mark| (mark.issued_at, mark.request));
        Ok(Some(loaded))
    }

    async fn head(&self, id: &AgentId) -> Result<Option<AgentRecord>, Error> {
        let tables = self.tables();
        Ok(tables.live(id).map(|agent| agent.loaded.record.clone()))
    }

    async fn read_thread(
        &self,
        id: &AgentId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        let tables = self.tables();
        let from = usize::try_from(from.0).unwrap_or(usize::MAX);
        let thread = tables.live(id).map_or(&[][..], |agent| &agent.thread);
        Ok(thread.iter().skip(from).take(limit).cloned().collect())
    }

    async fn reply_of(
        &self,
        id: &AgentId,
        request: RequestId,
    ) -> Result<Option<CommittedRequest>, Error> {
        let tables = self.tables();
        let agent = tables.live(id);
        Ok(agent.and_then(|agent| agent.replies.get(&request).cloned()))
    }

    async fn append_many(&self, commits: Vec<Commit>) -> Vec<AppendOutcome> {
        let mut tables = self.tables();
        let commits = commits.into_iter();
        commits
            .map(|commit| outcome(tables.append(commit)))
            .collect()
    }

    async fn delete(&self, id: &AgentId, epoch: Epoch, at: Timestamp) -> AppendOutcome {
        let mut tables = self.tables();
        outcome(tables.owned(id, epoch).map(|agent| {
            let revision = agent.loaded.record.revision.next();
            *agent = Agent::new(id.clone(), at, epoch, revision);
            agent.deleted = true;
            revision
        }))
    }

    async fn directory(&self, query: DirectoryQuery) -> Result<DirectoryPage, Error> {
        let after = query.after.as_ref().map(|cursor| {
            let text = String::from_utf8(cursor.0.to_vec()).ok();
            let key = text.and_then(|text| AgentKey::new(text).ok());
            let refused = "the cursor is none that a page gave";
            key.ok_or_else(|| Error::new(ErrorKind::InvalidInput, refused))
        });
        let (cluster, manager) = (query.cluster.clone(), query.manager.clone());
        let after = after
            .transpose()?
            .map(|key| AgentId::new(cluster, manager, key));
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let of_manager = |id: &AgentId| id.cluster == query.cluster && id.manager == query.manager;
        let limit = query.limit.max(1);
        let tables = self.tables();
        let mut agents: Vec<AgentRecord> = tables
            .agents
            .range((start, Bound::Unbounded))
            .filter(|(id, agent)| of_manager(id) && !agent.deleted)
            .map(|(_, agent)| agent.loaded.record.clone())
            // Who was claimed, gave it back and never committed is not there.
            .filter(|record| record.owner.is_some() || record.revision > Revision::ZERO)
            .take(limit.saturating_add(1))
            .collect();
        let more = agents.len() > limit;
        agents.truncate(limit);
        let last = agents.last().filter(|_| more);
        let next = last.map(|last| {
            let key = last.id.key.as_str().as_bytes();
            Cursor(Bytes::copy_from_slice(key))
        });
        Ok(DirectoryPage { agents, next })
    }

    async fn due(&self, query: DueQuery) -> Result<Vec<Due>, Error> {
        let tables = self.tables();
        let due = tables.agents.iter().filter_map(|(id, agent)| {
            let is_of = id.cluster == query.cluster && id.manager == query.manager;
            let (wake_at, key) = (agent.loaded.reminders.wake_at?, id.key.clone());
            is_of.then_some(Due { wake_at, key })
        });
        let due = due.filter(|due| due.wake_at <= query.until && Some(due) > query.after.as_ref());
        let due: BTreeSet<Due> = due.collect();
        Ok(due.into_iter().take(query.limit.max(1)).collect())
    }
}

#[tokio::main]
async fn main() {
    // Prints the report, and panics with it where a rule is broken.
    let report =
        conformance::run(|| async { Arc::new(Shelf::default()) as Arc<dyn Storage> }).await;
    assert!(report.passed() > 80, "hardly a case applies to it");
}
