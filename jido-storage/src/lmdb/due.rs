//! Reminders, and who is to be woken when.

use std::ops::Bound;

use heed::RoTxn;
use jido_core::{AgentId, AgentKey, Timestamp};

use super::codec::{decode, encode};
use super::fault::Fault;
use super::job::Writing;
use super::tables::{Tables, due_key, due_times, manager_prefix, slot_key};
use crate::{Due, DueQuery, Error, ErrorKind, Reminders};

/// A change of an agent's reminders, made ready for the writer.
pub(super) struct Reminding {
    /// Where the agent stands among those that are to be woken, and its key.
    due: Option<(Vec<u8>, Vec<u8>)>,
    record: Option<Vec<u8>>,
}

impl Reminding {
    /// # Errors
    ///
    /// When a record can't be serialized.
    pub(super) fn new(id: &AgentId, reminders: &Reminders) -> Result<Self, Error> {
        let due = match reminders.wake_at {
            Some(wake_at) => Some((due_key(id, wake_at), encode(&id.key)?)),
            None => None,
        };
        let record = match *reminders == Reminders::default() {
            true => None,
            false => Some(encode(reminders)?),
        };
        Ok(Self { due, record })
    }

    /// Nothing is left to be reminded of.
    pub(super) fn none() -> Self {
        Self {
            due: None,
            record: None,
        }
    }
}

impl Tables {
    /// An agent's reminders.
    pub(super) fn reminders(
        &self,
        txn: &RoTxn<'_>,
        id: &AgentId,
        slot: u64,
    ) -> Result<Reminders, Fault> {
        match self.reminders.get(txn, &slot_key(slot))? {
            None => Ok(Reminders::default()),
            Some(bytes) => Ok(decode(bytes, format_args!("the reminders of agent {id}"))?),
        }
    }

    /// A page of those that are to be woken: by time, those of one time by their keys
    /// or, where these are long, by the keys' hashes.
    pub(super) fn due(&self, txn: &RoTxn<'_>, query: &DueQuery) -> Result<Vec<Due>, Fault> {
        let prefix = manager_prefix(&query.cluster, &query.manager);
        let (begin, end) = due_times(&prefix, query.until);
        let begin = match &query.after {
            None => begin,
            Some(after) => {
                let (cluster, manager) = (query.cluster.clone(), query.manager.clone());
                let id = AgentId::new(cluster, manager, after.key.clone());
                due_key(&id, after.wake_at)
            }
        };
        let mut due = Vec::new();
        if begin >= end {
            return Ok(due);
        }
        let range = (
            Bound::Excluded(begin.as_slice()),
            Bound::Excluded(end.as_slice()),
        );
        let name = format_args!("one that is due of {}/{}", query.cluster, query.manager);
        for found in self.due.range(txn, &range)?.take(query.limit.max(1)) {
            let (place, bytes) = found?;
            let key: AgentKey = decode(bytes, name)?;
            let at = place
                .strip_prefix(prefix.as_slice())
                .and_then(|rest| rest.first_chunk::<8>())
                .ok_or_else(|| {
                    let message = format!("{name} has a key that is none");
                    Fault::Refused(Error::new(ErrorKind::Corrupt, message))
                })?;
            let wake_at = Timestamp(u64::from_be_bytes(*at));
            due.push(Due { wake_at, key });
        }
        Ok(due)
    }
}

impl Writing<'_, '_> {
    /// Replaces an agent's reminders. `before` is when it was to be woken until now, as
    /// [`Tables::reminders`] answered.
    pub(super) fn remind(
        &mut self,
        id: &AgentId,
        slot: u64,
        before: Option<Timestamp>,
        change: &Reminding,
    ) -> Result<(), heed::Error> {
        let Self { tables, txn, .. } = self;
        let before = before.map(|before| due_key(id, before));
        if before.as_ref() != change.due.as_ref().map(|(place, _)| place) {
            if let Some(before) = before {
                tables.due.delete(txn, &before)?;
            }
            if let Some((place, key)) = &change.due {
                tables.due.put(txn, place, key)?;
            }
        }
        match &change.record {
            Some(record) => tables.reminders.put(txn, &slot_key(slot), record)?,
            None => {
                tables.reminders.delete(txn, &slot_key(slot))?;
            }
        }
        Ok(())
    }
}
