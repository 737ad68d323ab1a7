//! Durable appends of 200 bytes by 1, 16 and 1,000 agents at once, against LMDB
//! driven bare with batches of the same sizes, in the same run; and the same with
//! a group committer before the adapter, which has a queue of its own.
//!
//! `cargo bench -p jido-storage --features lmdb`
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "this is a benchmark: it reads clocks, prints, and ends when something goes wrong"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use heed::types::Bytes as Raw;
use heed::{CommitOrAbort, Database, Env, EnvOpenOptions};
use jido_core::{
    AgentId, AgentKey, ClusterName, Epoch, Incarnation, ManagerName, NewEntry, NodeName, Revision,
    Timestamp,
};
use jido_storage::{
    AppendOutcome, ClaimOutcome, ClaimRequest, Commit, GroupCommitter, GroupOptions, LmdbStorage,
    NodeRegistration, Storage,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const BYTES: usize = 200;
const AT_ONCE: [usize; 3] = [1, 16, 1_000];
/// Rounds of a turn, and turns of each side, for the ratio.
const ROUNDS: u64 = 20;
const TURNS: usize = 21;
const MAP: usize = 16 << 30;

/// LMDB alone: a transaction for each round, an entry of 200 bytes for each agent.
struct Bare {
    env: Env,
    entries: Database<'static, Raw, Raw>,
    agents: u64,
    seq: u64,
    _folder: TempDir,
}

impl Bare {
    fn new(agents: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = EnvOpenOptions::new();
        options.map_size(MAP).max_dbs(1);
        #[allow(
            unsafe_code,
            reason = "heed asks that nothing else changes the files: the folder is new"
        )]
        let env: Env = unsafe { options.open(folder.path()) }.unwrap();
        let created = env.create_databases_and_commit(env.write_txn().unwrap(), |opener, txn| {
            opener
                .create_database(txn, Some("entries"))
                .map(CommitOrAbort::<_, ()>::Commit)
        });
        let Ok(CommitOrAbort::Commit(entries)) = created else {
            panic!("no table")
        };
        Self {
            env,
            entries,
            agents: agents as u64,
            seq: 0,
            _folder: folder,
        }
    }

    fn rounds(&mut self, rounds: u64) -> Duration {
        let value = [7u8; BYTES];
        let start = Instant::now();
        for _ in 0..rounds {
            let mut txn = self.env.write_txn().unwrap();
            for agent in 0..self.agents {
                let key = [agent.to_be_bytes(), self.seq.to_be_bytes()].concat();
                self.entries.put(&mut txn, &key, &value).unwrap();
            }
            txn.commit().unwrap();
            self.seq += 1;
        }
        start.elapsed()
    }
}

/// The adapter: every agent a task that appends one entry after the other.
struct Adapter<'a> {
    storage: Arc<dyn Storage>,
    claimed: Vec<(AgentId, Epoch)>,
    revision: u64,
    runtime: &'a Runtime,
    _folder: TempDir,
}

impl<'a> Adapter<'a> {
    fn new(agents: usize, runtime: &'a Runtime, grouped: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = LmdbStorage::open(folder.path()).unwrap();
        let claimed = runtime.block_on(claims(&storage, agents));
        let mut storage: Arc<dyn Storage> = Arc::new(storage);
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
            _folder: folder,
        }
    }

    fn rounds(&mut self, rounds: u64) -> Duration {
        let payload = Bytes::from(vec![7u8; BYTES]);
        let revisions = self.revision..self.revision + rounds;
        self.revision += rounds;
        let start = Instant::now();
        let tasks: Vec<_> = self
            .claimed
            .iter()
            .map(|(id, epoch)| {
                let (storage, id, epoch) = (self.storage.clone(), id.clone(), *epoch);
                let (payload, revisions) = (payload.clone(), revisions.clone());
                self.runtime.spawn(async move {
                    for expected in revisions {
                        let at = Timestamp(expected);
                        let mut commit = Commit::new(id.clone(), epoch, Revision(expected), at);
                        commit
                            .entries
                            .push(NewEntry::new("e", at, payload.clone()).unwrap());
                        match storage.append(commit).await {
                            AppendOutcome::Committed(_) => {}
                            other => panic!("{other:?}"),
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            self.runtime.block_on(task).unwrap();
        }
        start.elapsed()
    }
}

/// Claims all agents.
async fn claims(storage: &LmdbStorage, agents: usize) -> Vec<(AgentId, Epoch)> {
    let cluster = ClusterName::new("bench").unwrap();
    let claimant = Incarnation(1);
    let node = NodeRegistration {
        cluster: cluster.clone(),
        name: NodeName::new("n1").unwrap(),
        incarnation: claimant,
        address: String::new(),
        metadata: BTreeMap::new(),
        at: Timestamp(0),
    };
    storage.register_node(node).await.unwrap();
    let manager = ManagerName::new("agents").unwrap();
    let mut claimed = Vec::new();
    for n in 0..agents {
        let key = AgentKey::new(format!("agent-{n}")).unwrap();
        let id = AgentId::new(cluster.clone(), manager.clone(), key);
        let claim = ClaimRequest {
            id: id.clone(),
            claimant,
            take_from: None,
            at: Timestamp(0),
        };
        let ClaimOutcome::Claimed(epoch) = storage.claim(claim).await.unwrap() else {
            panic!("not claimed")
        };
        claimed.push((id, epoch));
    }
    claimed
}

/// The middle of some times, a round each.
fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .measurement_time(Duration::from_secs(4))
        .configure_from_args();
    let runtime = Runtime::new().unwrap();
    let mut ratios = Vec::new();
    for agents in AT_ONCE {
        let mut bare = Bare::new(agents);
        let mut adapter = Adapter::new(agents, &runtime, false);
        let mut grouped = Adapter::new(agents, &runtime, true);
        let mut group = criterion.benchmark_group("append");
        group.throughput(Throughput::Elements(agents as u64));
        group.bench_function(BenchmarkId::new("bare", agents), |bencher| {
            bencher.iter_custom(|rounds| bare.rounds(rounds));
        });
        group.bench_function(BenchmarkId::new("adapter", agents), |bencher| {
            bencher.iter_custom(|rounds| adapter.rounds(rounds));
        });
        group.bench_function(BenchmarkId::new("grouped", agents), |bencher| {
            bencher.iter_custom(|rounds| grouped.rounds(rounds));
        });
        group.finish();
        // In turns, since a disk's speed changes from second to second.
        let mut times = [const { Vec::new() }; 3];
        for _ in 0..TURNS {
            times[0].push(bare.rounds(ROUNDS));
            times[1].push(adapter.rounds(ROUNDS));
            times[2].push(grouped.rounds(ROUNDS));
        }
        ratios.push((agents, times.map(middle)));
    }
    for (agents, [bare, adapter, grouped]) in ratios {
        let rate = |took: Duration| (ROUNDS * agents as u64) as f64 / took.as_secs_f64();
        let ratio = |took: Duration| bare.as_secs_f64() / took.as_secs_f64();
        println!(
            "{agents} at once: bare {:.0}/s; adapter {:.0}/s, ratio {:.2}; behind a group committer {:.0}/s, ratio {:.2}",
            rate(bare),
            rate(adapter),
            ratio(adapter),
            rate(grouped),
            ratio(grouped),
        );
    }
    criterion.final_summary();
}
