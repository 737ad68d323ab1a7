//! A release takes the owner out of the record, and appends look at the epoch alone: who
//! gave its claim back goes on writing until another claims.

use std::collections::BTreeSet;

use async_trait::async_trait;
use jido_core::{AgentId, Epoch, Timestamp};
use jido_storage::conformance::Rule;
use jido_storage::{
    AgentRecord, AppendOutcome, ClaimOutcome, ClaimRequest, Commit, DirectoryPage, DirectoryQuery,
    Error, Loaded, Storage,
};
use parking_lot::Mutex;

use crate::double::{Flaw, Rows};
use crate::verdict::is_caught;

#[derive(Debug, Default)]
struct ReleasedOwnerWrites {
    on: bool,
    /// Agents that nobody owns, although their row still has an owner.
    released: Mutex<BTreeSet<AgentId>>,
}

impl ReleasedOwnerWrites {
    fn shown(&self, mut record: AgentRecord) -> AgentRecord {
        if self.released.lock().contains(&record.id) {
            record.owner = None;
        }
        record
    }
}

#[async_trait]
impl Flaw for ReleasedOwnerWrites {
    async fn claim(&self, rows: &Rows, mut claim: ClaimRequest) -> Result<ClaimOutcome, Error> {
        let id = claim.id.clone();
        if self.released.lock().contains(&id) {
            claim.take_from = rows.head(&id).await?.and_then(|head| head.owner);
        }
        let outcome = rows.claim(claim).await?;
        if matches!(outcome, ClaimOutcome::Claimed(_)) {
            self.released.lock().remove(&id);
        }
        Ok(outcome)
    }

    async fn load(&self, rows: &Rows, id: &AgentId) -> Result<Option<Loaded>, Error> {
        let loaded = rows.load(id).await?;
        Ok(loaded.map(|loaded| Loaded {
            record: self.shown(loaded.record),
            ..loaded
        }))
    }

    async fn head(&self, rows: &Rows, id: &AgentId) -> Result<Option<AgentRecord>, Error> {
        Ok(rows.head(id).await?.map(|record| self.shown(record)))
    }

    async fn append(&self, rows: &Rows, mut commit: Commit) -> AppendOutcome {
        let (id, release) = (commit.id.clone(), commit.release);
        commit.release = release && !self.on;
        let outcome = rows.append(commit).await;
        if self.on && release && matches!(outcome, AppendOutcome::Committed(_)) {
            self.released.lock().insert(id);
        }
        outcome
    }

    async fn delete(
        &self,
        rows: &Rows,
        id: &AgentId,
        epoch: Epoch,
        at: Timestamp,
    ) -> AppendOutcome {
        let outcome = rows.delete(id, epoch, at).await;
        if matches!(outcome, AppendOutcome::Committed(_)) {
            self.released.lock().remove(id);
        }
        outcome
    }

    async fn directory(&self, rows: &Rows, query: DirectoryQuery) -> Result<DirectoryPage, Error> {
        let page = rows.directory(query).await?;
        let agents = page.agents.into_iter();
        Ok(DirectoryPage {
            agents: agents.map(|record| self.shown(record)).collect(),
            next: page.next,
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    let plant = |on| ReleasedOwnerWrites {
        on,
        ..ReleasedOwnerWrites::default()
    };
    is_caught(plant, &[Rule::Batch, Rule::Release, Rule::Whole]).await;
}
