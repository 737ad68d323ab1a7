//! What is stored where: the tables, their keys and their records.
//!
//! | Table | Key | Record |
//! |---|---|---|
//! | `meta` | a name | schema, next slot |
//! | `nodes` | cluster, NUL, incarnation | [`NodeRecord`](crate::NodeRecord) |
//! | `agents` | cluster, NUL, manager, NUL, key (or NUL and its hash) | [`AgentRow`] |
//! | `checkpoints` | slot | [`CheckpointRow`] |
//! | `entries` | slot, seq | [`EntryRow`] |
//! | `threads` | slot | what the thread says about itself, if it says anything |
//! | `requests` | slot, client, seq | [`CommittedRequest`](crate::CommittedRequest) |
//! | `reminders` | slot | [`Reminders`](crate::Reminders), if it has any |
//! | `due` | cluster, NUL, manager, NUL, time, key (or NUL and its hash) | the key of an agent to be woken then |
//!
//! Numbers in keys are big-endian, so that their order is the order of the
//! keys. A slot is a number that an agent gets with its first claim and keeps
//! for good: it keeps long keys out of the tables with many records.

use std::ops::RangeInclusive;

use bytes::Bytes;
use heed::types::Bytes as Raw;
use heed::{Database, RoTxn, RwTxn};
use jido_core::{
    AgentId, ClusterName, Entry, Epoch, Incarnation, ManagerName, NewEntry, RequestId, Revision,
    Seq, Timestamp,
};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::codec::{decode, encode, encode_into};
use super::fault::Fault;
use crate::{AgentRecord, Error, ErrorKind, NodeRecord};

/// A table: its keys and records are bytes to LMDB.
pub(super) type Table = Database<'static, Raw, Raw>;

/// The tables of an environment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tables {
    pub(super) meta: Table,
    pub(super) nodes: Table,
    pub(super) agents: Table,
    pub(super) checkpoints: Table,
    pub(super) entries: Table,
    pub(super) threads: Table,
    pub(super) requests: Table,
    pub(super) reminders: Table,
    pub(super) due: Table,
}

/// The longest key that LMDB takes.
const MAX_INDEX_KEY: usize = 511;

/// An agent, without its state. Its record holds the whole id too, as `I`: whoever looks
/// it up knows the id, and only compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AgentRow<I = ()> {
    pub(super) slot: u64,
    pub(super) id: I,
    pub(super) owner: Option<Incarnation>,
    pub(super) epoch: Epoch,
    pub(super) revision: Revision,
    pub(super) thread_len: Seq,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    /// A deleted agent's row stays, since its epoch and revision go on counting.
    pub(super) deleted: bool,
    /// The floor of its window of requests.
    pub(super) floor: Timestamp,
}

/// The parts of an [`AgentId`], where they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct IdParts<'a> {
    cluster: &'a str,
    manager: &'a str,
    key: &'a str,
}

impl<'a> From<&'a AgentId> for IdParts<'a> {
    fn from(id: &'a AgentId) -> Self {
        Self {
            cluster: id.cluster.as_str(),
            manager: id.manager.as_str(),
            key: id.key.as_str(),
        }
    }
}

impl<I> AgentRow<I> {
    /// The same row with another form of its id.
    fn with_id<J>(self, id: J) -> AgentRow<J> {
        AgentRow {
            slot: self.slot,
            id,
            owner: self.owner,
            epoch: self.epoch,
            revision: self.revision,
            thread_len: self.thread_len,
            created_at: self.created_at,
            updated_at: self.updated_at,
            deleted: self.deleted,
            floor: self.floor,
        }
    }
}

impl AgentRow {
    pub(super) fn into_record(self, id: AgentId) -> AgentRecord {
        self.with_id(id).into()
    }
}

impl From<AgentRow<AgentId>> for AgentRecord {
    fn from(row: AgentRow<AgentId>) -> Self {
        Self {
            id: row.id,
            owner: row.owner,
            epoch: row.epoch,
            revision: row.revision,
            thread_len: row.thread_len,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// An agent's last checkpoint.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CheckpointRow {
    pub(super) covers: Seq,
    pub(super) state: Bytes,
}

/// An entry; its place stands in its key.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EntryRow {
    revision: Revision,
    epoch: Epoch,
    kind: String,
    at: Timestamp,
    payload: Bytes,
    refs: Vec<(String, String)>,
}

impl EntryRow {
    pub(super) fn new(entry: NewEntry, revision: Revision, epoch: Epoch) -> Self {
        let NewEntry {
            kind,
            at,
            payload,
            refs,
        } = entry;
        Self {
            revision,
            epoch,
            kind,
            at,
            payload,
            refs,
        }
    }

    pub(super) fn into_entry(self, seq: Seq) -> Entry {
        let Self {
            revision,
            epoch,
            kind,
            at,
            payload,
            refs,
        } = self;
        Entry {
            seq,
            revision,
            epoch,
            kind,
            at,
            payload,
            refs,
        }
    }
}

/// What all keys of a manager's agents begin with.
pub(super) fn manager_prefix(cluster: &ClusterName, manager: &ManagerName) -> Vec<u8> {
    let mut key = cluster_prefix(cluster);
    key.extend_from_slice(manager.as_str().as_bytes());
    key.push(0);
    key
}

/// Where an agent's row stands. A key that is too long for LMDB is replaced by
/// a hash of it behind a NUL, which no key contains; the row holds the whole id.
pub(super) fn agent_key(id: &AgentId) -> Vec<u8> {
    keyed(manager_prefix(&id.cluster, &id.manager), id)
}

/// Where it stands that an agent is to be woken at a time. Its key is replaced if it is
/// too long, likewise.
pub(super) fn due_key(id: &AgentId, wake_at: Timestamp) -> Vec<u8> {
    let mut key = manager_prefix(&id.cluster, &id.manager);
    key.extend_from_slice(&wake_at.0.to_be_bytes());
    keyed(key, id)
}

/// Between which keys those of a manager's agents stand that are to be woken at a time or
/// before. Neither is the key of one.
pub(super) fn due_times(prefix: &[u8], until: Timestamp) -> (Vec<u8>, Vec<u8>) {
    let mut end = prefix.to_vec();
    end.extend_from_slice(&until.0.to_be_bytes());
    // No key has this byte, which is none of UTF-8.
    end.push(0xff);
    (prefix.to_vec(), end)
}

fn keyed(mut key: Vec<u8>, id: &AgentId) -> Vec<u8> {
    let natural = id.key.as_str().as_bytes();
    if key.len() + natural.len() <= MAX_INDEX_KEY {
        key.extend_from_slice(natural);
    } else {
        key.push(0);
        key.extend_from_slice(&xxh3_128(natural).to_be_bytes());
    }
    key
}

/// What all keys of a cluster's nodes begin with.
pub(super) fn cluster_prefix(cluster: &ClusterName) -> Vec<u8> {
    let mut key = cluster.as_str().as_bytes().to_vec();
    key.push(0);
    key
}

/// Where a life of a node stands.
pub(super) fn node_key(cluster: &ClusterName, incarnation: Incarnation) -> Vec<u8> {
    let mut key = cluster_prefix(cluster);
    key.extend_from_slice(&incarnation.0.to_be_bytes());
    key
}

/// Where an agent's checkpoint and what its thread says about itself stand.
pub(super) fn slot_key(slot: u64) -> [u8; 8] {
    slot.to_be_bytes()
}

/// Where an entry stands.
pub(super) fn entry_key(slot: u64, seq: Seq) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&slot.to_be_bytes());
    key[8..].copy_from_slice(&seq.0.to_be_bytes());
    key
}

/// Where all of an agent's requests stand.
pub(super) fn request_keys(slot: u64) -> RangeInclusive<[u8; 32]> {
    let (low, high) = (RequestId::new(0, 0), RequestId::new(u128::MAX, u64::MAX));
    request_key(slot, low)..=request_key(slot, high)
}

/// The request that a key of an agent's requests stands for.
pub(super) fn request_of(key: &[u8]) -> Option<RequestId> {
    let key: &[u8; 32] = key.try_into().ok()?;
    let (client, seq) = key.get(8..)?.split_first_chunk::<16>()?;
    let seq: [u8; 8] = seq.try_into().ok()?;
    Some(RequestId::new(
        u128::from_be_bytes(*client),
        u64::from_be_bytes(seq),
    ))
}

/// Where the record of a request stands.
pub(super) fn request_key(slot: u64, request: RequestId) -> [u8; 32] {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&slot.to_be_bytes());
    key[8..24].copy_from_slice(&request.client().to_be_bytes());
    key[24..].copy_from_slice(&request.seq().to_be_bytes());
    key
}

impl Tables {
    /// An agent's row, if it has one. `key` is its [`agent_key`].
    pub(super) fn agent(
        &self,
        txn: &RoTxn<'_>,
        key: &[u8],
        id: &AgentId,
    ) -> Result<Option<AgentRow>, Fault> {
        let Some(bytes) = self.agents.get(txn, key)? else {
            return Ok(None);
        };
        let row: AgentRow<IdParts<'_>> = decode(bytes, format_args!("the record of agent {id}"))?;
        if row.id != IdParts::from(id) {
            let IdParts {
                cluster,
                manager,
                key,
            } = row.id;
            return Err(Fault::Refused(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "key of agent {id} has the same hash as that of {cluster}/{manager}/{key}: choose another"
                ),
            )));
        }
        Ok(Some(row.with_id(())))
    }

    /// Encodes an agent's record, in the place of what `record` held.
    pub(super) fn agent_record(
        record: &mut Vec<u8>,
        id: &AgentId,
        row: AgentRow,
    ) -> Result<(), Error> {
        encode_into(record, &row.with_id(IdParts::from(id)))
    }

    /// The record of a life of a node, if there is one.
    pub(super) fn node(
        &self,
        txn: &RoTxn<'_>,
        cluster: &ClusterName,
        incarnation: Incarnation,
    ) -> Result<Option<NodeRecord>, Fault> {
        let Some(bytes) = self.nodes.get(txn, &node_key(cluster, incarnation))? else {
            return Ok(None);
        };
        Ok(Some(decode(
            bytes,
            format_args!("the record of node {incarnation} of {cluster}"),
        )?))
    }

    /// All records of a cluster's nodes.
    pub(super) fn cluster_nodes(
        &self,
        txn: &RoTxn<'_>,
        cluster: &ClusterName,
    ) -> Result<Vec<NodeRecord>, Fault> {
        let mut nodes = Vec::new();
        for found in self.nodes.prefix_iter(txn, &cluster_prefix(cluster))? {
            let (_, bytes) = found?;
            nodes.push(decode(
                bytes,
                format_args!("the record of a node of {cluster}"),
            )?);
        }
        Ok(nodes)
    }

    pub(super) fn put_node(
        &self,
        txn: &mut RwTxn<'_>,
        cluster: &ClusterName,
        node: &NodeRecord,
    ) -> Result<(), Fault> {
        Ok(self
            .nodes
            .put(txn, &node_key(cluster, node.incarnation), &encode(node)?)?)
    }
}
