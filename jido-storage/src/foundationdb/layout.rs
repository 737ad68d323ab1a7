//! Which key holds what. Keys are tuples of FoundationDB's tuple layer behind
//! the storage's prefix, so that other programs can read them:
//!
//! | Key | Value |
//! |---|---|
//! | `(0)` | who laid this down, and in which version |
//! | `(1, cluster, incarnation)` | a life of a node, without its beat |
//! | `(2, cluster, incarnation)` | its beat |
//! | `(3, cluster, manager, key)` | who owns an agent |
//! | `(4, cluster, manager, key, 0, chunk)` | its checkpoint |
//! | `(4, cluster, manager, key, 1, chunk)` | what its thread says about itself |
//! | `(4, cluster, manager, key, 2, seq, chunk)` | an entry |
//! | `(4, cluster, manager, key, 3, client, seq)` | the mark of a request |
//! | `(4, cluster, manager, key, 4, client, seq, chunk)` | its reply |
//! | `(4, cluster, manager, key, 5, chunk)` | its reminders |
//! | `(5, instance, lane)` | the marker of a lane, see `lanes.rs` |
//! | `(6, cluster, manager, wake_at, key)` | nothing: the agent is to be woken then |
//! | `(7, cluster, manager, key)` | how far an agent is, without its content |
//!
//! The beat stands apart, so that a claim, which reads whether nodes are up,
//! doesn't conflict with their renewals. Whose an agent is stands apart from how far it
//! is, so that a claim doesn't conflict with its owner's commits. Both stand apart from its content,
//! so that a page of the directory reads nothing else. Incarnations, instances
//! and clients are 16 bytes, big-endian. The tuple layer keeps the order of
//! numbers and of UTF-8, and escapes a NUL.

use foundationdb_tuple::{Bytes as Raw, TuplePack, pack, unpack};
use jido_core::{
    AgentId, AgentKey, ClusterName, Incarnation, ManagerName, RequestId, Seq, Timestamp,
};

use crate::{Due, DueQuery};

const SCHEMA: u64 = 0;
const NODES: u64 = 1;
const BEATS: u64 = 2;
const CLAIMS: u64 = 3;
const CONTENT: u64 = 4;
const MARKERS: u64 = 5;
const DUE: u64 = 6;
const STATES: u64 = 7;

const CHECKPOINT: u64 = 0;
const METADATA: u64 = 1;
const ENTRIES: u64 = 2;
const MARKS: u64 = 3;
const REPLIES: u64 = 4;
const REMINDERS: u64 = 5;

/// A range of keys: from the first on, up to before the second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) begin: Vec<u8>,
    pub(super) end: Vec<u8>,
}

impl Span {
    /// All keys that go on behind a tuple.
    fn of(tuple: &[u8]) -> Self {
        Self {
            begin: joined(tuple, &[0x00]),
            end: joined(tuple, &[0xff]),
        }
    }

    /// One key alone.
    pub(super) fn only(key: Vec<u8>) -> Self {
        let end = joined(&key, &[0x00]);
        Self { begin: key, end }
    }

    /// Leaves what is behind a key.
    pub(super) fn begin_after(&mut self, key: &[u8]) {
        self.begin = joined(key, &[0x00]);
    }
}

fn joined(front: &[u8], back: &[u8]) -> Vec<u8> {
    [front, back].concat()
}

/// The keys of one storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    prefix: Vec<u8>,
}

impl Layout {
    pub(super) fn new(prefix: Vec<u8>) -> Self {
        Self { prefix }
    }

    fn key<T: TuplePack>(&self, tuple: &T) -> Vec<u8> {
        joined(&self.prefix, &pack(tuple))
    }

    /// All keys of the storage.
    pub(super) fn everything(&self) -> Span {
        Span::of(&self.prefix)
    }

    /// Where it stands who laid this down.
    pub(super) fn schema(&self) -> Vec<u8> {
        self.key(&(SCHEMA,))
    }

    /// Where a life of a node stands.
    pub(super) fn node(&self, cluster: &ClusterName, life: Incarnation) -> Vec<u8> {
        self.key(&(NODES, cluster.as_str(), &life.0.to_be_bytes()[..]))
    }

    /// Where the beat of a life of a node stands.
    pub(super) fn beat(&self, cluster: &ClusterName, life: Incarnation) -> Vec<u8> {
        self.key(&(BEATS, cluster.as_str(), &life.0.to_be_bytes()[..]))
    }

    /// Where all lives of a cluster's nodes stand.
    pub(super) fn nodes(&self, cluster: &ClusterName) -> Span {
        Span::of(&self.key(&(NODES, cluster.as_str())))
    }

    /// Where the beats of all lives of a cluster's nodes stand.
    pub(super) fn beats(&self, cluster: &ClusterName) -> Span {
        Span::of(&self.key(&(BEATS, cluster.as_str())))
    }

    /// The life that a key among a cluster's nodes or beats stands for.
    pub(super) fn life_of(&self, key: &[u8]) -> Option<Incarnation> {
        let tuple = key.strip_prefix(self.prefix.as_slice())?;
        let (_, _, life): (u64, String, Raw<'_>) = unpack(tuple).ok()?;
        Some(Incarnation(u128::from_be_bytes(
            life.0.as_ref().try_into().ok()?,
        )))
    }

    /// Where it stands whose an agent is.
    pub(super) fn claim(&self, id: &AgentId) -> Vec<u8> {
        self.of_agent(CLAIMS, &id.cluster, &id.manager, &id.key)
    }

    /// Where it stands how far an agent is.
    pub(super) fn state(&self, id: &AgentId) -> Vec<u8> {
        self.of_agent(STATES, &id.cluster, &id.manager, &id.key)
    }

    fn of_agent(
        &self,
        what: u64,
        cluster: &ClusterName,
        manager: &ManagerName,
        key: &AgentKey,
    ) -> Vec<u8> {
        self.key(&(what, cluster.as_str(), manager.as_str(), key.as_str()))
    }

    /// Where it stands how far the agents of a manager are, from one of them to another.
    pub(super) fn states(
        &self,
        cluster: &ClusterName,
        manager: &ManagerName,
        [first, last]: [&AgentKey; 2],
    ) -> Span {
        Span {
            begin: self.of_agent(STATES, cluster, manager, first),
            end: Span::only(self.of_agent(STATES, cluster, manager, last)).end,
        }
    }

    /// Where it stands whose the agents of a manager are, behind one of them if it is given.
    pub(super) fn claims(
        &self,
        cluster: &ClusterName,
        manager: &ManagerName,
        after: Option<&AgentKey>,
    ) -> Span {
        let mut span = Span::of(&self.key(&(CLAIMS, cluster.as_str(), manager.as_str())));
        if let Some(after) = after {
            span.begin_after(&self.of_agent(CLAIMS, cluster, manager, after));
        }
        span
    }

    /// The agent that a key among a manager's claims or states stands for.
    pub(super) fn agent_of(&self, key: &[u8]) -> Option<AgentKey> {
        let tuple = key.strip_prefix(self.prefix.as_slice())?;
        let (_, _, _, key): (u64, String, String, String) = unpack(tuple).ok()?;
        AgentKey::new(key).ok()
    }

    /// Where it stands that an agent is to be woken at a time.
    pub(super) fn due(&self, id: &AgentId, wake_at: Timestamp) -> Vec<u8> {
        self.due_of(&id.cluster, &id.manager, wake_at, &id.key)
    }

    fn due_of(
        &self,
        cluster: &ClusterName,
        manager: &ManagerName,
        wake_at: Timestamp,
        key: &AgentKey,
    ) -> Vec<u8> {
        let (cluster, manager) = (cluster.as_str(), manager.as_str());
        self.key(&(DUE, cluster, manager, wake_at.0, key.as_str()))
    }

    /// Where those of a manager's agents stand that are to be woken at a time or before, behind
    /// one of them if it is given.
    pub(super) fn due_by(&self, query: &DueQuery) -> Span {
        let (cluster, manager) = (&query.cluster, &query.manager);
        let names = (DUE, cluster.as_str(), manager.as_str(), query.until.0);
        let mut span = Span {
            begin: Span::of(&self.key(&(DUE, cluster.as_str(), manager.as_str()))).begin,
            end: Span::of(&self.key(&names)).end,
        };
        if let Some(after) = &query.after {
            span.begin_after(&self.due_of(cluster, manager, after.wake_at, &after.key));
            // Behind the last one there is nothing, not less than nothing.
            span.end = span.end.max(span.begin.clone());
        }
        span
    }

    /// Who is to be woken, and when, by a key among those.
    pub(super) fn due_at(&self, key: &[u8]) -> Option<Due> {
        let tuple = key.strip_prefix(self.prefix.as_slice())?;
        let (_, _, _, wake_at, key): (u64, String, String, u64, String) = unpack(tuple).ok()?;
        let key = AgentKey::new(key).ok()?;
        Some(Due {
            wake_at: Timestamp(wake_at),
            key,
        })
    }

    /// Where an agent's content stands.
    pub(super) fn content(&self, id: &AgentId) -> Content {
        let AgentId {
            cluster,
            manager,
            key,
        } = id;
        Content {
            base: self.key(&(CONTENT, cluster.as_str(), manager.as_str(), key.as_str())),
        }
    }

    /// Where the marker of a lane stands.
    pub(super) fn marker(&self, instance: u128, lane: u64) -> Vec<u8> {
        self.key(&(MARKERS, &instance.to_be_bytes()[..], lane))
    }

    /// Where all markers from an instance on stand.
    pub(super) fn markers_from(&self, instance: u128) -> Span {
        Span {
            begin: self.key(&(MARKERS, &instance.to_be_bytes()[..])),
            end: Span::of(&self.key(&(MARKERS,))).end,
        }
    }
}

/// The keys of an agent's content.
#[derive(Debug, Clone)]
pub(super) struct Content {
    base: Vec<u8>,
}

impl Content {
    fn key<T: TuplePack>(&self, tuple: &T) -> Vec<u8> {
        joined(&self.base, &pack(tuple))
    }

    /// How long the keys are at the most, chunk and all.
    pub(super) fn longest_key(&self) -> usize {
        // Kind, client, seq, chunk.
        self.base.len() + 2 + 18 + 16 * 2 + 9 + 9
    }

    pub(super) fn everything(&self) -> Span {
        Span::of(&self.base)
    }

    /// What the checkpoint's chunks stand behind.
    pub(super) fn checkpoint(&self) -> Vec<u8> {
        self.key(&(CHECKPOINT,))
    }

    /// What the chunks of the thread's metadata stand behind.
    pub(super) fn metadata(&self) -> Vec<u8> {
        self.key(&(METADATA,))
    }

    /// What the chunks of the reminders stand behind.
    pub(super) fn reminders(&self) -> Vec<u8> {
        self.key(&(REMINDERS,))
    }

    /// What an entry's chunks stand behind.
    pub(super) fn entry(&self, seq: Seq) -> Vec<u8> {
        self.key(&(ENTRIES, seq.0))
    }

    /// All entries.
    pub(super) fn thread(&self) -> Span {
        Span::of(&self.key(&(ENTRIES,)))
    }

    /// The entries from one place up to before another.
    pub(super) fn entries(&self, from: Seq, to: Seq) -> Span {
        Span {
            begin: self.entry(from),
            end: self.entry(to),
        }
    }

    /// The place of the entry that a key among the entries belongs to.
    pub(super) fn seq_of(&self, key: &[u8]) -> Option<Seq> {
        let tuple = key.strip_prefix(self.base.as_slice())?;
        let (_, seq, _): (u64, u64, u64) = unpack(tuple).ok()?;
        Some(Seq(seq))
    }

    /// Where the mark of a request stands.
    pub(super) fn mark(&self, request: RequestId) -> Vec<u8> {
        let client = request.client().to_be_bytes();
        self.key(&(MARKS, &client[..], request.seq()))
    }

    /// Where all marks stand.
    pub(super) fn marks(&self) -> Span {
        Span::of(&self.key(&(MARKS,)))
    }

    /// The request that a key among the marks stands for.
    pub(super) fn request_of(&self, key: &[u8]) -> Option<RequestId> {
        let tuple = key.strip_prefix(self.base.as_slice())?;
        let (_, client, seq): (u64, Raw<'_>, u64) = unpack(tuple).ok()?;
        let client = u128::from_be_bytes(client.0.as_ref().try_into().ok()?);
        Some(RequestId::new(client, seq))
    }

    /// What the chunks of a request's reply stand behind.
    pub(super) fn reply(&self, request: RequestId) -> Vec<u8> {
        let client = request.client().to_be_bytes();
        self.key(&(REPLIES, &client[..], request.seq()))
    }
}

/// Where a chunk of what stands behind a key stands.
pub(super) fn chunk(behind: &[u8], chunk: u64) -> Vec<u8> {
    joined(behind, &pack(&(chunk,)))
}

/// Where all chunks of what stands behind a key stand.
pub(super) fn chunks(behind: &[u8]) -> Span {
    Span::of(behind)
}
