use jido_core::{AgentError, Context, NodeName};
use jido_storage::MemoryStorage;
use serde::{Deserialize, Serialize};

use super::*;
use crate::handle::Handle;
use crate::loopback::LoopbackNetwork;
use crate::manager::{InstanceManager, ManagerBuilder};
use crate::node::Node;

const KEYS: usize = 40;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Door;

impl Agent for Door {
    const KIND: &'static str = "door";
    type Message = ();
    type Reply = ();

    async fn handle(&mut self, (): (), _: &mut Context<'_>) -> Result<(), AgentError> {
        Ok(())
    }
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    tokio::time::timeout(Duration::from_secs(600), async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect(what);
}

/// How many agents others keep awake at a node whose own callers keep none.
fn theirs(handle: &Handle<Door>) -> usize {
    let attachments = &handle.router().attachments;
    assert!(attachments.held.lock().is_empty());
    attachments.count.load(Ordering::Acquire)
}

/// Nothing ever makes such a node look at all of its agents.
#[tokio::test(start_paused = true)]
async fn what_is_held_of_agents_that_have_moved_is_forgotten_whatever_else_the_manager_does() {
    let never = |manager: ManagerBuilder<Door>| manager.idle_timeout(None);
    let roomy = |manager: ManagerBuilder<Door>| manager.idle_timeout(None).capacity(1_000);
    for set in [never, roomy] {
        let (network, storage) = (LoopbackNetwork::new(), Arc::new(MemoryStorage::shared()));
        let mut nodes: Vec<(Node, Handle<Door>)> = Vec::new();
        for name in ["n1", "n2", "n3"] {
            let node = Node::builder(name).transport(network.transports());
            let node = node.start().await.unwrap();
            let manager = InstanceManager::builder("doors").shared_storage(storage.clone());
            let manager = manager.rebalance_interval(None).max_migrations(1_000);
            let handle = set(manager).start(&node).await.unwrap();
            nodes.push((node, handle));
            let all_met = |count: usize| {
                let mut members = nodes.iter().map(|(node, _)| node.members());
                members.all(|m| m.len() == count && m.iter().all(|m| !m.managers.is_empty()))
            };
            eventually("all meet", || all_met(nodes.len())).await;
            if nodes.len() == 2 {
                for i in 0..KEYS {
                    nodes[1].1.call(format!("door-{i}"), ()).await.unwrap();
                }
            }
        }
        let mut guards = Vec::new();
        for i in 0..KEYS {
            guards.push(nodes[0].1.attach(format!("door-{i}")).await.unwrap());
        }
        let before = theirs(&nodes[1].1);
        nodes[0].1.rebalance(Duration::from_secs(60)).await.unwrap();
        let n2 = NodeName::new("n2").unwrap();
        let stats = nodes[0].1.stats().await.unwrap();
        let left = usize::try_from(stats.by_node[&n2]).unwrap();
        assert!((1..before).contains(&left), "{left} of {before}");

        eventually("it is forgotten", || theirs(&nodes[1].1) == left).await;
        // What is here is renewed, and stays.
        for _ in 0..10 {
            tokio::time::sleep(RENEWED.1).await;
            assert_eq!(theirs(&nodes[1].1), left);
        }
        drop(guards);
        eventually("all are let go", || theirs(&nodes[1].1) == 0).await;
    }
}
