//! What the reference adapter keeps, and the rules on it. Modelled in
//! `jido-testkit/tests/model/store.rs`, which is held against it.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use jido_core::{
    AgentId, AgentKey, Checkpoint, ClusterName, Entry, Epoch, Incarnation, ManagerName, RequestId,
    Revision, Seq, Timestamp,
};

use super::MAX_COMMIT_BYTES;
use super::due::DueIndex;
use crate::is_planted;
use crate::{
    AgentRecord, AppendOutcome, ClaimOutcome, ClaimRequest, Commit, CommittedRequest, Cursor,
    DirectoryPage, DirectoryQuery, Erase, Error, ErrorKind, NodeRecord, NodeState, Reminders,
    RequestMark, RequestWindow,
};

#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) nodes: BTreeMap<(ClusterName, Incarnation), NodeRecord>,
    pub(super) agents: BTreeMap<AgentId, Stored>,
    pub(super) due: DueIndex,
}

#[derive(Debug)]
pub(super) struct Stored {
    pub(super) record: AgentRecord,
    pub(super) deleted: bool,
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) entries: Vec<Entry>,
    pub(super) thread_metadata: BTreeMap<String, String>,
    pub(super) reminders: Reminders,
    pub(super) requests: BTreeMap<RequestId, CommittedRequest>,
    pub(super) floor: Timestamp,
}

impl Stored {
    pub(super) fn window(&self) -> RequestWindow {
        let mut marks: Vec<RequestMark> = self
            .requests
            .iter()
            .map(|(request, committed)| RequestMark {
                request: *request,
                issued_at: committed.issued_at,
                revision: committed.revision,
            })
            .collect();
        marks.sort_by_key(|mark| (mark.issued_at, mark.request));
        RequestWindow {
            floor: self.floor,
            marks,
        }
    }

    fn erase(&mut self, what: Erase) {
        if what.checkpoint {
            self.checkpoint = None;
        }
        if what.thread {
            self.entries.clear();
            self.thread_metadata.clear();
            self.record.thread_len = Seq::ZERO;
            if let Some(checkpoint) = &mut self.checkpoint {
                checkpoint.covers = Seq::ZERO;
            }
        }
    }
}

impl Tables {
    fn is_up(&self, cluster: &ClusterName, incarnation: Incarnation) -> bool {
        self.nodes
            .get(&(cluster.clone(), incarnation))
            .is_some_and(|node| node.state == NodeState::Up)
    }

    pub(super) fn claim(&mut self, claim: ClaimRequest) -> ClaimOutcome {
        let ClaimRequest {
            id,
            claimant,
            take_from,
            at,
        } = claim;
        if !self.is_up(&id.cluster, claimant) {
            return ClaimOutcome::ClaimantDead;
        }
        if let Some(stored) = self.agents.get(&id)
            && let Some(owner) = stored.record.owner
            && owner != claimant
            && take_from != Some(owner)
            && self.is_up(&id.cluster, owner)
        {
            return ClaimOutcome::Held {
                owner,
                epoch: stored.record.epoch,
            };
        }
        let stored = self.agents.entry(id.clone()).or_insert_with(|| Stored {
            record: AgentRecord {
                id,
                owner: None,
                epoch: Epoch::ZERO,
                revision: Revision::ZERO,
                thread_len: Seq::ZERO,
                created_at: at,
                updated_at: at,
            },
            deleted: false,
            checkpoint: None,
            entries: Vec::new(),
            thread_metadata: BTreeMap::new(),
            reminders: Reminders::default(),
            requests: BTreeMap::new(),
            floor: Timestamp::default(),
        });
        if std::mem::take(&mut stored.deleted) {
            stored.record.created_at = at;
        }
        stored.record.owner = Some(claimant);
        stored.record.epoch = stored.record.epoch.next();
        stored.record.updated_at = at;
        ClaimOutcome::Claimed(stored.record.epoch)
    }

    /// The agent, if `epoch` still owns it.
    fn owned(&mut self, id: &AgentId, epoch: Epoch) -> Result<&mut Stored, AppendOutcome> {
        match self.agents.get_mut(id) {
            Some(stored)
                if stored.record.epoch == epoch && stored.record.owner.is_some()
                    || is_planted!(NoEpochCheck) =>
            {
                Ok(stored)
            }
            Some(stored) => Err(AppendOutcome::Fenced {
                epoch: stored.record.epoch,
            }),
            None => Err(AppendOutcome::Fenced { epoch: Epoch::ZERO }),
        }
    }

    pub(super) fn append(&mut self, commit: Commit) -> Result<Revision, AppendOutcome> {
        commit
            .check(MAX_COMMIT_BYTES)
            .map_err(AppendOutcome::Failed)?;
        if is_planted!(ReleaseWithoutEpoch)
            && commit.release
            && let Some(stored) = self.agents.get_mut(&commit.id)
            && stored.record.epoch != commit.epoch
        {
            stored.record.owner = None;
            return Ok(stored.record.revision);
        }
        let stored = self.owned(&commit.id, commit.epoch)?;
        if stored.record.revision != commit.expected {
            return Err(AppendOutcome::Conflict {
                actual: stored.record.revision,
            });
        }
        commit
            .check_covers(stored.record.thread_len)
            .map_err(AppendOutcome::Failed)?;
        if commit.advances_revision() {
            stored.record.revision = stored.record.revision.next();
        }
        let revision = stored.record.revision;
        stored.erase(commit.erase);
        if commit.begins_thread(stored.record.thread_len) {
            stored.thread_metadata = commit.thread_metadata;
        }
        for (seq, entry) in (stored.record.thread_len.0..).zip(&commit.entries) {
            stored
                .entries
                .push(Entry::committed(entry, Seq(seq), revision, commit.epoch));
        }
        stored.record.thread_len = Seq(stored.entries.len() as u64);
        if commit.checkpoint.is_some() {
            stored.checkpoint = commit.checkpoint;
        }
        let woken_before = stored.reminders.wake_at;
        if let Some(reminders) = commit.reminders {
            stored.reminders = reminders;
        }
        let woken_after = stored.reminders.wake_at;
        for request in &commit.forget {
            stored.requests.remove(request);
        }
        for record in commit.requests {
            stored
                .requests
                .entry(record.request)
                .or_insert(CommittedRequest {
                    issued_at: record.issued_at,
                    revision,
                    reply: record.reply,
                });
        }
        stored.floor = stored.floor.max(commit.forget_before.unwrap_or_default());
        if commit.release {
            stored.record.owner = None;
        }
        stored.record.updated_at = commit.at;
        self.due.moved(&commit.id, woken_before, woken_after);
        Ok(revision)
    }

    pub(super) fn delete(
        &mut self,
        id: &AgentId,
        epoch: Epoch,
        at: Timestamp,
    ) -> Result<Revision, AppendOutcome> {
        let stored = self.owned(id, epoch)?;
        stored.deleted = true;
        stored.erase(Erase {
            checkpoint: true,
            thread: true,
        });
        let woken_before = std::mem::take(&mut stored.reminders).wake_at;
        stored.requests.clear();
        stored.floor = Timestamp::default();
        stored.record.owner = None;
        stored.record.revision = stored.record.revision.next();
        stored.record.updated_at = at;
        let revision = stored.record.revision;
        self.due.moved(id, woken_before, None);
        Ok(revision)
    }

    pub(super) fn live(&self, id: &AgentId) -> Option<&Stored> {
        self.agents.get(id).filter(|stored| !stored.deleted)
    }

    pub(super) fn directory(&self, query: &DirectoryQuery) -> Result<DirectoryPage, Error> {
        let after = match &query.after {
            None => None,
            Some(cursor) => Some(cursor_key(cursor)?),
        };
        let of_manager = |cluster: &ClusterName, manager: &ManagerName| {
            *cluster == query.cluster && *manager == query.manager
        };
        // Agents are ordered by cluster, manager, key: skip to the first that
        // belongs here, then go on while they do.
        let start = match after {
            Some(key) => Bound::Excluded(AgentId::new(
                query.cluster.clone(),
                query.manager.clone(),
                key,
            )),
            None => Bound::Unbounded,
        };
        let limit = query.limit.max(1);
        let mut agents: Vec<AgentRecord> = self
            .agents
            .range((start, Bound::Unbounded))
            .skip_while(|(id, _)| !of_manager(&id.cluster, &id.manager))
            .take_while(|(id, _)| of_manager(&id.cluster, &id.manager))
            .filter(|(_, stored)| {
                !stored.deleted
                    && (stored.record.owner.is_some() || stored.record.revision > Revision::ZERO)
            })
            .map(|(_, stored)| stored.record.clone())
            .take(limit.saturating_add(1))
            .collect();
        let more = agents.len() > limit;
        agents.truncate(limit);
        let next = agents
            .last()
            .filter(|_| more)
            .map(|last| Cursor(Bytes::copy_from_slice(last.id.key.as_str().as_bytes())));
        Ok(DirectoryPage { agents, next })
    }
}

fn cursor_key(cursor: &Cursor) -> Result<AgentKey, Error> {
    let refused = || {
        Error::new(
            ErrorKind::InvalidInput,
            "the cursor is none that a page gave",
        )
    };
    let text = std::str::from_utf8(&cursor.0).map_err(|e| refused().caused_by(e))?;
    AgentKey::new(text).map_err(|e| refused().caused_by(e))
}
