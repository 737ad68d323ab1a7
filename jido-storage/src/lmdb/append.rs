//! An append, made ready by its caller, so that the one writer has little to do.

use jido_core::{AgentId, Epoch, RequestId, Revision, Seq, Timestamp};

use super::codec::{encode, encode_into};
use super::due::Reminding;
use super::fault::Fault;
use super::job::{Operation, Writing};
use super::tables::{
    AgentRow, CheckpointRow, EntryRow, Tables, agent_key, entry_key, request_key, slot_key,
};
use crate::commit::covers_within;
use crate::{AppendOutcome, Commit, CommittedRequest, Erase, Error};

/// What an entry's record has beside its payload, about.
const BESIDE: usize = 96;

/// A commit whose records are encoded. All of them can be, before anything is known of
/// the agent: where they are written at all, its revision is the expected one.
pub(super) struct Append {
    id: AgentId,
    key: Vec<u8>,
    epoch: Epoch,
    expected: Revision,
    /// The revision that it leaves.
    revision: Revision,
    erase: Erase,
    entries: Vec<Vec<u8>>,
    metadata: Option<Vec<u8>>,
    checkpoint: Option<(Seq, Vec<u8>)>,
    requests: Vec<(RequestId, Vec<u8>)>,
    forget: Vec<RequestId>,
    reminding: Option<Reminding>,
    floor: Timestamp,
    release: bool,
    at: Timestamp,
    bytes: usize,
}

impl Append {
    /// Checks a commit and makes it ready.
    ///
    /// # Errors
    ///
    /// As [`Commit::check`]; and when a record can't be serialized.
    pub(super) fn new(commit: Commit, limit: usize) -> Result<Self, Error> {
        commit.check(limit)?;
        let bytes = commit.payload_len();
        let revision = if commit.advances_revision() {
            commit.expected.next()
        } else {
            commit.expected
        };
        let metadata = if commit.entries.is_empty() || commit.thread_metadata.is_empty() {
            None
        } else {
            Some(encode(&commit.thread_metadata)?)
        };
        let mut entries = Vec::with_capacity(commit.entries.len());
        for entry in commit.entries {
            let mut record = Vec::with_capacity(entry.payload.len() + BESIDE);
            encode_into(&mut record, &EntryRow::new(entry, revision, commit.epoch))?;
            entries.push(record);
        }
        let checkpoint = match commit.checkpoint {
            None => None,
            Some(checkpoint) => {
                let covers = checkpoint.covers;
                let state = checkpoint.state;
                Some((covers, encode(&CheckpointRow { covers, state })?))
            }
        };
        let reminding = match &commit.reminders {
            None => None,
            Some(reminders) => Some(Reminding::new(&commit.id, reminders)?),
        };
        let mut requests = Vec::with_capacity(commit.requests.len());
        for record in commit.requests {
            let committed = CommittedRequest {
                issued_at: record.issued_at,
                revision,
                reply: record.reply,
            };
            requests.push((record.request, encode(&committed)?));
        }
        Ok(Self {
            key: agent_key(&commit.id),
            id: commit.id,
            epoch: commit.epoch,
            expected: commit.expected,
            revision,
            erase: commit.erase,
            entries,
            metadata,
            checkpoint,
            requests,
            forget: commit.forget,
            reminding,
            floor: commit.forget_before.unwrap_or_default(),
            release: commit.release,
            at: commit.at,
            bytes,
        })
    }

    /// Writes it over the agent's row, which the checks have let through: from here on
    /// nothing is refused, so that it is written whole or the transaction given up.
    fn write(
        &self,
        writing: &mut Writing<'_, '_>,
        mut row: AgentRow,
        uncovered: Option<Vec<u8>>,
        woken_before: Option<Timestamp>,
    ) -> Result<(), heed::Error> {
        writing.erase(&mut row, self.erase, uncovered)?;
        if let Some(reminding) = &self.reminding {
            writing.remind(&self.id, row.slot, woken_before, reminding)?;
        }
        let Writing {
            tables,
            txn,
            record,
            ..
        } = writing;
        let slot = row.slot;
        if row.thread_len == Seq::ZERO
            && let Some(metadata) = &self.metadata
        {
            tables.threads.put(txn, &slot_key(slot), metadata)?;
        }
        for entry in &self.entries {
            let key = entry_key(slot, row.thread_len);
            tables.entries.put(txn, &key, entry)?;
            row.thread_len = row.thread_len.next();
        }
        if let Some((_, checkpoint)) = &self.checkpoint {
            tables.checkpoints.put(txn, &slot_key(slot), checkpoint)?;
        }
        for request in &self.forget {
            tables.requests.delete(txn, &request_key(slot, *request))?;
        }
        for (request, reply) in &self.requests {
            // One that has a record already keeps it.
            let key = request_key(slot, *request);
            if tables.requests.get(txn, &key)?.is_none() {
                tables.requests.put(txn, &key, reply)?;
            }
        }
        tables.agents.put(txn, &self.key, record)
    }
}

impl Operation for Append {
    type Outcome = AppendOutcome;

    fn agent(&self) -> Option<(&[u8], &AgentId)> {
        Some((&self.key, &self.id))
    }

    fn run(&self, writing: &mut Writing<'_, '_>) -> Result<AppendOutcome, Fault> {
        let row = match writing.owned(&self.key, &self.id, self.epoch)? {
            Ok(row) => row,
            Err(outcome) => return Ok(outcome),
        };
        if row.revision != self.expected {
            return Ok(AppendOutcome::Conflict {
                actual: row.revision,
            });
        }
        let kept = if self.erase.thread {
            0
        } else {
            row.thread_len.0
        };
        let thread_len = Seq(kept.saturating_add(self.entries.len() as u64));
        if let Some((covers, _)) = &self.checkpoint {
            covers_within(&self.id, *covers, thread_len)?;
        }
        let uncovered = writing.uncovered(&self.id, row.slot, self.erase)?;
        let woken_before = match &self.reminding {
            None => None,
            Some(_) => {
                let (tables, txn) = (&writing.tables, &writing.txn);
                tables.reminders(txn, &self.id, row.slot)?.wake_at
            }
        };
        let after = AgentRow {
            owner: row.owner.filter(|_| !self.release),
            revision: self.revision,
            thread_len,
            updated_at: self.at,
            floor: row.floor.max(self.floor),
            ..row
        };
        Tables::agent_record(&mut writing.record, &self.id, after)?;
        self.write(writing, row, uncovered, woken_before)?;
        Ok(AppendOutcome::Committed(self.revision))
    }

    fn failed(error: Error) -> AppendOutcome {
        AppendOutcome::Failed(error)
    }

    fn unknown(error: Error) -> AppendOutcome {
        AppendOutcome::Unknown(error)
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn may_use_reserve(&self) -> bool {
        self.release && self.revision == self.expected
    }
}
