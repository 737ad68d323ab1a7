//! How commits would end, without writing them.

use std::collections::BTreeMap;

use jido_core::{AgentId, Epoch, Revision};
use jido_storage::{AgentRecord, AppendOutcome, Commit, Storage};

use crate::double::Rows;

/// Records as they would be after the commits that were looked at.
#[derive(Debug, Default)]
pub(crate) struct Foreseen(BTreeMap<AgentId, Option<AgentRecord>>);

impl Foreseen {
    pub(crate) async fn outcome(&mut self, rows: &Rows, commit: &Commit) -> AppendOutcome {
        if !self.0.contains_key(&commit.id) {
            let head = rows.head(&commit.id).await.unwrap();
            self.0.insert(commit.id.clone(), head);
        }
        let limit = rows.capabilities().max_commit_bytes;
        if let Err(error) = commit.check(limit) {
            return AppendOutcome::Failed(error);
        }
        let Some(Some(record)) = self.0.get_mut(&commit.id) else {
            return AppendOutcome::Fenced { epoch: Epoch::ZERO };
        };
        if record.epoch != commit.epoch || record.owner.is_none() {
            return AppendOutcome::Fenced {
                epoch: record.epoch,
            };
        }
        if record.revision != commit.expected {
            return AppendOutcome::Conflict {
                actual: record.revision,
            };
        }
        if let Err(error) = commit.check_covers(record.thread_len) {
            return AppendOutcome::Failed(error);
        }
        record.thread_len = commit.thread_len_after(record.thread_len);
        if commit.advances_revision() {
            record.revision = Revision(record.revision.0 + 1);
        }
        if commit.release {
            record.owner = None;
        }
        AppendOutcome::Committed(record.revision)
    }
}
