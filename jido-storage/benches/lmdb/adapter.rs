//! The adapter at work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jido_core::{
    AgentId, AgentKey, Checkpoint, ClusterName, Epoch, Incarnation, ManagerName, NewEntry,
    NodeName, Revision, Seq, Timestamp,
};
use jido_storage::{
    AppendOutcome, ClaimOutcome, ClaimRequest, Commit, DirectoryQuery, GroupCommitter,
    GroupOptions, LmdbStorage, NodeRegistration, Storage,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::batches::Recorder;

const NODE: Incarnation = Incarnation(1);

/// A folder with agents, all of them claimed.
pub(crate) struct Adapter<'a> {
    storage: Arc<dyn Storage>,
    claimed: Vec<(AgentId, Epoch)>,
    revision: u64,
    runtime: &'a Runtime,
    folder: TempDir,
}

fn claim_of(id: &AgentId) -> ClaimRequest {
    ClaimRequest {
        id: id.clone(),
        claimant: NODE,
        take_from: None,
        at: Timestamp(0),
    }
}

async fn claim(storage: &dyn Storage, id: &AgentId) -> Epoch {
    match storage.claim(claim_of(id)).await {
        Ok(ClaimOutcome::Claimed(epoch)) => epoch,
        other => panic!("{other:?}"),
    }
}

async fn append(storage: &dyn Storage, commit: Commit) {
    match storage.append(commit).await {
        AppendOutcome::Committed(_) => {}
        other => panic!("{other:?}"),
    }
}

impl<'a> Adapter<'a> {
    /// With a group committer in front where `grouped`.
    pub(crate) fn new(agents: usize, runtime: &'a Runtime, grouped: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lmdb = LmdbStorage::open(folder.path()).unwrap();
        let cluster = ClusterName::new("bench").unwrap();
        let manager = ManagerName::new("agents").unwrap();
        let node = NodeRegistration {
            cluster: cluster.clone(),
            name: NodeName::new("n1").unwrap(),
            incarnation: NODE,
            address: String::new(),
            metadata: BTreeMap::new(),
            at: Timestamp(0),
        };
        let claimed = runtime.block_on(async {
            lmdb.register_node(node).await.unwrap();
            let claims = (0..agents).map(|n| {
                let key = AgentKey::new(format!("agent-{n}")).unwrap();
                let id = AgentId::new(cluster.clone(), manager.clone(), key);
                let lmdb = lmdb.clone();
                runtime.spawn(async move { (id.clone(), claim(&lmdb, &id).await) })
            });
            let claims: Vec<_> = claims.collect();
            let mut claimed = Vec::new();
            for claim in claims {
                claimed.push(claim.await.unwrap());
            }
            claimed
        });
        let mut storage: Arc<dyn Storage> = Arc::new(lmdb);
        if grouped {
            let (group, drivers) = GroupCommitter::new(storage, &GroupOptions::new()).unwrap();
            for driver in drivers {
                runtime.spawn(driver.run());
            }
            storage = Arc::new(group);
        }
        Self {
            storage,
            claimed,
            revision: 0,
            runtime,
            folder,
        }
    }

    /// Closes the storage and leaves its folder.
    pub(crate) fn close(self) -> TempDir {
        self.folder
    }

    /// Every agent is a task that appends one entry after the other.
    pub(crate) fn append(&mut self, bytes: usize, rounds: u64, recorder: &Recorder) -> Duration {
        let payload = Bytes::from(vec![7u8; bytes]);
        let revisions = self.revision..self.revision + rounds;
        self.revision += rounds;
        let start = Instant::now();
        let tasks: Vec<_> = self
            .claimed
            .iter()
            .enumerate()
            .map(|(agent, (id, epoch))| {
                let (storage, id, epoch) = (self.storage.clone(), id.clone(), *epoch);
                let recorder = recorder.clone();
                let (payload, revisions) = (payload.clone(), revisions.clone());
                self.runtime.spawn(async move {
                    for expected in revisions {
                        let at = Timestamp(expected);
                        let mut commit = Commit::new(id.clone(), epoch, Revision(expected), at);
                        commit
                            .entries
                            .push(NewEntry::new("e", at, payload.clone()).unwrap());
                        recorder.comes(agent);
                        append(&*storage, commit).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            self.runtime.block_on(task).unwrap();
        }
        start.elapsed()
    }

    /// Gives the first agent a checkpoint of so many bytes.
    pub(crate) fn checkpoint(&mut self, bytes: usize) {
        let (id, epoch) = self.claimed[0].clone();
        let mut commit = Commit::new(id, epoch, Revision(self.revision), Timestamp(0));
        commit.checkpoint = Some(Checkpoint {
            state: vec![7; bytes].into(),
            covers: Seq(0),
        });
        self.runtime.block_on(append(&*self.storage, commit));
        self.revision += 1;
    }

    /// Claims the first agent and loads it, again and again.
    pub(crate) fn claim_and_load(&mut self, rounds: u64) -> Duration {
        let id = self.claimed[0].0.clone();
        let start = Instant::now();
        self.runtime.block_on(async {
            for _ in 0..rounds {
                claim(&*self.storage, &id).await;
                let loaded = self.storage.load(&id).await.unwrap().unwrap();
                assert!(loaded.checkpoint.is_some());
            }
        });
        start.elapsed()
    }

    /// Reads a page of the directory with all agents.
    pub(crate) fn page(&mut self, rounds: u64) -> Duration {
        let id = &self.claimed[0].0;
        let query = DirectoryQuery {
            cluster: id.cluster.clone(),
            manager: id.manager.clone(),
            after: None,
            limit: self.claimed.len(),
        };
        let start = Instant::now();
        self.runtime.block_on(async {
            for _ in 0..rounds {
                let page = self.storage.directory(query.clone()).await.unwrap();
                assert_eq!(page.agents.len(), self.claimed.len());
            }
        });
        start.elapsed()
    }
}
