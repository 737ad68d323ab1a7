//! The operations on agents, each inside a write transaction that others share.

use std::ops::{Bound, RangeInclusive};

use jido_core::{AgentId, ClusterName, Epoch, Incarnation, Revision, Seq, Timestamp};

use super::codec::{decode, encode};
use super::due::Reminding;
use super::fault::Fault;
use super::job::{Operation, Writing};
use super::tables::{
    AgentRow, CheckpointRow, Table, Tables, agent_key, entry_key, request_keys, slot_key,
};
use crate::{AppendOutcome, ClaimOutcome, ClaimRequest, Erase, Error, ErrorKind, NodeState};

/// Where the number of the next agent's slot stands.
const NEXT_SLOT: &[u8] = b"next_slot";

/// Nothing: a transaction is begun and given up, by which the writer follows a
/// map that others have grown.
pub(super) struct Follow;

/// A claim of an agent.
pub(super) struct Claim {
    key: Vec<u8>,
    request: ClaimRequest,
}

impl Claim {
    pub(super) fn new(request: ClaimRequest) -> Self {
        Self {
            key: agent_key(&request.id),
            request,
        }
    }
}

/// A deletion of an agent.
pub(super) struct Delete {
    key: Vec<u8>,
    id: AgentId,
    epoch: Epoch,
    at: Timestamp,
}

impl Delete {
    pub(super) fn new(id: AgentId, epoch: Epoch, at: Timestamp) -> Self {
        Self {
            key: agent_key(&id),
            id,
            epoch,
            at,
        }
    }
}

impl Writing<'_, '_> {
    fn is_up(&self, cluster: &ClusterName, incarnation: Incarnation) -> Result<bool, Fault> {
        let node = self.tables.node(self.txn, cluster, incarnation)?;
        Ok(node.is_some_and(|node| node.state == NodeState::Up))
    }

    /// The agent's row, if `epoch` owns it. `key` is its [`agent_key`].
    pub(super) fn owned(
        &mut self,
        key: &[u8],
        id: &AgentId,
        epoch: Epoch,
    ) -> Result<Result<AgentRow, AppendOutcome>, Fault> {
        Ok(match self.agent(key, id)? {
            Some(row) if row.epoch == epoch && row.owner.is_some() => Ok(row),
            Some(row) => Err(AppendOutcome::Fenced { epoch: row.epoch }),
            None => Err(AppendOutcome::Fenced { epoch: Epoch::ZERO }),
        })
    }

    /// What an erasure leaves of the checkpoint: its record when it stays but covers
    /// nothing of the thread that goes. To be asked before anything is written, since
    /// a record that can't be read refuses the erasure.
    pub(super) fn uncovered(
        &self,
        id: &AgentId,
        slot: u64,
        what: Erase,
    ) -> Result<Option<Vec<u8>>, Fault> {
        if what.checkpoint || !what.thread {
            return Ok(None);
        }
        let Some(bytes) = self.tables.checkpoints.get(self.txn, &slot_key(slot))? else {
            return Ok(None);
        };
        let kept: CheckpointRow = decode(bytes, format_args!("the checkpoint of agent {id}"))?;
        Ok(Some(encode(&CheckpointRow {
            covers: Seq::ZERO,
            ..kept
        })?))
    }

    /// Erases parts of an agent. `uncovered` is what [`Writing::uncovered`] answered.
    pub(super) fn erase(
        &mut self,
        row: &mut AgentRow,
        what: Erase,
        uncovered: Option<Vec<u8>>,
    ) -> Result<(), heed::Error> {
        let key = slot_key(row.slot);
        if what.checkpoint {
            self.tables.checkpoints.delete(self.txn, &key)?;
        }
        if what.thread {
            let entries = entry_key(row.slot, Seq::ZERO)..=entry_key(row.slot, Seq(u64::MAX));
            delete_range(&self.tables.entries, self.txn, entries)?;
            self.tables.threads.delete(self.txn, &key)?;
            row.thread_len = Seq::ZERO;
            if let Some(record) = uncovered {
                self.tables.checkpoints.put(self.txn, &key, &record)?;
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

impl Operation for Claim {
    type Outcome = Result<ClaimOutcome, Error>;

    fn agent(&self) -> Option<(&[u8], &AgentId)> {
        Some((&self.key, &self.request.id))
    }

    fn run(&self, writing: &mut Writing<'_, '_>) -> Result<Self::Outcome, Fault> {
        let request = &self.request;
        let cluster = &request.id.cluster;
        if !writing.is_up(cluster, request.claimant)? {
            return Ok(Ok(ClaimOutcome::ClaimantDead));
        }
        let row = writing.agent(&self.key, &request.id)?;
        if let Some(row) = &row
            && let Some(owner) = row.owner
            && owner != request.claimant
            && request.take_from != Some(owner)
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
                id: (),
                owner: None,
                epoch: Epoch::ZERO,
                revision: Revision::ZERO,
                thread_len: Seq::ZERO,
                created_at: request.at,
                updated_at: request.at,
                deleted: false,
                floor: Timestamp::default(),
            },
        };
        if std::mem::take(&mut row.deleted) {
            row.created_at = request.at;
        }
        row.owner = Some(request.claimant);
        row.epoch = row.epoch.next();
        row.updated_at = request.at;
        Tables::agent_record(&mut writing.record, &request.id, row)?;
        let Writing {
            tables,
            txn,
            record,
            ..
        } = writing;
        tables.agents.put(txn, &self.key, record)?;
        Ok(Ok(ClaimOutcome::Claimed(row.epoch)))
    }

    fn failed(error: Error) -> Self::Outcome {
        Err(error)
    }

    fn unknown(error: Error) -> Self::Outcome {
        Err(error)
    }
}

impl Operation for Delete {
    type Outcome = AppendOutcome;

    fn agent(&self) -> Option<(&[u8], &AgentId)> {
        Some((&self.key, &self.id))
    }

    fn run(&self, writing: &mut Writing<'_, '_>) -> Result<AppendOutcome, Fault> {
        let mut row = match writing.owned(&self.key, &self.id, self.epoch)? {
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
        Tables::agent_record(
            &mut writing.record,
            &self.id,
            AgentRow {
                thread_len: Seq::ZERO,
                ..row
            },
        )?;
        writing.erase(&mut row, all, None)?;
        writing.remind(&self.id, row.slot, reminders.wake_at, &Reminding::none())?;
        let Writing {
            tables,
            txn,
            record,
            ..
        } = writing;
        delete_range(&tables.requests, txn, request_keys(row.slot))?;
        tables.agents.put(txn, &self.key, record)?;
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
) -> Result<(), heed::Error> {
    let (low, high) = keys.into_inner();
    let keys = (
        Bound::Included(low.as_slice()),
        Bound::Included(high.as_slice()),
    );
    table.delete_range(txn, &keys).map(drop)
}
