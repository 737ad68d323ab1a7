//! What an activation commits, and how that can end.

use std::collections::BTreeMap;

use bytes::Bytes;
use jido_core::{AgentId, Checkpoint, Epoch, NewEntry, RequestId, Revision, Seq, Timestamp};

use crate::{Error, ErrorKind, Reminders};

/// The outcome of one request, kept beside its effects so that a retry gets the
/// same answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRecord {
    /// The request.
    pub request: RequestId,
    /// When its caller made it, on the caller's clock: by this the window of
    /// requests moves on.
    pub issued_at: Timestamp,
    /// Its reply, encoded.
    pub reply: Bytes,
}

/// What a commit erases before it writes anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Erase {
    /// The stored checkpoint.
    pub checkpoint: bool,
    /// The thread's entries and its metadata. Its next entry is at place 0 again,
    /// and a checkpoint that stays covers none of it from then on.
    pub thread: bool,
}

/// One commit of one agent: everything in it takes effect together, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The agent.
    pub id: AgentId,
    /// The epoch of the activation that commits. A larger one in storage fences it.
    pub epoch: Epoch,
    /// The revision that it builds on.
    pub expected: Revision,
    /// What is erased first.
    pub erase: Erase,
    /// The entries to append to the thread, in order.
    pub entries: Vec<NewEntry>,
    /// What the thread says about itself, as names and values. It is kept from the
    /// commit whose entries begin the thread; of any other it is left aside.
    pub thread_metadata: BTreeMap<String, String>,
    /// The checkpoint to replace the stored one by.
    pub checkpoint: Option<Checkpoint>,
    /// The agent's reminders from now on, in place of those that are stored.
    pub reminders: Option<Reminders>,
    /// The requests whose effects are in this commit.
    pub requests: Vec<RequestRecord>,
    /// Requests whose records are dropped, because the window has moved past them.
    /// One without a record is no error.
    pub forget: Vec<RequestId>,
    /// Raises the floor of the agent's window of requests to this time; a lower one
    /// leaves it as it is. Of a request made before the floor nobody can tell
    /// whether it was applied, unless its record is still there.
    pub forget_before: Option<Timestamp>,
    /// Whether the claim is given back with it.
    pub release: bool,
    /// When it was made, for the record's times.
    pub at: Timestamp,
}

impl Commit {
    /// A commit that writes nothing yet.
    pub fn new(id: AgentId, epoch: Epoch, expected: Revision, at: Timestamp) -> Self {
        Self {
            id,
            epoch,
            expected,
            erase: Erase::default(),
            entries: Vec::new(),
            thread_metadata: BTreeMap::new(),
            checkpoint: None,
            reminders: None,
            requests: Vec::new(),
            forget: Vec::new(),
            forget_before: None,
            release: false,
            at,
        }
    }

    /// Whether it writes anything that counts as a revision. A commit that only
    /// gives the claim back or moves the window of requests leaves the revision as
    /// it is.
    pub fn advances_revision(&self) -> bool {
        !(self.entries.is_empty()
            && self.checkpoint.is_none()
            && self.reminders.is_none()
            && self.requests.is_empty()
            && self.erase == Erase::default())
    }

    /// The length of the thread once this commit is written to one of `before` entries.
    pub fn thread_len_after(&self, before: Seq) -> Seq {
        let kept = if self.erase.thread { 0 } else { before.0 };
        Seq(kept.saturating_add(self.entries.len() as u64))
    }

    /// Whether its entries begin the thread of `before` entries, and so its metadata is kept.
    pub fn begins_thread(&self, before: Seq) -> bool {
        (before == Seq::ZERO || self.erase.thread) && !self.entries.is_empty()
    }

    /// The bytes of payload that it carries: entries, metadata, checkpoint, reminders and replies.
    pub fn payload_len(&self) -> usize {
        let entries: usize = self
            .entries
            .iter()
            .map(|e| {
                let refs: usize = e
                    .refs
                    .iter()
                    .map(|(name, value)| name.len() + value.len())
                    .sum();
                e.kind.len() + e.payload.len() + refs
            })
            .sum();
        let metadata: usize = self
            .thread_metadata
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        let checkpoint = self.checkpoint.as_ref().map_or(0, |c| c.state.len());
        let replies: usize = self.requests.iter().map(|r| r.reply.len()).sum();
        let reminders = self.reminders.as_ref().map_or(0, |r| r.list.len());
        entries + metadata + checkpoint + reminders + replies
    }

    /// Refuses a commit beyond `limit` bytes of payload or with text that not every
    /// adapter can keep, for adapters to call before they write.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](ErrorKind::TooLarge) with the size and the limit;
    /// [`InvalidInput`](ErrorKind::InvalidInput) when a kind, a reference or the
    /// thread's metadata contains NUL.
    pub fn check(&self, limit: usize) -> Result<(), Error> {
        let len = self.payload_len();
        if len > limit {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "commit of agent {} has {len} bytes: the limit is {limit}",
                    self.id
                ),
            ));
        }
        let refs = self.entries.iter().flat_map(|entry| &entry.refs);
        let pairs = refs
            .map(|(name, value)| (name, value))
            .chain(&self.thread_metadata);
        let texts = pairs.flat_map(|(name, value)| [name, value]);
        if texts
            .chain(self.entries.iter().map(|entry| &entry.kind))
            .any(|text| text.contains('\0'))
        {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "commit of agent {} has a kind, a reference or metadata with a NUL: none may contain one",
                    self.id
                ),
            ));
        }
        Ok(())
    }

    /// Refuses a checkpoint that covers more than the thread of `before` entries
    /// will have, for adapters to call before they write.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput), with both lengths.
    pub fn check_covers(&self, before: Seq) -> Result<(), Error> {
        match &self.checkpoint {
            Some(checkpoint) => {
                covers_within(&self.id, checkpoint.covers, self.thread_len_after(before))
            }
            None => Ok(()),
        }
    }
}

/// Refuses a checkpoint of an agent that covers more than its thread will have.
pub(crate) fn covers_within(id: &AgentId, covers: Seq, len: Seq) -> Result<(), Error> {
    if covers > len {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("checkpoint of agent {id} covers {covers} entries: its thread has {len}"),
        ));
    }
    Ok(())
}

/// How an append ended.
#[derive(Debug)]
#[must_use]
pub enum AppendOutcome {
    /// It is durable, and this is the agent's revision now.
    Committed(Revision),
    /// Nothing was written: the agent's revision is another than the expected.
    Conflict {
        /// The revision in storage.
        actual: Revision,
    },
    /// Nothing was written: the agent was claimed anew, released or deleted. The
    /// activation stops.
    Fenced {
        /// The epoch in storage.
        epoch: Epoch,
    },
    /// It may be durable, or may yet become so. The activation takes a new epoch,
    /// which settles it, and reloads.
    Unknown(Error),
    /// Nothing was written, for the reason that the error gives.
    Failed(Error),
}
