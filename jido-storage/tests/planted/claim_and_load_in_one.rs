//! `with taken as (update .. returning ..) select ..`: the claim waits for the append that
//! is under way, and what is loaded with it is of the snapshot from before it waited.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jido_core::{AgentId, Entry, Epoch, Seq, Timestamp};
use jido_storage::conformance::Rule;
use jido_storage::{
    AgentRecord, AppendOutcome, ClaimOutcome, ClaimRequest, Commit, Error, Loaded, Storage,
};
use parking_lot::Mutex;

use crate::double::{Flaw, Rows, pause};
use crate::verdict::is_caught;

type Snapshot = (Loaded, Vec<Entry>);

#[derive(Debug, Default)]
struct ClaimAndLoad {
    on: bool,
    /// A row's lock, as a transaction takes it.
    locks: Mutex<BTreeMap<AgentId, Arc<tokio::sync::Mutex<()>>>>,
    /// What came with the last claim, until its owner appends.
    loaded: Mutex<BTreeMap<AgentId, Snapshot>>,
}

impl ClaimAndLoad {
    fn lock(&self, id: &AgentId) -> Arc<tokio::sync::Mutex<()>> {
        self.locks.lock().entry(id.clone()).or_default().clone()
    }

    fn snapshot(&self, id: &AgentId) -> Option<Snapshot> {
        self.loaded.lock().get(id).cloned()
    }
}

async fn read(rows: &Rows, id: &AgentId) -> Option<Snapshot> {
    let loaded = rows.load(id).await.unwrap()?;
    let thread = rows.read_thread(id, Seq::ZERO, usize::MAX).await.unwrap();
    Some((loaded, thread))
}

#[async_trait]
impl Flaw for ClaimAndLoad {
    async fn claim(&self, rows: &Rows, claim: ClaimRequest) -> Result<ClaimOutcome, Error> {
        let (id, claimant, at) = (claim.id.clone(), claim.claimant, claim.at);
        let before = read(rows, &id).await;
        let row = self.lock(&id);
        let _locked = row.lock().await;
        let outcome = rows.claim(claim).await?;
        if let ClaimOutcome::Claimed(epoch) = outcome {
            let snapshot = if self.on {
                before.map(|(mut loaded, thread)| {
                    loaded.record.owner = Some(claimant);
                    loaded.record.epoch = epoch;
                    loaded.record.updated_at = at;
                    (loaded, thread)
                })
            } else {
                read(rows, &id).await
            };
            let mut loaded = self.loaded.lock();
            match snapshot {
                Some(snapshot) => loaded.insert(id, snapshot),
                None => loaded.remove(&id),
            };
        }
        Ok(outcome)
    }

    async fn load(&self, rows: &Rows, id: &AgentId) -> Result<Option<Loaded>, Error> {
        match self.snapshot(id) {
            Some((loaded, _)) => Ok(Some(loaded)),
            None => rows.load(id).await,
        }
    }

    async fn head(&self, rows: &Rows, id: &AgentId) -> Result<Option<AgentRecord>, Error> {
        match self.snapshot(id) {
            Some((loaded, _)) => Ok(Some(loaded.record)),
            None => rows.head(id).await,
        }
    }

    async fn read_thread(
        &self,
        rows: &Rows,
        id: &AgentId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        let Some((_, thread)) = self.snapshot(id) else {
            return rows.read_thread(id, from, limit).await;
        };
        let from = usize::try_from(from.0).unwrap();
        Ok(thread.into_iter().skip(from).take(limit).collect())
    }

    async fn append(&self, rows: &Rows, commit: Commit) -> AppendOutcome {
        let row = self.lock(&commit.id);
        let _locked = row.lock().await;
        pause().await;
        self.loaded.lock().remove(&commit.id);
        rows.append(commit).await
    }

    async fn delete(
        &self,
        rows: &Rows,
        id: &AgentId,
        epoch: Epoch,
        at: Timestamp,
    ) -> AppendOutcome {
        let row = self.lock(id);
        let _locked = row.lock().await;
        self.loaded.lock().remove(id);
        rows.delete(id, epoch, at).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    let plant = |on| ClaimAndLoad {
        on,
        ..ClaimAndLoad::default()
    };
    is_caught(plant, &[Rule::Claim]).await;
}
