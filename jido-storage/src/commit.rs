//! What an activation commits, and how that can end.

use bytes::Bytes;
use jido_core::{AgentId, Checkpoint, Epoch, NewEntry, RequestId, Revision, Timestamp};

use crate::{Error, ErrorKind};

/// The outcome of one request, kept beside its effects so that a retry gets the
/// same answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRecord {
    /// The request.
    pub request: RequestId,
    /// Its reply, encoded.
    pub reply: Bytes,
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
    /// The entries to append to the thread, in order.
    pub entries: Vec<NewEntry>,
    /// The checkpoint to replace the stored one by.
    pub checkpoint: Option<Checkpoint>,
    /// The requests whose effects are in this commit.
    pub requests: Vec<RequestRecord>,
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
            entries: Vec::new(),
            checkpoint: None,
            requests: Vec::new(),
            release: false,
            at,
        }
    }

    /// Whether it writes anything that counts as a revision. A commit that only
    /// gives the claim back leaves the revision as it is.
    pub fn advances_revision(&self) -> bool {
        !(self.entries.is_empty() && self.checkpoint.is_none() && self.requests.is_empty())
    }

    /// The bytes of payload that it carries: entries, checkpoint and replies.
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
        let checkpoint = self.checkpoint.as_ref().map_or(0, |c| c.state.len());
        let replies: usize = self.requests.iter().map(|r| r.reply.len()).sum();
        entries + checkpoint + replies
    }

    /// Refuses a commit beyond `limit` bytes of payload, for adapters to call
    /// before they write.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](ErrorKind::TooLarge), with the size and the limit.
    pub fn check_size(&self, limit: usize) -> Result<(), Error> {
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
        Ok(())
    }
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
