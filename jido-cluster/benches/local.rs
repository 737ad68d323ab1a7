//! Calls within one process, against ractor's own.
//!
//! `cargo bench -p jido-cluster --bench local` measures, in one run:
//!
//! - **call**: 64 callers over 10,000 agents by key, against `ractor`'s own `call` on
//!   references that are held; the floor once with a time-out as our calls have one,
//!   once without;
//! - **spawn**: an activation's way from the first message of a new key to its answer
//!   (claim and load in memory included), against a bare `ractor` spawn and call.
//!
//! criterion times each by itself. Before, both sides take turns in short rounds,
//! and the median of the rounds' ratios is printed: the machine is shared, so that
//! absolute times mean little.
#![allow(missing_docs, reason = "a benchmark")]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program that measures"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use jido_cluster::loopback::LoopbackNetwork;
use jido_cluster::storage::MemoryStorage;
use jido_cluster::{Agent, AgentError, AgentKey, Context, Handle, InstanceManager, Node};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use serde::{Deserialize, Serialize};

/// As in the programs: an allocator that keeps things of one size together, so that
/// what a look-up touches isn't strewn among the actors.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const AGENTS: usize = 10_000;
const CALLERS: usize = 64;
const CALLS_EACH: usize = 1_000;
const SPAWNS: usize = 2_000;
const ROUNDS: usize = 41;

#[derive(Default, Serialize, Deserialize)]
struct Echo {
    count: u64,
}

impl Agent for Echo {
    const KIND: &'static str = "echo";
    type Message = u64;
    type Reply = u64;

    async fn handle(&mut self, message: u64, _: &mut Context<'_>) -> Result<u64, AgentError> {
        Ok(message + self.count)
    }
}

struct Bare;

struct BareMessage(u64, RpcReplyPort<u64>);

impl ractor::Message for BareMessage {}

impl Actor for Bare {
    type Msg = BareMessage;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Self::Msg>, (): ()) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        BareMessage(message, reply): BareMessage,
        state: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        let _ = reply.send(message + *state);
        Ok(())
    }
}

/// What each caller calls, in order: far apart, and different for each caller. It
/// lies in one row, since a caller has what it calls at hand: a key comes with the
/// request that it serves.
fn rows<T: Clone>(all: &[T]) -> Vec<Arc<Vec<T>>> {
    let place = |caller: usize, call: usize| (caller * 157 + call * 7_919) % all.len();
    let row = |caller| {
        (0..CALLS_EACH)
            .map(|call| all[place(caller, call)].clone())
            .collect()
    };
    (0..CALLERS).map(|caller| Arc::new(row(caller))).collect()
}

/// How long all callers take for their calls.
async fn time<F, T>(call: impl Fn(usize) -> F) -> Duration
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let start = Instant::now();
    let tasks: Vec<_> = (0..CALLERS)
        .map(|caller| tokio::spawn(call(caller)))
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    start.elapsed()
}

async fn ours(handle: &Handle<Echo>, keys: &[Arc<Vec<AgentKey>>]) -> Duration {
    time(|caller| {
        let (handle, keys) = (handle.clone(), keys[caller].clone());
        async move {
            for key in keys.iter() {
                handle.call(key, 1).await.unwrap();
            }
        }
    })
    .await
}

async fn floor(actors: &[Arc<Vec<ActorRef<BareMessage>>>], timeout: Option<Duration>) -> Duration {
    time(|caller| {
        let actors = actors[caller].clone();
        async move {
            for actor in actors.iter() {
                let reply = actor
                    .call(|port| BareMessage(1, port), timeout)
                    .await
                    .unwrap();
                assert!(reply.is_success());
            }
        }
    })
    .await
}

async fn spawn_ours(handle: &Handle<Echo>, fresh: &mut usize) -> Duration {
    let keys: Vec<String> = (0..SPAWNS)
        .map(|i| format!("fresh-{}", *fresh + i))
        .collect();
    *fresh += SPAWNS;
    let start = Instant::now();
    for key in &keys {
        handle.call(key, 1).await.unwrap();
    }
    let took = start.elapsed();
    // They don't pile up from round to round.
    for key in &keys {
        handle.stop(key).await.unwrap();
    }
    took
}

async fn spawn_floor() -> Duration {
    let mut actors = Vec::new();
    let start = Instant::now();
    for _ in 0..SPAWNS {
        let (actor, _) = Actor::spawn(None, Bare, ()).await.unwrap();
        actor.call(|port| BareMessage(1, port), None).await.unwrap();
        actors.push(actor);
    }
    let took = start.elapsed();
    for actor in actors {
        actor.stop_and_wait(None, None).await.unwrap();
    }
    took
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Prints how our rate compares with the floor's, from rounds that took turns.
fn report(what: &str, each: usize, rounds: &[(Duration, Duration)]) {
    let rate = |times: Vec<f64>| each as f64 / median(times);
    let ours = rate(rounds.iter().map(|(ours, _)| ours.as_secs_f64()).collect());
    let floor = rate(
        rounds
            .iter()
            .map(|(_, floor)| floor.as_secs_f64())
            .collect(),
    );
    let ratios = rounds
        .iter()
        .map(|(ours, floor)| floor.as_secs_f64() / ours.as_secs_f64());
    let mut sorted: Vec<f64> = ratios.collect();
    sorted.sort_by(f64::total_cmp);
    let quarter = sorted.len() / 4;
    println!(
        "{what:<26} ours {ours:>9.0}/s  floor {floor:>9.0}/s  ratio {:.2} (middle half {:.2} to {:.2})",
        sorted[sorted.len() / 2],
        sorted[quarter],
        sorted[sorted.len() - 1 - quarter],
    );
}

struct Bench {
    runtime: tokio::runtime::Runtime,
    node: Node,
    handle: Handle<Echo>,
    keys: Vec<Arc<Vec<AgentKey>>>,
    actors: Vec<Arc<Vec<ActorRef<BareMessage>>>>,
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let keys: Vec<AgentKey> = (0..AGENTS)
            .map(|i| AgentKey::new(format!("agent-{i}")).unwrap())
            .collect();
        let (node, handle, actors) = runtime.block_on(async {
            let network = LoopbackNetwork::new();
            let node = Node::builder("n1")
                .transport(network.transports())
                .start()
                .await
                .unwrap();
            let handle = InstanceManager::<Echo>::builder("echo")
                .storage(MemoryStorage::new())
                .start(&node)
                .await
                .unwrap();
            // In turns, so that neither lies better in memory than the other.
            let mut actors = Vec::new();
            for key in keys.iter() {
                handle.call(key, 1).await.unwrap();
                actors.push(Actor::spawn(None, Bare, ()).await.unwrap().0);
            }
            (node, handle, rows(&actors))
        });
        Self {
            runtime,
            node,
            handle,
            keys: rows(&keys),
            actors,
        }
    }

    fn ratios(&self) {
        let timeout = Some(Duration::from_secs(5));
        self.runtime.block_on(async {
            let (mut timed, mut untimed, mut spawns) = (Vec::new(), Vec::new(), Vec::new());
            let mut fresh = 0;
            for _ in 0..ROUNDS {
                let mine = ours(&self.handle, &self.keys).await;
                timed.push((mine, floor(&self.actors, timeout).await));
                let mine = ours(&self.handle, &self.keys).await;
                untimed.push((mine, floor(&self.actors, None).await));
                spawns.push((
                    spawn_ours(&self.handle, &mut fresh).await,
                    spawn_floor().await,
                ));
            }
            report("call, floor with time-out", CALLERS * CALLS_EACH, &timed);
            report("call, floor without", CALLERS * CALLS_EACH, &untimed);
            report("spawn and first call", SPAWNS, &spawns);
        });
    }
}

fn local(criterion: &mut Criterion) {
    let bench = Bench::new();
    bench.ratios();
    let mut calls = criterion.benchmark_group("64,000 calls");
    calls.sample_size(10);
    calls.bench_function("by key", |b| {
        b.to_async(&bench.runtime)
            .iter(|| ours(&bench.handle, &bench.keys));
    });
    calls.bench_function("ractor's own, with a time-out", |b| {
        let timeout = Some(Duration::from_secs(5));
        b.to_async(&bench.runtime)
            .iter(|| floor(&bench.actors, timeout));
    });
    calls.bench_function("ractor's own", |b| {
        b.to_async(&bench.runtime)
            .iter(|| floor(&bench.actors, None));
    });
    calls.finish();
    bench.runtime.block_on(bench.node.halt());
}

criterion_group!(benches, local);
criterion_main!(benches);
