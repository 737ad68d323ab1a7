//! The records behind the keys, and how large ones are cut into values.

use bytes::Bytes;
use jido_core::{AgentId, Entry, Epoch, Incarnation, NodeName, Revision, Seq, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::layout::chunk;
use crate::record_codec::decode;
use crate::{AgentRecord, Error, ErrorKind, NodeRecord, NodeState};

/// The largest value that FoundationDB takes.
pub(super) const MAX_VALUE_BYTES: usize = 100_000;

/// A life of a node, without its beat.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct NodeRow {
    pub(super) name: NodeName,
    pub(super) state: NodeState,
    pub(super) address: String,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) registered_at: Timestamp,
}

impl NodeRow {
    pub(super) fn into_record(self, incarnation: Incarnation, beat: u64) -> NodeRecord {
        NodeRecord {
            name: self.name,
            incarnation,
            beat,
            state: self.state,
            address: self.address,
            metadata: self.metadata,
            registered_at: self.registered_at,
        }
    }
}

/// Who owns an agent. It stands apart from [`StateRow`], which its owner's commits write one
/// after the other: a claim that wrote the same key would lose to them again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ClaimRow {
    pub(super) owner: Option<Incarnation>,
    pub(super) epoch: Epoch,
    pub(super) claimed_at: Timestamp,
    pub(super) created_at: Timestamp,
    /// A deleted agent's rows stay, since its epoch and revision go on counting.
    pub(super) deleted: bool,
}

impl ClaimRow {
    /// The row of an agent that is claimed for the first time.
    pub(super) fn new(at: Timestamp) -> Self {
        Self {
            owner: None,
            epoch: Epoch::ZERO,
            claimed_at: at,
            created_at: at,
            deleted: false,
        }
    }

    pub(super) fn decode(id: impl std::fmt::Display, stored: &[u8]) -> Result<Self, Error> {
        decode(stored, format_args!("the claim of agent {id}"))
    }
}

/// How far an agent is, without its content. Whoever writes it has read whose it is, so that it
/// is written under the last claim alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StateRow {
    /// Of the claim under which it was written.
    pub(super) epoch: Epoch,
    pub(super) revision: Revision,
    pub(super) thread_len: Seq,
    pub(super) updated_at: Timestamp,
    /// The floor of its window of requests.
    pub(super) floor: Timestamp,
    /// How much of the thread its checkpoint covers, if it has one.
    pub(super) covers: Option<Seq>,
    /// When it is to be woken, which stands among those that are due, too.
    pub(super) wake_at: Option<Timestamp>,
}

/// An agent without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AgentRow {
    pub(super) claim: ClaimRow,
    pub(super) state: StateRow,
}

impl AgentRow {
    /// An agent by what is stored of it, if anything is.
    pub(super) fn decode(
        id: impl std::fmt::Display,
        claim: Option<&[u8]>,
        state: Option<&[u8]>,
    ) -> Result<Option<Self>, Error> {
        let Some(claim) = claim else {
            return match state {
                None => Ok(None),
                Some(_) => Err(Error::new(
                    ErrorKind::Corrupt,
                    format!("the claim of agent {id} is missing"),
                )),
            };
        };
        let claim = ClaimRow::decode(&id, claim)?;
        let state = match state {
            Some(state) => decode(state, format_args!("the record of agent {id}"))?,
            // It was claimed, and nothing was committed since.
            None => StateRow::default(),
        };
        Ok(Some(Self { claim, state }))
    }

    pub(super) fn into_record(self, id: AgentId) -> AgentRecord {
        let Self { claim, state } = self;
        AgentRecord {
            id,
            owner: claim.owner,
            epoch: claim.epoch,
            revision: state.revision,
            thread_len: state.thread_len,
            created_at: claim.created_at,
            updated_at: match state.epoch == claim.epoch {
                true => state.updated_at,
                false => claim.claimed_at,
            },
        }
    }
}

/// The state in a checkpoint.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CheckpointRow {
    pub(super) state: Bytes,
}

/// What the agent is to be reminded of.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RemindersRow {
    pub(super) list: Bytes,
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
    pub(super) fn from_entry(entry: Entry) -> Self {
        let Entry {
            seq: _,
            revision,
            epoch,
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

/// The mark of a request: what the window of requests is made of, apart from
/// the reply, which may be large.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MarkRow {
    pub(super) issued_at: Timestamp,
    pub(super) revision: Revision,
}

/// Cuts a record into values that FoundationDB takes, with their keys.
pub(super) fn cut(behind: &[u8], record: &[u8]) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    record
        .chunks(MAX_VALUE_BYTES)
        .zip(0..)
        .map(|(part, at)| (chunk(behind, at), part.to_vec()))
}

/// Puts the values of a record together. What is missing or too much shows in
/// the record's checksum.
pub(super) fn join(pairs: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<u8> {
    let mut values = pairs.into_iter().map(|(_, value)| value);
    let mut record = values.next().unwrap_or_default();
    for value in values {
        record.extend_from_slice(&value);
    }
    record
}

/// Refuses a record that is one value and doesn't fit into it.
///
/// # Errors
///
/// [`TooLarge`](ErrorKind::TooLarge), with the size and the limit.
pub(super) fn check_value(record: &[u8], name: impl std::fmt::Display) -> Result<(), Error> {
    if record.len() > MAX_VALUE_BYTES {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "{name} has {} bytes: the limit is {MAX_VALUE_BYTES}",
                record.len()
            ),
        ));
    }
    Ok(())
}
