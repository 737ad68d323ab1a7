//! What is acknowledged is seen at once and written behind: the last of it is lost when
//! the storage is closed, as with a cache that nobody syncs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use jido_core::{AgentId, ClusterName, Epoch, Incarnation, Timestamp};
use jido_storage::conformance::{Report, Rule, Suite};
use jido_storage::{
    AppendOutcome, Capabilities, ClaimOutcome, ClaimRequest, Commit, Error, MemoryStorage,
    NodeRegistration, Registration, Renewal, Storage,
};
use parking_lot::Mutex;

use crate::verdict::{judge, without_backtraces};

/// Something that changes what is stored.
#[derive(Debug, Clone)]
enum Change {
    Register(NodeRegistration),
    Renew(ClusterName, Incarnation),
    Bury(ClusterName, Incarnation, Option<u64>),
    Claim(ClaimRequest),
    Append(Box<Commit>),
    Delete(AgentId, Epoch, Timestamp),
}

impl Change {
    async fn again(self, rows: &MemoryStorage) {
        match self {
            Self::Register(node) => {
                let _answer = rows.register_node(node).await.unwrap();
            }
            Self::Renew(cluster, life) => {
                let _beat = rows.renew_node(&cluster, life).await.unwrap();
            }
            Self::Bury(cluster, life, beat) => {
                let _dead = rows.declare_dead(&cluster, life, beat).await.unwrap();
            }
            Self::Claim(claim) => {
                let _outcome = rows.claim(claim).await.unwrap();
            }
            Self::Append(commit) => {
                let _outcome = rows.append(*commit).await;
            }
            Self::Delete(id, epoch, at) => {
                let _outcome = rows.delete(&id, epoch, at).await;
            }
        }
    }
}

type Disk = Arc<Mutex<Vec<Change>>>;

/// Memory, and a log of every change on a disk, from which it is made again.
#[derive(Debug)]
struct Logged {
    rows: MemoryStorage,
    disk: Disk,
    /// Changes that are written behind.
    cache: Mutex<Vec<Change>>,
    /// How many of them there may be.
    most: usize,
    /// Changes take turns, so that the log has them in their order.
    turn: tokio::sync::Mutex<()>,
}

impl Logged {
    async fn open(disk: Disk, most: usize) -> Self {
        let rows = MemoryStorage::new();
        let written = disk.lock().clone();
        for change in written {
            change.again(&rows).await;
        }
        Self {
            rows,
            disk,
            cache: Mutex::default(),
            most,
            turn: tokio::sync::Mutex::default(),
        }
    }

    fn log(&self, change: Change) {
        let mut cache = self.cache.lock();
        cache.push(change);
        let over = cache.len().saturating_sub(self.most);
        self.disk.lock().extend(cache.drain(..over));
    }
}

#[async_trait]
impl jido_storage::Layer for Logged {
    fn inner(&self) -> &dyn Storage {
        &self.rows
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durable: true,
            ..self.rows.capabilities()
        }
    }

    async fn register_node(&self, node: NodeRegistration) -> Result<Registration, Error> {
        let _turn = self.turn.lock().await;
        let answer = self.rows.register_node(node.clone()).await?;
        self.log(Change::Register(node));
        Ok(answer)
    }

    async fn renew_node(&self, cluster: &ClusterName, life: Incarnation) -> Result<Renewal, Error> {
        let _turn = self.turn.lock().await;
        self.log(Change::Renew(cluster.clone(), life));
        self.rows.renew_node(cluster, life).await
    }

    async fn declare_dead(
        &self,
        cluster: &ClusterName,
        life: Incarnation,
        observed: Option<u64>,
    ) -> Result<bool, Error> {
        let _turn = self.turn.lock().await;
        self.log(Change::Bury(cluster.clone(), life, observed));
        self.rows.declare_dead(cluster, life, observed).await
    }

    async fn claim(&self, claim: ClaimRequest) -> Result<ClaimOutcome, Error> {
        let _turn = self.turn.lock().await;
        self.log(Change::Claim(claim.clone()));
        self.rows.claim(claim).await
    }

    async fn append_many(&self, commits: Vec<Commit>) -> Vec<AppendOutcome> {
        let _turn = self.turn.lock().await;
        let mut outcomes = Vec::new();
        for commit in commits {
            self.log(Change::Append(Box::new(commit.clone())));
            outcomes.push(self.rows.append(commit).await);
        }
        outcomes
    }

    async fn delete(&self, id: &AgentId, epoch: Epoch, at: Timestamp) -> AppendOutcome {
        let _turn = self.turn.lock().await;
        self.log(Change::Delete(id.clone(), epoch, at));
        self.rows.delete(id, epoch, at).await
    }
}

async fn report(most: usize) -> Report {
    let disks: Mutex<BTreeMap<String, Disk>> = Mutex::default();
    let places = AtomicUsize::new(0);
    let place = || places.fetch_add(1, Ordering::Relaxed).to_string();
    let open = |place: String| {
        let disk = disks.lock().entry(place).or_default().clone();
        async move { Arc::new(Logged::open(disk, most).await) as Arc<dyn Storage> }
    };
    Suite::at(place, open).report().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    let sound = report(0).await;
    without_backtraces();
    judge(&sound, &report(1).await, &[Rule::Durable]);
}
