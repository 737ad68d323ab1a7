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
//! Rounds of both sides take turns, and what is printed is the ratio of the medians:
//! the machine is shared, so that absolute times mean little.
#![allow(missing_docs, reason = "a benchmark")]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program that measures"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use jido_cluster::loopback::LoopbackNetwork;
use jido_cluster::storage::MemoryStorage;
use jido_cluster::transport::Peer;
use jido_cluster::{Agent, AgentError, Context, Handle, InstanceManager, Node};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use serde::{Deserialize, Serialize};

const AGENTS: usize = 10_000;
const CALLERS: usize = 64;
const CALLS_EACH: usize = 4_000;
const SPAWNS: usize = 10_000;
const ROUNDS: usize = 9;

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

/// The order in which a caller goes through the agents: far apart, and different
/// for each caller.
fn step(caller: usize, call: usize) -> usize {
    (caller * 157 + call * 7_919) % AGENTS
}

async fn time<F, T>(call: impl Fn(usize) -> F) -> f64
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
    (CALLERS * CALLS_EACH) as f64 / start.elapsed().as_secs_f64()
}

async fn ours(handle: &Handle<Echo>, keys: &Arc<Vec<String>>) -> f64 {
    time(|caller| {
        let (handle, keys) = (handle.clone(), keys.clone());
        async move {
            for call in 0..CALLS_EACH {
                handle.call(&keys[step(caller, call)], 1).await.unwrap();
            }
        }
    })
    .await
}

async fn floor(actors: &Arc<Vec<ActorRef<BareMessage>>>, timeout: Option<Duration>) -> f64 {
    time(|caller| {
        let actors = actors.clone();
        async move {
            for call in 0..CALLS_EACH {
                let actor = &actors[step(caller, call)];
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

async fn spawn_ours(handle: &Handle<Echo>, round: usize) -> f64 {
    let start = Instant::now();
    for i in 0..SPAWNS {
        handle.call(format!("fresh-{round}-{i}"), 1).await.unwrap();
    }
    SPAWNS as f64 / start.elapsed().as_secs_f64()
}

async fn spawn_floor() -> f64 {
    let start = Instant::now();
    let mut actors = Vec::new();
    for _ in 0..SPAWNS {
        let (actor, _) = Actor::spawn(None, Bare, ()).await.unwrap();
        actor.call(|port| BareMessage(1, port), None).await.unwrap();
        actors.push(actor);
    }
    let rate = SPAWNS as f64 / start.elapsed().as_secs_f64();
    for actor in actors {
        actor.stop(None);
    }
    rate
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn report(what: &str, ours: &[f64], floor: &[f64]) {
    let (ours, floor) = (median(ours.to_vec()), median(floor.to_vec()));
    println!(
        "{what:<28} ours {ours:>10.0}/s  floor {floor:>10.0}/s  ratio {:.2}",
        ours / floor
    );
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let network = LoopbackNetwork::new();
    let node = Node::builder("n1")
        .transport(move |name, incarnation| {
            network.transport(Peer {
                name: name.clone(),
                incarnation,
                address: String::new(),
            })
        })
        .start()
        .await
        .unwrap();
    let handle = InstanceManager::<Echo>::builder("echo")
        .storage(MemoryStorage::new())
        .start(&node)
        .await
        .unwrap();
    let keys: Arc<Vec<String>> = Arc::new((0..AGENTS).map(|i| format!("agent-{i}")).collect());
    for key in keys.iter() {
        handle.call(key, 1).await.unwrap();
    }
    let mut actors = Vec::new();
    for _ in 0..AGENTS {
        actors.push(Actor::spawn(None, Bare, ()).await.unwrap().0);
    }
    let actors = Arc::new(actors);

    let (mut mine, mut timed, mut untimed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        mine.push(ours(&handle, &keys).await);
        timed.push(floor(&actors, Some(Duration::from_secs(5))).await);
        untimed.push(floor(&actors, None).await);
    }
    report("call, floor with time-out", &mine, &timed);
    report("call, floor without", &mine, &untimed);

    let (mut mine, mut bare) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        mine.push(spawn_ours(&handle, round).await);
        bare.push(spawn_floor().await);
    }
    report("spawn and first call", &mine, &bare);
    node.halt().await;
}
