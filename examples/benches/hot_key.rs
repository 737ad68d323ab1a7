//! One key that everybody calls, durable, against one commit at a time on the same store.
//!
//! `cargo bench -p jido-examples --bench hot_key` measures, on LMDB and on a Postgres server of
//! its own, taking turns in one run:
//!
//! - **hot**: 64 callers that each add to one counter, one call after the other, each reply
//!   after the commit of what it tells;
//! - **alone**: one such caller, so that each call is a commit of its own;
//! - **bare**: the storage alone, which commits the same (state, request and reply), one commit after
//!   the other.
//!
//! What is said is the middle of the ratios of all turns: the goal is at least 15 times the rate of
//! bare commits.
#![allow(missing_docs, reason = "a benchmark")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program that measures"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use jido_cluster::loopback::LoopbackNetwork;
use jido_cluster::storage::{
    AppendOutcome, ClaimOutcome, ClaimRequest, Commit, LmdbStorage, NodeRegistration,
    PostgresOptions, PostgresStorage, RequestRecord, Storage,
};
use jido_cluster::{
    AgentId, AgentKey, Checkpoint, ClusterName, Durability, Epoch, Handle, Incarnation,
    InstanceManager, ManagerName, Node, NodeName, RequestId, Revision, Seq, Timestamp,
    encode_payload,
};
use jido_core::encode_state;
use jido_examples::counter_node::counter::{Counter, CounterMessage};
use jido_testkit::postgres::TemporaryPostgres;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CALLERS: usize = 64;
const CALLS_EACH: usize = 40;
/// How many commits one turn of the other sides takes.
const COMMITS: usize = 100;
const TURNS: usize = 15;
const GOAL: f64 = 15.0;
/// A disk that stalls makes a turn slow, and no call fail.
const PATIENCE: Duration = Duration::from_secs(60);

/// The storage alone, with an agent of its own.
struct Bare {
    storage: Arc<dyn Storage>,
    id: AgentId,
    epoch: Epoch,
    revision: Revision,
}

impl Bare {
    async fn new(storage: Arc<dyn Storage>) -> Self {
        let node = NodeRegistration {
            cluster: ClusterName::new("bare").unwrap(),
            name: NodeName::new("n1").unwrap(),
            incarnation: Incarnation(1),
            address: String::new(),
            metadata: BTreeMap::new(),
            at: Timestamp(0),
        };
        let id = AgentId::new(
            node.cluster.clone(),
            ManagerName::new("counters").unwrap(),
            AgentKey::new("hot").unwrap(),
        );
        storage.register_node(node).await.unwrap();
        let claim = ClaimRequest {
            id: id.clone(),
            claimant: Incarnation(1),
            take_from: None,
            at: Timestamp(0),
        };
        let ClaimOutcome::Claimed(epoch) = storage.claim(claim).await.unwrap() else {
            panic!("the agent was not claimed");
        };
        Self {
            storage,
            id,
            epoch,
            revision: Revision::ZERO,
        }
    }

    async fn turn(&mut self) -> Duration {
        let start = Instant::now();
        for _ in 0..COMMITS {
            let count = self.revision.0 as i64 + 1;
            let mut state = BytesMut::new();
            encode_state(&Counter { count }, &mut state).unwrap();
            let commit = Commit {
                checkpoint: Some(Checkpoint {
                    state: state.freeze(),
                    covers: Seq::ZERO,
                }),
                requests: vec![RequestRecord {
                    request: RequestId::new(1, self.revision.0),
                    issued_at: Timestamp(0),
                    reply: encode_payload(&count).unwrap(),
                }],
                ..Commit::new(self.id.clone(), self.epoch, self.revision, Timestamp(0))
            };
            match self.storage.append(commit).await {
                AppendOutcome::Committed(revision) => self.revision = revision,
                other => panic!("{other:?}"),
            }
        }
        start.elapsed()
    }
}

/// Callers of one key, at once.
async fn callers(handle: &Handle<Counter>, callers: usize, each: usize) -> Duration {
    let start = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let handle = handle.clone();
            tokio::spawn(async move {
                for _ in 0..each {
                    let add = CounterMessage::Add(1);
                    let count = handle.call_timeout("hot", add, PATIENCE).await.unwrap();
                    assert!(count.is_ok());
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    start.elapsed()
}

fn quarters(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}

/// So much in so much time, for each turn.
fn rates(much: usize, times: &[Duration]) -> Vec<f64> {
    let times = times.iter();
    times.map(|took| much as f64 / took.as_secs_f64()).collect()
}

async fn measure(what: &str, storage: Arc<dyn Storage>) {
    let node = Node::builder("n1")
        .transport(LoopbackNetwork::new().transports())
        .start()
        .await
        .unwrap();
    let handle = InstanceManager::<Counter>::builder("counters")
        .shared_storage(storage.clone())
        .durability(Durability::Command)
        .start(&node)
        .await
        .unwrap();
    let mut bare = Bare::new(storage).await;
    let (mut hot, mut alone, mut one_by_one) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..=TURNS {
        hot.push(callers(&handle, CALLERS, CALLS_EACH).await);
        alone.push(callers(&handle, 1, COMMITS).await);
        one_by_one.push(bare.turn().await);
    }
    let slowest = hot.iter().chain(&alone).chain(&one_by_one).max();
    // The first turn makes tables more than empty, and statements known.
    let hot = rates(CALLERS * CALLS_EACH, &hot[1..]);
    let alone = rates(COMMITS, &alone[1..]);
    let bare = rates(COMMITS, &one_by_one[1..]);
    let against = |others: &[f64]| {
        let pairs = hot.iter().zip(others);
        quarters(pairs.map(|(hot, other)| hot / other).collect())
    };
    let [low, ratio, high] = against(&bare);
    println!(
        "{what}: slowest turn {:.1?}; {CALLERS} callers of one key {:.0}/s, one caller {:.0}/s, bare commits one at a time \
         {:.0}/s\n    ratio to bare commits {ratio:.1} ({low:.1} to {high:.1}; goal: at least {GOAL}), to \
         one caller {:.1}",
        slowest.copied().unwrap_or_default(),
        quarters(hot.clone())[1],
        quarters(alone.clone())[1],
        quarters(bare.clone())[1],
        against(&alone)[1],
    );
    node.drain().await;
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let lmdb = LmdbStorage::open(folder.path()).unwrap();
        measure("lmdb", Arc::new(lmdb)).await;
        let server = TemporaryPostgres::builder().own().start().await.unwrap();
        let options = PostgresOptions::new(server.url()).unwrap();
        let postgres = PostgresStorage::connect(options).await.unwrap();
        measure("postgres", Arc::new(postgres)).await;
    });
}
