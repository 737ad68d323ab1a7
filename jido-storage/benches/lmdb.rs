//! Durable appends of 200 bytes by 1, 16 and 1,000 agents at once, against LMDB
//! driven bare with batches of the same sizes, in the same run.
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

use std::cell::RefCell;
use std::collections::BTreeMap;
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
    AppendOutcome, ClaimOutcome, ClaimRequest, Commit, LmdbStorage, NodeRegistration, Storage,
};
use tokio::runtime::Runtime;

const BYTES: usize = 200;
const AT_ONCE: [usize; 3] = [1, 16, 1_000];
const MAP: usize = 16 << 30;

/// What was measured of one side: appends and the time that they took.
type Measured = RefCell<BTreeMap<(&'static str, usize), (u64, Duration)>>;

fn note(measured: &Measured, side: &'static str, agents: usize, appends: u64, took: Duration) {
    let mut measured = measured.borrow_mut();
    let sum = measured.entry((side, agents)).or_default();
    sum.0 += appends;
    sum.1 += took;
}

/// LMDB alone: a transaction for each batch, an entry of 200 bytes for each agent.
fn bare(criterion: &mut Criterion, measured: &Measured, agents: usize) {
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
    let entries: Database<'_, Raw, Raw> = entries;
    let value = [7u8; BYTES];
    let mut seq = 0u64;
    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::Elements(agents as u64));
    group.bench_function(BenchmarkId::new("bare", agents), |bencher| {
        bencher.iter_custom(|rounds| {
            let start = Instant::now();
            for _ in 0..rounds {
                let mut txn = env.write_txn().unwrap();
                for agent in 0..agents as u64 {
                    let key = [agent.to_be_bytes(), seq.to_be_bytes()].concat();
                    entries.put(&mut txn, &key, &value).unwrap();
                }
                txn.commit().unwrap();
                seq += 1;
            }
            let took = start.elapsed();
            note(measured, "bare", agents, rounds * agents as u64, took);
            took
        });
    });
    group.finish();
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

/// Every agent a task that appends one entry after the other.
fn adapter(criterion: &mut Criterion, measured: &Measured, runtime: &Runtime, agents: usize) {
    let folder = tempfile::tempdir().unwrap();
    let storage = LmdbStorage::open(folder.path()).unwrap();
    let claimed = runtime.block_on(claims(&storage, agents));
    let payload = Bytes::from(vec![7u8; BYTES]);
    let mut revision = 0;
    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::Elements(agents as u64));
    group.bench_function(BenchmarkId::new("adapter", agents), |bencher| {
        bencher.iter_custom(|rounds| {
            let start = Instant::now();
            let tasks: Vec<_> = claimed
                .iter()
                .map(|(id, epoch)| {
                    let (storage, id, epoch, payload) =
                        (storage.clone(), id.clone(), *epoch, payload.clone());
                    runtime.spawn(async move {
                        for expected in revision..revision + rounds {
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
                runtime.block_on(task).unwrap();
            }
            let took = start.elapsed();
            revision += rounds;
            note(measured, "adapter", agents, rounds * agents as u64, took);
            took
        });
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .measurement_time(Duration::from_secs(4))
        .configure_from_args();
    let runtime = Runtime::new().unwrap();
    let measured = Measured::default();
    for agents in AT_ONCE {
        bare(&mut criterion, &measured, agents);
        adapter(&mut criterion, &measured, &runtime, agents);
    }
    let measured = measured.into_inner();
    let rate = |side, agents| {
        let (appends, took) = measured.get(&(side, agents))?;
        Some(*appends as f64 / took.as_secs_f64())
    };
    for agents in AT_ONCE {
        if let (Some(adapter), Some(bare)) = (rate("adapter", agents), rate("bare", agents)) {
            println!(
                "{agents} at once: adapter {adapter:.0}/s, bare {bare:.0}/s, ratio {:.2}",
                adapter / bare
            );
        }
    }
    criterion.final_summary();
}
