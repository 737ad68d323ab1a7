//! Reads, each in a short transaction of its own.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use heed::RoTxn;
use jido_core::{AgentId, Checkpoint, Entry, RequestId, Revision, Seq};

use super::codec::decode;
use super::fault::Fault;
use super::tables::{
    AgentRow, CheckpointRow, EntryRow, Tables, agent_key, entry_key, manager_prefix, request_key,
    request_keys, request_of, slot_key,
};
use crate::{
    CommittedRequest, Cursor, DirectoryPage, DirectoryQuery, Error, ErrorKind, Loaded, RequestMark,
    RequestWindow,
};

/// Bytes after which a page of a thread ends.
const PAGE_BYTES: usize = 1024 * 1024;
/// Agents after which a page of the directory ends.
const PAGE_AGENTS: usize = 1024;
/// Begins a cursor of this adapter.
const CURSOR: u8 = b'L';

impl Tables {
    /// An agent's row, unless it is deleted.
    pub(super) fn live(&self, txn: &RoTxn<'_>, id: &AgentId) -> Result<Option<AgentRow>, Fault> {
        Ok(self
            .agent(txn, &agent_key(id), id)?
            .filter(|row| !row.deleted))
    }

    pub(super) fn load(&self, txn: &RoTxn<'_>, id: &AgentId) -> Result<Option<Loaded>, Fault> {
        let Some(row) = self.live(txn, id)? else {
            return Ok(None);
        };
        let checkpoint = match self.checkpoints.get(txn, &slot_key(row.slot))? {
            None => None,
            Some(bytes) => {
                let CheckpointRow { covers, state } =
                    decode(bytes, format_args!("the checkpoint of agent {id}"))?;
                Some(Checkpoint { state, covers })
            }
        };
        let thread_metadata = match self.threads.get(txn, &slot_key(row.slot))? {
            None => BTreeMap::new(),
            Some(bytes) => decode(bytes, format_args!("the thread metadata of agent {id}"))?,
        };
        let reminders = self.reminders(txn, id, row.slot)?;
        Ok(Some(Loaded {
            requests: self.window(txn, id, row)?,
            record: row.into_record(id.clone()),
            checkpoint,
            thread_metadata,
            reminders,
        }))
    }

    fn window(&self, txn: &RoTxn<'_>, id: &AgentId, row: AgentRow) -> Result<RequestWindow, Fault> {
        let (low, high) = request_keys(row.slot).into_inner();
        let keys = (
            Bound::Included(low.as_slice()),
            Bound::Included(high.as_slice()),
        );
        let mut marks = Vec::new();
        for found in self.requests.range(txn, &keys)? {
            let (key, bytes) = found?;
            let request = request_of(key).ok_or_else(|| {
                Fault::Refused(Error::new(
                    ErrorKind::Corrupt,
                    format!("a request of agent {id} has a key that is none"),
                ))
            })?;
            let committed = self.committed_request(bytes, id, request)?;
            marks.push(RequestMark {
                request,
                issued_at: committed.issued_at,
                revision: committed.revision,
            });
        }
        marks.sort_by_key(|mark| (mark.issued_at, mark.request));
        Ok(RequestWindow {
            floor: row.floor,
            marks,
        })
    }

    fn committed_request(
        &self,
        bytes: &[u8],
        id: &AgentId,
        request: RequestId,
    ) -> Result<CommittedRequest, Error> {
        decode(
            bytes,
            format_args!("the record of request {request} of agent {id}"),
        )
    }

    pub(super) fn thread(
        &self,
        txn: &RoTxn<'_>,
        id: &AgentId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, Fault> {
        let mut entries = Vec::new();
        let Some(row) = self.live(txn, id)? else {
            return Ok(entries);
        };
        let mut seq = from;
        let mut bytes = 0;
        let keys = entry_key(row.slot, from)..entry_key(row.slot, row.thread_len.max(from));
        let keys = (
            Bound::Included(keys.start.as_slice()),
            Bound::Excluded(keys.end.as_slice()),
        );
        let mut found = self.entries.range(txn, &keys)?;
        while seq < row.thread_len && entries.len() < limit && bytes < PAGE_BYTES {
            let stored = match found.next().transpose()? {
                Some((key, stored)) if *key == entry_key(row.slot, seq) => stored,
                _ => {
                    return Err(Fault::Refused(Error::new(
                        ErrorKind::Corrupt,
                        format!(
                            "entry {seq} of agent {id} is missing: its thread has {}",
                            row.thread_len
                        ),
                    )));
                }
            };
            bytes += stored.len();
            if bytes > PAGE_BYTES && !entries.is_empty() {
                break;
            }
            let entry: EntryRow = decode(stored, format_args!("entry {seq} of agent {id}"))?;
            entries.push(entry.into_entry(seq));
            seq = seq.next();
        }
        Ok(entries)
    }

    pub(super) fn reply(
        &self,
        txn: &RoTxn<'_>,
        id: &AgentId,
        request: RequestId,
    ) -> Result<Option<CommittedRequest>, Fault> {
        let Some(row) = self.live(txn, id)? else {
            return Ok(None);
        };
        match self.requests.get(txn, &request_key(row.slot, request))? {
            None => Ok(None),
            Some(bytes) => Ok(Some(self.committed_request(bytes, id, request)?)),
        }
    }

    pub(super) fn directory(
        &self,
        txn: &RoTxn<'_>,
        query: &DirectoryQuery,
    ) -> Result<DirectoryPage, Fault> {
        let prefix = manager_prefix(&query.cluster, &query.manager);
        let start = match &query.after {
            None => prefix.clone(),
            Some(cursor) => after(cursor, &prefix)?,
        };
        let limit = query.limit.clamp(1, PAGE_AGENTS);
        let mut page = DirectoryPage {
            agents: Vec::new(),
            next: None,
        };
        let mut last = Vec::new();
        let range = (Bound::Excluded(start.as_slice()), Bound::Unbounded);
        for found in self.agents.range(txn, &range)? {
            let (key, bytes) = found?;
            let Some(place) = key.strip_prefix(prefix.as_slice()) else {
                break;
            };
            let name = || {
                let place = String::from_utf8_lossy(place);
                format!(
                    "the record of an agent of {}/{} at {place:?}",
                    query.cluster, query.manager
                )
            };
            let row: AgentRow<AgentId> = decode(bytes, Lazy(name))?;
            if row.deleted || (row.owner.is_none() && row.revision == Revision::ZERO) {
                continue;
            }
            if page.agents.len() == limit {
                page.next = Some(Cursor(Bytes::from([&[CURSOR], last.as_slice()].concat())));
                break;
            }
            last.clear();
            last.extend_from_slice(place);
            page.agents.push(row.into());
        }
        Ok(page)
    }
}

/// The key that a cursor stands for.
fn after(cursor: &Cursor, prefix: &[u8]) -> Result<Vec<u8>, Error> {
    match cursor.0.split_first() {
        Some((&CURSOR, place)) if !place.is_empty() && prefix.len() + place.len() <= 511 => {
            Ok([prefix, place].concat())
        }
        _ => Err(Error::new(
            ErrorKind::InvalidInput,
            "the cursor is none that a page gave",
        )),
    }
}

/// A name that is put together only when it is needed.
struct Lazy<F>(F);

impl<F: Fn() -> String> std::fmt::Display for Lazy<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&(self.0)())
    }
}
