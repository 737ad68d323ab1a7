//! A deletion takes the whole record away: the next claim counts its epochs from 1 again.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jido_core::{AgentId, Entry, Epoch, Seq, Timestamp};
use jido_storage::conformance::Rule;
use jido_storage::{
    AgentRecord, AppendOutcome, ClaimOutcome, ClaimRequest, Commit, DirectoryPage, DirectoryQuery,
    Error, Loaded, Storage,
};
use parking_lot::Mutex;

use crate::double::{Flaw, Rows};
use crate::verdict::is_caught;

#[derive(Debug, Default)]
struct EpochReset {
    on: bool,
    /// How much smaller epochs are shown than they are, by agent.
    less: Mutex<BTreeMap<AgentId, u64>>,
}

impl EpochReset {
    fn less(&self, id: &AgentId) -> u64 {
        self.less.lock().get(id).copied().unwrap_or(0)
    }

    fn shown(&self, id: &AgentId, epoch: Epoch) -> Epoch {
        Epoch(epoch.0.saturating_sub(self.less(id)))
    }

    fn kept(&self, id: &AgentId, epoch: Epoch) -> Epoch {
        Epoch(epoch.0.saturating_add(self.less(id)))
    }

    fn record(&self, mut record: AgentRecord) -> AgentRecord {
        record.epoch = self.shown(&record.id, record.epoch);
        record
    }

    fn outcome(&self, id: &AgentId, outcome: AppendOutcome) -> AppendOutcome {
        match outcome {
            AppendOutcome::Fenced { epoch } => AppendOutcome::Fenced {
                epoch: self.shown(id, epoch),
            },
            other => other,
        }
    }
}

#[async_trait]
impl Flaw for EpochReset {
    async fn claim(&self, rows: &Rows, claim: ClaimRequest) -> Result<ClaimOutcome, Error> {
        let id = claim.id.clone();
        Ok(match rows.claim(claim).await? {
            ClaimOutcome::Claimed(epoch) => ClaimOutcome::Claimed(self.shown(&id, epoch)),
            ClaimOutcome::Held { owner, epoch } => ClaimOutcome::Held {
                owner,
                epoch: self.shown(&id, epoch),
            },
            ClaimOutcome::ClaimantDead => ClaimOutcome::ClaimantDead,
        })
    }

    async fn load(&self, rows: &Rows, id: &AgentId) -> Result<Option<Loaded>, Error> {
        let loaded = rows.load(id).await?;
        Ok(loaded.map(|loaded| Loaded {
            record: self.record(loaded.record),
            ..loaded
        }))
    }

    async fn head(&self, rows: &Rows, id: &AgentId) -> Result<Option<AgentRecord>, Error> {
        Ok(rows.head(id).await?.map(|record| self.record(record)))
    }

    async fn read_thread(
        &self,
        rows: &Rows,
        id: &AgentId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        let mut entries = rows.read_thread(id, from, limit).await?;
        for entry in &mut entries {
            entry.epoch = self.shown(id, entry.epoch);
        }
        Ok(entries)
    }

    async fn append(&self, rows: &Rows, mut commit: Commit) -> AppendOutcome {
        let id = commit.id.clone();
        commit.epoch = self.kept(&id, commit.epoch);
        let outcome = rows.append(commit).await;
        self.outcome(&id, outcome)
    }

    async fn delete(
        &self,
        rows: &Rows,
        id: &AgentId,
        epoch: Epoch,
        at: Timestamp,
    ) -> AppendOutcome {
        let epoch = self.kept(id, epoch);
        let outcome = rows.delete(id, epoch, at).await;
        if self.on && matches!(outcome, AppendOutcome::Committed(_)) {
            self.less.lock().insert(id.clone(), epoch.0);
        }
        self.outcome(id, outcome)
    }

    async fn directory(&self, rows: &Rows, query: DirectoryQuery) -> Result<DirectoryPage, Error> {
        let page = rows.directory(query).await?;
        let agents = page.agents.into_iter();
        Ok(DirectoryPage {
            agents: agents.map(|record| self.record(record)).collect(),
            next: page.next,
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    let plant = |on| EpochReset {
        on,
        ..EpochReset::default()
    };
    is_caught(plant, &[Rule::Claim, Rule::Delete, Rule::Whole]).await;
}
