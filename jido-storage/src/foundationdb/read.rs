//! Reads, each in a transaction of its own that commits nothing.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{try_join, try_join_all, try_join5};
use jido_core::{AgentId, AgentKey, Checkpoint, ClusterName, Entry, ManagerName, RequestId, Seq};

use super::database::{Batch, Reading, Transaction};
use super::fault::Fault;
use super::layout::{Content, Layout, chunks};
use super::rows::{AgentRow, CheckpointRow, EntryRow, MarkRow, RemindersRow, join};
use super::transact::{Operation, Step};
use crate::record_codec::decode;
use crate::{
    AgentRecord, CommittedRequest, Cursor, Error, ErrorKind, Loaded, Reminders, RequestMark,
    RequestWindow,
};

/// Bytes after which a page of a thread ends.
const PAGE_BYTES: usize = 1024 * 1024;
/// Agents after which a page of the directory ends.
pub(super) const PAGE_AGENTS: usize = 1024;
/// Agents whose records are read in one transaction.
pub(super) const HEADS: usize = 1024;
/// Begins a cursor of this adapter.
const CURSOR: u8 = b'F';

/// Reads an agent for its next activation.
pub(super) struct Load<'a>(pub(super) &'a AgentId);

/// Reads agents' records.
pub(super) struct Heads<'a>(pub(super) &'a [AgentId]);

/// Reads a page of a thread.
pub(super) struct ReadThread<'a> {
    pub(super) id: &'a AgentId,
    pub(super) from: Seq,
    pub(super) limit: usize,
}

/// Reads what was committed for a request.
pub(super) struct ReplyOf<'a>(pub(super) &'a AgentId, pub(super) RequestId);

/// Reads the next agents of a manager, those that no directory shows among them.
pub(super) struct NextAgents<'a> {
    pub(super) cluster: &'a ClusterName,
    pub(super) manager: &'a ManagerName,
    pub(super) after: Option<AgentKey>,
    pub(super) limit: usize,
}

pub(super) fn corrupt(message: String) -> Fault {
    Fault::Refused(Error::new(ErrorKind::Corrupt, message))
}

/// An agent's row, unless it is deleted.
async fn live(
    layout: &Layout,
    tx: &dyn Transaction,
    id: &AgentId,
) -> Result<Option<AgentRow>, Fault> {
    let (claim, state) = (layout.claim(id), layout.state(id));
    let (claim, state) = try_join(
        tx.get(&claim, Reading::Snapshot),
        tx.get(&state, Reading::Snapshot),
    )
    .await?;
    let row = AgentRow::decode(id, claim.as_deref(), state.as_deref())?;
    Ok(row.filter(|row| !row.claim.deleted))
}

/// The record that is cut up behind a key, if there is one.
async fn cut_record(tx: &dyn Transaction, behind: Vec<u8>) -> Result<Option<Vec<u8>>, Fault> {
    let pairs = tx.whole_range(&chunks(&behind), Reading::Snapshot).await?;
    Ok((!pairs.is_empty()).then(|| join(pairs)))
}

async fn marks(
    tx: &dyn Transaction,
    content: &Content,
    id: &AgentId,
) -> Result<Vec<RequestMark>, Fault> {
    let mut marks = Vec::new();
    for (key, bytes) in tx.whole_range(&content.marks(), Reading::Snapshot).await? {
        let request = content
            .request_of(&key)
            .ok_or_else(|| corrupt(format!("a request of agent {id} has a key that is none")))?;
        let row: MarkRow = decode(
            &bytes,
            format_args!("the mark of request {request} of agent {id}"),
        )?;
        marks.push(RequestMark {
            request,
            issued_at: row.issued_at,
            revision: row.revision,
        });
    }
    marks.sort_by_key(|mark| (mark.issued_at, mark.request));
    Ok(marks)
}

#[async_trait]
impl Operation for Load<'_> {
    type Output = Option<Loaded>;

    fn name(&self) -> String {
        format!("loading agent {}", self.0)
    }

    async fn run(
        &self,
        layout: &Layout,
        tx: &dyn Transaction,
    ) -> Result<Step<Self::Output>, Fault> {
        let id = self.0;
        let content = layout.content(id);
        let (row, checkpoint, metadata, reminders, marks) = try_join5(
            live(layout, tx, id),
            cut_record(tx, content.checkpoint()),
            cut_record(tx, content.metadata()),
            cut_record(tx, content.reminders()),
            marks(tx, &content, id),
        )
        .await?;
        let Some(row) = row else {
            return Ok(Step::Read(None));
        };
        let checkpoint = match (row.state.covers, checkpoint) {
            (None, _) => None,
            (Some(covers), Some(bytes)) => {
                let CheckpointRow { state } =
                    decode(&bytes, format_args!("the checkpoint of agent {id}"))?;
                Some(Checkpoint { state, covers })
            }
            (Some(_), None) => {
                return Err(corrupt(format!("the checkpoint of agent {id} is missing")));
            }
        };
        let thread_metadata = match metadata {
            None => BTreeMap::new(),
            Some(bytes) => decode(&bytes, format_args!("the thread metadata of agent {id}"))?,
        };
        let list = match (row.state.wake_at, reminders) {
            (_, Some(bytes)) => {
                let RemindersRow { list } =
                    decode(&bytes, format_args!("the reminders of agent {id}"))?;
                list
            }
            (None, None) => Bytes::new(),
            (Some(_), None) => {
                return Err(corrupt(format!("the reminders of agent {id} are missing")));
            }
        };
        let wake_at = row.state.wake_at;
        Ok(Step::Read(Some(Loaded {
            reminders: Reminders { wake_at, list },
            requests: RequestWindow {
                floor: row.state.floor,
                marks,
            },
            record: row.into_record(id.clone()),
            checkpoint,
            thread_metadata,
        })))
    }
}

#[async_trait]
impl Operation for Heads<'_> {
    type Output = Vec<Option<AgentRecord>>;

    fn name(&self) -> String {
        match self.0 {
            [id] => format!("reading the record of agent {id}"),
            ids => format!("reading the records of {} agents", ids.len()),
        }
    }

    async fn run(
        &self,
        layout: &Layout,
        tx: &dyn Transaction,
    ) -> Result<Step<Self::Output>, Fault> {
        let heads = try_join_all(self.0.iter().map(async |id| {
            let row = live(layout, tx, id).await?;
            Ok::<_, Fault>(row.map(|row| row.into_record(id.clone())))
        }));
        Ok(Step::Read(heads.await?))
    }
}

/// Puts entries together from the values of a range, one after another.
struct Page<'a> {
    id: &'a AgentId,
    entries: Vec<Entry>,
    /// The place of the next entry, and what of it has come.
    next: Seq,
    partial: Vec<u8>,
}

impl Page<'_> {
    /// Finishes the entry under way, if one is.
    fn finish(&mut self) -> Result<(), Fault> {
        if self.partial.is_empty() {
            return Ok(());
        }
        let (seq, id) = (self.next, self.id);
        let row: EntryRow = decode(&self.partial, format_args!("entry {seq} of agent {id}"))?;
        self.entries.push(row.into_entry(seq));
        self.partial.clear();
        self.next = seq.next();
        Ok(())
    }

    fn missing(&self, len: Seq) -> Fault {
        corrupt(format!(
            "entry {} of agent {} is missing: its thread has {len}",
            self.next, self.id
        ))
    }
}

#[async_trait]
impl Operation for ReadThread<'_> {
    type Output = Vec<Entry>;

    fn name(&self) -> String {
        format!("reading the thread of agent {}", self.id)
    }

    async fn run(
        &self,
        layout: &Layout,
        tx: &dyn Transaction,
    ) -> Result<Step<Self::Output>, Fault> {
        let mut page = Page {
            id: self.id,
            entries: Vec::new(),
            next: self.from,
            partial: Vec::new(),
        };
        let row = live(layout, tx, self.id).await?;
        let len = row.map_or(Seq::ZERO, |row| row.state.thread_len);
        if self.from >= len || self.limit == 0 {
            return Ok(Step::Read(page.entries));
        }
        let content = layout.content(self.id);
        let mut rest = content.entries(self.from, len);
        let mut bytes = 0;
        loop {
            // One more than is missing: it shows where the last entry ends.
            let limit = (self.limit - page.entries.len()).saturating_add(1);
            let Batch { pairs, more } = tx.range(&rest, limit, Reading::Snapshot).await?;
            if let Some((last, _)) = pairs.last() {
                rest.begin_after(last);
            }
            let ends = !more || pairs.is_empty();
            for (key, value) in pairs {
                let seq = content.seq_of(&key).ok_or_else(|| {
                    corrupt(format!(
                        "an entry of agent {} has a key that is none",
                        self.id
                    ))
                })?;
                if seq != page.next {
                    page.finish()?;
                    let large = bytes + value.len() > PAGE_BYTES && !page.entries.is_empty();
                    if page.entries.len() == self.limit || large {
                        return Ok(Step::Read(page.entries));
                    }
                    if seq != page.next {
                        return Err(page.missing(len));
                    }
                }
                bytes += value.len();
                page.partial.extend_from_slice(&value);
            }
            if ends {
                page.finish()?;
                return match page.next == len {
                    true => Ok(Step::Read(page.entries)),
                    false => Err(page.missing(len)),
                };
            }
        }
    }
}

#[async_trait]
impl Operation for ReplyOf<'_> {
    type Output = Option<CommittedRequest>;

    fn name(&self) -> String {
        format!("reading a reply of agent {}", self.0)
    }

    async fn run(
        &self,
        layout: &Layout,
        tx: &dyn Transaction,
    ) -> Result<Step<Self::Output>, Fault> {
        let Self(id, request) = self;
        let (row, reply) = try_join(
            live(layout, tx, id),
            cut_record(tx, layout.content(id).reply(*request)),
        )
        .await?;
        let Some(bytes) = reply.filter(|_| row.is_some()) else {
            return Ok(Step::Read(None));
        };
        let name = format_args!("the record of request {request} of agent {id}");
        Ok(Step::Read(Some(decode(&bytes, name)?)))
    }
}

/// Agents with their rows, and whether others may follow.
#[derive(Default)]
pub(super) struct Agents {
    pub(super) rows: Vec<(AgentKey, AgentRow)>,
    pub(super) more: bool,
}

#[async_trait]
impl Operation for NextAgents<'_> {
    type Output = Agents;

    fn name(&self) -> String {
        format!("reading the directory of {}/{}", self.cluster, self.manager)
    }

    async fn run(
        &self,
        layout: &Layout,
        tx: &dyn Transaction,
    ) -> Result<Step<Self::Output>, Fault> {
        let agent_of = |key: &[u8]| {
            layout.agent_of(key).ok_or_else(|| {
                corrupt(format!(
                    "an agent of {}/{} has a key that is none",
                    self.cluster, self.manager
                ))
            })
        };
        let span = layout.claims(self.cluster, self.manager, self.after.as_ref());
        let Batch { pairs, more } = tx.range(&span, self.limit, Reading::Snapshot).await?;
        let claims = pairs
            .into_iter()
            .map(|(key, row)| Ok((agent_of(&key)?, row)));
        let claims = claims.collect::<Result<Vec<_>, Fault>>()?;
        let (Some((first, _)), Some((last, _))) = (claims.first(), claims.last()) else {
            return Ok(Step::Read(Agents::default()));
        };
        let span = layout.states(self.cluster, self.manager, [first, last]);
        let mut states = BTreeMap::new();
        for (key, row) in tx.whole_range(&span, Reading::Snapshot).await? {
            states.insert(agent_of(&key)?, row);
        }
        let mut rows = Vec::with_capacity(claims.len());
        for (agent, claim) in claims {
            let name = format_args!("{}/{}/{agent}", self.cluster, self.manager);
            let state = states.remove(&agent);
            let row = AgentRow::decode(name, Some(&claim), state.as_deref())?;
            rows.extend(row.map(|row| (agent, row)));
        }
        Ok(Step::Read(Agents { rows, more }))
    }
}

/// The place behind an agent.
pub(super) fn cursor(key: &AgentKey) -> Cursor {
    Cursor(Bytes::from([&[CURSOR], key.as_str().as_bytes()].concat()))
}

/// The agent that a cursor stands behind.
///
/// # Errors
///
/// [`InvalidInput`](ErrorKind::InvalidInput) for a cursor that no page gave.
pub(super) fn agent_before(cursor: &Cursor) -> Result<AgentKey, Error> {
    let refused = || {
        Error::new(
            ErrorKind::InvalidInput,
            "the cursor is none that a page gave",
        )
    };
    let Some((&CURSOR, key)) = cursor.0.split_first() else {
        return Err(refused());
    };
    let key = std::str::from_utf8(key).map_err(|cause| refused().caused_by(cause))?;
    AgentKey::new(key).map_err(|cause| refused().caused_by(cause))
}
