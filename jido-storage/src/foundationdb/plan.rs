//! What a batch of commits writes: the rules of an append, on records that have been
//! read, without a transaction.

use std::collections::{BTreeMap, BTreeSet};

use jido_core::{AgentId, Entry, Epoch, RequestId, Seq, Timestamp};

use super::layout::{Content, Layout, Span, chunks};
use super::rows::{AgentRow, CheckpointRow, EntryRow, MarkRow, RemindersRow, StateRow, cut};
use crate::record_codec::encode;
use crate::{AppendOutcome, Commit, CommittedRequest, Error, Reminders};

/// Something to write that no conflict range stands for: the agent's row does.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Write {
    Set(Vec<u8>, Vec<u8>),
    Clear(Span),
}

/// The rows of an agent that there are, encoded.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) claim: Option<Vec<u8>>,
    pub(super) state: Option<Vec<u8>>,
}

/// What a transaction has read and is to write.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The rows as they are now.
    pub(super) rows: BTreeMap<AgentId, Rows>,
    /// The requests that have a record now.
    pub(super) marks: BTreeSet<(AgentId, RequestId)>,
    /// The agents of which it is to be written how far they are.
    pub(super) changed: BTreeSet<AgentId>,
    /// The agents that have no owner any more, which is to be written too.
    pub(super) released: BTreeSet<AgentId>,
    /// What else is to be written, in order.
    pub(super) writes: Vec<Write>,
}

/// Why a commit is refused.
type Refusal = AppendOutcome;

fn failed(error: Error) -> Refusal {
    AppendOutcome::Failed(error)
}

impl Plan {
    /// The agent's row, if `epoch` owns it.
    fn owned(&self, id: &AgentId, epoch: Epoch) -> Result<AgentRow, Refusal> {
        let rows = self.rows.get(id);
        let claim = rows.and_then(|rows| rows.claim.as_deref());
        let state = rows.and_then(|rows| rows.state.as_deref());
        match AgentRow::decode(id, claim, state).map_err(failed)? {
            Some(row) if row.claim.epoch == epoch && row.claim.owner.is_some() => Ok(row),
            Some(AgentRow { claim, .. }) => Err(AppendOutcome::Fenced { epoch: claim.epoch }),
            None => Err(AppendOutcome::Fenced { epoch: Epoch::ZERO }),
        }
    }

    /// Takes in a row that has changed.
    fn put(&mut self, id: &AgentId, row: &AgentRow, writes: Vec<Write>) -> Result<(), Refusal> {
        let state = encode(&row.state).map_err(failed)?;
        let rows = self.rows.entry(id.clone()).or_default();
        // It had an owner until now: who else changes it doesn't get here.
        if row.claim.owner.is_none() {
            rows.claim = Some(encode(&row.claim).map_err(failed)?);
            self.released.insert(id.clone());
        }
        rows.state = Some(state);
        self.changed.insert(id.clone());
        self.writes.extend(writes);
        Ok(())
    }

    /// Adds a commit. If it is refused, nothing of it is in the plan.
    pub(super) fn append(&mut self, layout: &Layout, commit: &Commit) -> AppendOutcome {
        self.try_append(layout, commit)
            .unwrap_or_else(|refusal| refusal)
    }

    fn try_append(&mut self, layout: &Layout, commit: &Commit) -> Result<AppendOutcome, Refusal> {
        let AgentRow {
            mut claim,
            state: mut row,
        } = self.owned(&commit.id, commit.epoch)?;
        if row.revision != commit.expected {
            return Err(AppendOutcome::Conflict {
                actual: row.revision,
            });
        }
        commit.check_covers(row.thread_len).map_err(failed)?;
        let content = layout.content(&commit.id);
        let mut writes = Vec::new();
        if commit.advances_revision() {
            row.revision = row.revision.next();
        }
        if commit.erase.checkpoint {
            row.covers = None;
            writes.push(Write::Clear(chunks(&content.checkpoint())));
        }
        if commit.erase.thread {
            writes.push(Write::Clear(content.thread()));
            writes.push(Write::Clear(chunks(&content.metadata())));
            // A checkpoint that stays covers nothing of the thread that goes.
            row.covers = row.covers.map(|_| Seq::ZERO);
        }
        if commit.begins_thread(row.thread_len) && !commit.thread_metadata.is_empty() {
            set(&mut writes, &content.metadata(), &commit.thread_metadata)?;
        }
        if commit.erase.thread {
            row.thread_len = Seq::ZERO;
        }
        for entry in &commit.entries {
            let seq = row.thread_len;
            let entry = Entry::committed(entry, seq, row.revision, commit.epoch);
            set(
                &mut writes,
                &content.entry(seq),
                &EntryRow::from_entry(entry),
            )?;
            row.thread_len = seq.next();
        }
        if let Some(checkpoint) = &commit.checkpoint {
            row.covers = Some(checkpoint.covers);
            let state = checkpoint.state.clone();
            writes.push(Write::Clear(chunks(&content.checkpoint())));
            set(&mut writes, &content.checkpoint(), &CheckpointRow { state })?;
        }
        if let Some(reminders) = &commit.reminders {
            remind(layout, &commit.id, &mut row, reminders, &mut writes)?;
        }
        let marked = self.write_requests(&content, commit, &row, &mut writes)?;
        row.floor = row.floor.max(commit.forget_before.unwrap_or_default());
        if commit.release {
            claim.owner = None;
        }
        row.epoch = commit.epoch;
        row.updated_at = commit.at;
        let revision = row.revision;
        self.put(&commit.id, &AgentRow { claim, state: row }, writes)?;
        for request in &commit.forget {
            self.marks.remove(&(commit.id.clone(), *request));
        }
        self.marks.extend(marked);
        Ok(AppendOutcome::Committed(revision))
    }

    /// Drops the records of requests that are forgotten, then writes those that have
    /// none: the first reply stands. Gives what is marked anew.
    fn write_requests(
        &self,
        content: &Content,
        commit: &Commit,
        row: &StateRow,
        writes: &mut Vec<Write>,
    ) -> Result<BTreeSet<(AgentId, RequestId)>, Refusal> {
        for request in &commit.forget {
            writes.push(Write::Clear(Span::only(content.mark(*request))));
            writes.push(Write::Clear(chunks(&content.reply(*request))));
        }
        let mut marked = BTreeSet::new();
        for record in &commit.requests {
            let request = (commit.id.clone(), record.request);
            let kept = self.marks.contains(&request) && !commit.forget.contains(&record.request);
            if kept || !marked.insert(request) {
                continue;
            }
            let mark = MarkRow {
                issued_at: record.issued_at,
                revision: row.revision,
            };
            let mark = encode(&mark).map_err(failed)?;
            writes.push(Write::Set(content.mark(record.request), mark));
            let committed = CommittedRequest {
                issued_at: record.issued_at,
                revision: row.revision,
                reply: record.reply.clone(),
            };
            set(writes, &content.reply(record.request), &committed)?;
        }
        Ok(marked)
    }

    /// Adds a deletion.
    pub(super) fn delete(
        &mut self,
        layout: &Layout,
        id: &AgentId,
        epoch: Epoch,
        at: Timestamp,
    ) -> AppendOutcome {
        let mut row = match self.owned(id, epoch) {
            Ok(row) => row,
            Err(refusal) => return refusal,
        };
        row.claim.deleted = true;
        row.claim.owner = None;
        let mut writes = vec![Write::Clear(layout.content(id).everything())];
        wake(layout, id, &mut row.state, None, &mut writes);
        let revision = row.state.revision.next();
        row.state = StateRow {
            epoch,
            revision,
            updated_at: at,
            ..StateRow::default()
        };
        match self.put(id, &row, writes) {
            Ok(()) => AppendOutcome::Committed(revision),
            Err(refusal) => refusal,
        }
    }
}

/// Replaces an agent's reminders.
fn remind(
    layout: &Layout,
    id: &AgentId,
    row: &mut StateRow,
    reminders: &Reminders,
    writes: &mut Vec<Write>,
) -> Result<(), Refusal> {
    let behind = layout.content(id).reminders();
    writes.push(Write::Clear(chunks(&behind)));
    if *reminders != Reminders::default() {
        let list = reminders.list.clone();
        set(writes, &behind, &RemindersRow { list })?;
    }
    wake(layout, id, row, reminders.wake_at, writes);
    Ok(())
}

/// Moves an agent among those that are due.
fn wake(
    layout: &Layout,
    id: &AgentId,
    row: &mut StateRow,
    wake_at: Option<Timestamp>,
    writes: &mut Vec<Write>,
) {
    if row.wake_at == wake_at {
        return;
    }
    if let Some(before) = row.wake_at {
        writes.push(Write::Clear(Span::only(layout.due(id, before))));
    }
    if let Some(wake_at) = wake_at {
        writes.push(Write::Set(layout.due(id, wake_at), Vec::new()));
    }
    row.wake_at = wake_at;
}

/// Sets the chunks of a record.
fn set<T: serde::Serialize>(
    writes: &mut Vec<Write>,
    behind: &[u8],
    record: &T,
) -> Result<(), Refusal> {
    let record = encode(record).map_err(failed)?;
    writes.extend(cut(behind, &record).map(|(key, value)| Write::Set(key, value)));
    Ok(())
}

/// What a mutation costs beside its keys and its value, in bytes: what the engine counts for its
/// own structures, and the header, numbers and lengths of a record.
const OVERHEAD: usize = 112;

/// How many bytes of a transaction a commit takes at the most.
pub(super) fn cost(layout: &Layout, commit: &Commit) -> usize {
    let content = layout.content(&commit.id);
    // Its two rows are read, and one or both written, with a conflict range of two keys for each.
    let row = (8 + 2 * usize::from(commit.release)) * layout.state(&commit.id).len() + 640;
    let entries = commit.entries.len() * (content.entry(Seq(u64::MAX)).len() + 10 + OVERHEAD);
    let refs: usize = commit
        .entries
        .iter()
        .map(|entry| entry.refs.len() * 10)
        .sum();
    // A mark and a reply each, whose keys are the longest.
    let requests = 2 * commit.requests.len() * (content.longest_key() + OVERHEAD);
    let metadata = commit.thread_metadata.len() * 10;
    // Checkpoint, metadata and reminders are records more, and so is every part of what is cut.
    let cuts = 3 + commit.payload_len() / super::rows::MAX_VALUE_BYTES;
    let cleared = usize::from(commit.checkpoint.is_some())
        + usize::from(commit.erase.checkpoint)
        + usize::from(commit.reminders.is_some())
        + 2 * usize::from(commit.erase.thread)
        + 2 * commit.forget.len();
    let clears = cleared * (2 * content.longest_key() + OVERHEAD);
    let cuts = cuts * (content.longest_key() + OVERHEAD);
    // A time is cleared, of two keys, and another set.
    let due = layout.due(&commit.id, Timestamp(u64::MAX)).len();
    let due = usize::from(commit.reminders.is_some()) * (3 * due + 2 * OVERHEAD);
    row + due + commit.payload_len() + entries + refs + requests + metadata + cuts + clears
}

/// How many of the first commits go into one transaction of `budget` bytes: all that
/// fit, and at least one.
pub(super) fn first_batch(layout: &Layout, commits: &[Commit], budget: usize) -> usize {
    let mut bytes = 0;
    commits
        .iter()
        .take_while(|commit| {
            bytes += cost(layout, commit);
            bytes <= budget
        })
        .count()
        .max(1)
        .min(commits.len())
}
