//! Ten thousand agents that are due at once, while a node dies.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use jido_cluster::Seq;
use tokio::sync::Notify;

use super::*;
use crate::faults::Faulty;
use crate::harness::agent_id;

const AGENTS: usize = 10_000;
/// The node is killed when so many were called.
const KILLED_AT: usize = 3_000;

#[derive(Debug, Default)]
struct Progress {
    calls: AtomicUsize,
    reached: Notify,
}

/// Counts what it was reminded of.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Tally {
    count: u64,
    #[serde(skip)]
    progress: Arc<Progress>,
}

#[derive(Debug, Serialize, Deserialize)]
enum TallyMessage {
    Set(u64),
    Ring,
    Count,
}

impl Agent for Tally {
    const KIND: &'static str = "tally";
    type Message = TallyMessage;
    type Reply = u64;

    async fn handle(
        &mut self,
        message: TallyMessage,
        ctx: &mut Context<'_>,
    ) -> Result<u64, AgentError> {
        match message {
            TallyMessage::Set(at) => {
                let at = Schedule::at(Timestamp(at));
                ctx.remind::<Self>("ring", at, &TallyMessage::Ring)?;
            }
            TallyMessage::Ring => {
                let occurrence = ctx.reminder().expect("a reminder brought it").clone();
                ctx.append("rung", &occurrence)?;
                self.count += 1;
                if self.progress.calls.fetch_add(1, Ordering::Relaxed) + 1 == KILLED_AT {
                    self.progress.reached.notify_one();
                }
            }
            TallyMessage::Count => {}
        }
        Ok(self.count)
    }
}

fn key(n: usize) -> String {
    format!("agent-{n}")
}

/// Each occurrence is applied once, whoever was called for it: those of agents that ran, and of
/// such as were dormant, on the node that died and on others. Commits take a while, so
/// that many are in flight when it dies.
#[tokio::test(start_paused = true)]
async fn each_of_ten_thousand_is_applied_once_while_a_node_is_killed() {
    let world = World::on(Faulty::new());
    let progress = Arc::new(Progress::default());
    let mut nodes = Vec::new();
    for n in 1..=3 {
        let node = world.cluster.node(&format!("n{n}"));
        let node = node.environment(world.clock.clone()).start().await.unwrap();
        let progress = progress.clone();
        let handle = InstanceManager::<Tally>::builder("sleepers")
            .shared_storage(world.cluster.storage.clone())
            .durability(Durability::Command)
            .takeover(Takeover::OnDisconnect)
            .idle_timeout(seconds(5))
            .prepare(move |tally, _| tally.progress = progress.clone())
            .start(&node)
            .await
            .unwrap();
        nodes.push((node, handle));
    }
    for (node, _) in &nodes {
        crate::harness::met(node, 3).await;
    }
    let handle = &nodes[0].1;
    let due = world.now() + 120_000;
    let all: Vec<usize> = (0..AGENTS).collect();
    for some in all.chunks(200) {
        let set = some
            .iter()
            .map(|n| handle.call(key(*n), TallyMessage::Set(due)));
        for answer in join_all(set).await {
            answer.unwrap();
        }
    }
    assert!(world.now() < due - 60_000, "it took too long to set them");
    // A quarter of them runs when they are due, the others are dormant.
    tokio::time::sleep(Duration::from_millis(due - 2_000 - world.now())).await;
    assert_eq!(handle.stats().await.unwrap().total, 0);
    for n in (0..AGENTS).step_by(4) {
        handle.cast(key(n), TallyMessage::Count).await.unwrap();
    }
    progress.reached.notified().await;
    let lost = &nodes[1].0;
    world.cluster.network.disconnect(lost.incarnation());
    lost.halt().await;
    let called = progress.calls.load(Ordering::Relaxed);
    assert!(
        called < AGENTS,
        "all had been called before the node was lost"
    );

    tokio::time::timeout(seconds(3_600), async {
        while world.is_due(due).await {
            tokio::time::sleep(seconds(1)).await;
        }
    })
    .await
    .expect("some are due for ever");
    // What was in flight on the lost node has ended by now, too.
    tokio::time::sleep(seconds(60)).await;
    let storage = &world.cluster.storage;
    for n in 0..AGENTS {
        let id = agent_id("sleepers", &key(n));
        let thread = storage.read_thread(&id, Seq(0), 10).await.unwrap();
        assert_eq!(thread.len(), 1, "{id}");
        let occurrence: Occurrence = jido_cluster::decode_payload(&thread[0].payload).unwrap();
        assert_eq!(occurrence.due, Timestamp(due), "{id}");
        let state = storage
            .load(&id)
            .await
            .unwrap()
            .unwrap()
            .checkpoint
            .unwrap();
        let tally: Tally = jido_core::decode_state(&state.state).unwrap();
        assert_eq!(tally.count, 1, "{id}");
    }
    assert!(progress.calls.load(Ordering::Relaxed) >= AGENTS);
}
