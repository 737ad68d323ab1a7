//! The operations on agents, each inside a write transaction that others share.

use std::ops::{Bound, RangeInclusive};

use jido_core::{AgentId, ClusterName, Entry, Epoch, Incarnation, Revision, Seq, Timestamp};

use super::codec::{decode, encode};
use super::due::Reminding;
use super::fault::Fault;
use super::job::{Operation, Writing};
use super::tables::{
    AgentRow, CheckpointRow, EntryRow, Table, entry_key, request_key, request_keys, slot_key,
};
use crate::{
    AppendOutcome, ClaimOutcome, ClaimRequest, Commit, CommittedRequest, Erase, Error, ErrorKind,
    NodeState,
};

/// Where the number of the next agent's slot stands.
const NEXT_SLOT: &[u8] = b"next_slot";

/// Nothing: a transaction is begun and given up, by which the writer follows a
/// map that others have grown.
pub(super) struct Follow;

/// A deletion of an agent.
pub(super) struct Delete {
    pub(super) id: AgentId,
    pub(super) epoch: Epoch,
    pub(super) at: Timestamp,
}

impl Writing<'_, '_> {
    fn is_up(&self, cluster: &ClusterName, incarnation: Incarnation) -> Result<bool, Fault> {
        let node = self.tables.node(self.txn, cluster, incarnation)?;
        Ok(node.is_some_and(|node| node.state == NodeState::Up))
    }

    /// The agent's row, if `epoch` owns it.
    fn owned(&self, id: &AgentId, epoch: Epoch) -> Result<Result<AgentRow, AppendOutcome>, Fault> {
        Ok(match self.tables.agent(self.txn, id)? {
            Some(row) if row.epoch == epoch && row.owner.is_some() => Ok(row),
            Some(row) => Err(AppendOutcome::Fenced { epoch: row.epoch }),
            None => Err(AppendOutcome::Fenced { epoch: Epoch::ZERO }),
        })
    }

    /// Erases parts of an agent. A checkpoint that stays covers nothing of the thread that goes.
    fn erase(&mut self, row: &mut AgentRow, what: Erase) -> Result<(), Fault> {
        let key = slot_key(row.slot);
        if what.checkpoint {
            self.tables.checkpoints.delete(self.txn, &key)?;
        }
        if what.thread {
            let entries = entry_key(row.slot, Seq::ZERO)..=entry_key(row.slot, Seq(u64::MAX));
            delete_range(&self.tables.entries, self.txn, entries)?;
            self.tables.threads.delete(self.txn, &key)?;
            row.thread_len = Seq::ZERO;
            if let Some(bytes) = self.tables.checkpoints.get(self.txn, &key)? {
                let kept: CheckpointRow =
                    decode(bytes, format_args!("the checkpoint of agent {}", row.id))?;
                let uncovered = encode(&CheckpointRow {
                    covers: Seq::ZERO,
                    ..kept
                })?;
                self.tables.checkpoints.put(self.txn, &key, &uncovered)?;
            }
        }
        Ok(())
    }

    /// Takes a slot for a new agent.
    fn take_slot(&mut self) -> Result<u64, Fault> {
        let corrupt = |why: &str| {
            Error::new(
                ErrorKind::Corrupt,
                format!("the record of the next slot is corrupt: {why}"),
            )
        };
        let slot = match self.tables.meta.get(self.txn, NEXT_SLOT)? {
            None => 0,
            Some(bytes) => u64::from_be_bytes(
                bytes
                    .try_into()
                    .map_err(|cause| corrupt("it has not 8 bytes").caused_by(cause))?,
            ),
        };
        let next = slot
            .checked_add(1)
            .ok_or_else(|| corrupt("no slot comes after it"))?;
        self.tables
            .meta
            .put(self.txn, NEXT_SLOT, &next.to_be_bytes())?;
        Ok(slot)
    }
}

impl Operation for Follow {
    type Outcome = Result<(), Error>;

    fn run(&self, _: &mut Writing<'_, '_>) -> Result<Self::Outcome, Fault> {
        Ok(Ok(()))
    }

    fn failed(error: Error) -> Self::Outcome {
        Err(error)
    }

    fn unknown(error: Error) -> Self::Outcome {
        Err(error)
    }

    fn may_use_reserve(&self) -> bool {
        true
    }
}

impl Operation for ClaimRequest {
    type Outcome = Result<ClaimOutcome, Error>;

    fn run(&self, writing: &mut Writing<'_, '_>) -> Result<Self::Outcome, Fault> {
        let cluster = &self.id.cluster;
        if !writing.is_up(cluster, self.claimant)? {
            return Ok(Ok(ClaimOutcome::ClaimantDead));
        }
        let row = writing.tables.agent(writing.txn, &self.id)?;
        if let Some(row) = &row
            && let Some(owner) = row.owner
            && owner != self.claimant
            && self.take_from != Some(owner)
            && writing.is_up(cluster, owner)?
        {
            return Ok(Ok(ClaimOutcome::Held {
                owner,
                epoch: row.epoch,
            }));
        }
        let mut row = match row {
            Some(row) => row,
            None => AgentRow {
                slot: writing.take_slot()?,
                id: self.id.clone(),
                owner: None,
                epoch: Epoch::ZERO,
                revision: Revision::ZERO,
                thread_len: Seq::ZERO,
                created_at: self.at,
                updated_at: self.at,
                deleted: false,
                floor: Timestamp::default(),
            },
        };
        if std::mem::take(&mut row.deleted) {
            row.created_at = self.at;
        }
        row.owner = Some(self.claimant);
        row.epoch = row.epoch.next();
        row.updated_at = self.at;
        writing.tables.put_agent(writing.txn, &row)?;
        Ok(Ok(ClaimOutcome::Claimed(row.epoch)))
    }

    fn failed(error: Error) -> Self::Outcome {
        Err(error)
    }

    fn unknown(error: Error) -> Self::Outcome {
        Err(error)
    }
}

impl Operation for Commit {
    type Outcome = AppendOutcome;

    fn run(&self, writing: &mut Writing<'_, '_>) -> Result<AppendOutcome, Fault> {
        let mut row = match writing.owned(&self.id, self.epoch)? {
            Ok(row) => row,
            Err(outcome) => return Ok(outcome),
        };
        if row.revision != self.expected {
            return Ok(AppendOutcome::Conflict {
                actual: row.revision,
            });
        }
        if let Err(error) = self.check_covers(row.thread_len) {
            return Ok(AppendOutcome::Failed(error));
        }
        let reminding = match &self.reminders {
            None => None,
            Some(reminders) => {
                let before = writing.tables.reminders(writing.txn, &self.id, row.slot)?;
                Some((before.wake_at, Reminding::new(&self.id, reminders)?))
            }
        };
        if self.advances_revision() {
            row.revision = row.revision.next();
        }
        if self.release {
            row.owner = None;
        }
        row.updated_at = self.at;
        // A record that can't be read, or the engine, may still fail: the commit is then undone whole.
        writing.erase(&mut row, self.erase)?;
        if let Some((before, change)) = reminding {
            writing.remind(&self.id, row.slot, before, &change)?;
        }
        let Writing { tables, txn } = writing;
        if self.begins_thread(row.thread_len) && !self.thread_metadata.is_empty() {
            let record = encode(&self.thread_metadata)?;
            tables.threads.put(txn, &slot_key(row.slot), &record)?;
        }
        for entry in &self.entries {
            let seq = row.thread_len;
            let entry = Entry::committed(entry, seq, row.revision, self.epoch);
            let record = encode(&EntryRow::from_entry(entry))?;
            tables
                .entries
                .put(txn, &entry_key(row.slot, seq), &record)?;
            row.thread_len = seq.next();
        }
        if let Some(checkpoint) = &self.checkpoint {
            let record = encode(&CheckpointRow {
                covers: checkpoint.covers,
                state: checkpoint.state.clone(),
            })?;
            tables.checkpoints.put(txn, &slot_key(row.slot), &record)?;
        }
        for request in &self.forget {
            tables
                .requests
                .delete(txn, &request_key(row.slot, *request))?;
        }
        for record in &self.requests {
            let key = request_key(row.slot, record.request);
            if tables.requests.get(txn, &key)?.is_none() {
                let record = encode(&CommittedRequest {
                    issued_at: record.issued_at,
                    revision: row.revision,
                    reply: record.reply.clone(),
                })?;
                tables.requests.put(txn, &key, &record)?;
            }
        }
        row.floor = row.floor.max(self.forget_before.unwrap_or_default());
        tables.put_agent(txn, &row)?;
        Ok(AppendOutcome::Committed(row.revision))
    }

    fn failed(error: Error) -> AppendOutcome {
        AppendOutcome::Failed(error)
    }

    fn unknown(error: Error) -> AppendOutcome {
        AppendOutcome::Unknown(error)
    }

    fn bytes(&self) -> usize {
        self.payload_len()
    }

    fn may_use_reserve(&self) -> bool {
        self.release && !self.advances_revision()
    }
}

impl Operation for Delete {
    type Outcome = AppendOutcome;

    fn run(&self, writing: &mut Writing<'_, '_>) -> Result<AppendOutcome, Fault> {
        let mut row = match writing.owned(&self.id, self.epoch)? {
            Ok(row) => row,
            Err(outcome) => return Ok(outcome),
        };
        let reminders = writing.tables.reminders(writing.txn, &self.id, row.slot)?;
        row.deleted = true;
        row.owner = None;
        row.floor = Timestamp::default();
        row.revision = row.revision.next();
        row.updated_at = self.at;
        let all = Erase {
            checkpoint: true,
            thread: true,
        };
        writing.erase(&mut row, all)?;
        writing.remind(&self.id, row.slot, reminders.wake_at, &Reminding::none())?;
        let Writing { tables, txn } = writing;
        delete_range(&tables.requests, txn, request_keys(row.slot))?;
        tables.put_agent(txn, &row)?;
        Ok(AppendOutcome::Committed(row.revision))
    }

    fn failed(error: Error) -> AppendOutcome {
        AppendOutcome::Failed(error)
    }

    fn unknown(error: Error) -> AppendOutcome {
        AppendOutcome::Unknown(error)
    }

    fn may_use_reserve(&self) -> bool {
        true
    }
}

fn delete_range<const N: usize>(
    table: &Table,
    txn: &mut heed::RwTxn<'_>,
    keys: RangeInclusive<[u8; N]>,
) -> Result<(), Fault> {
    let (low, high) = keys.into_inner();
    let keys = (
        Bound::Included(low.as_slice()),
        Bound::Included(high.as_slice()),
    );
    table.delete_range(txn, &keys)?;
    Ok(())
}
