//! A cluster in one process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jido_cluster::environment::Environment;
use jido_cluster::loopback::LoopbackNetwork;
use jido_cluster::storage::{MemoryStorage, Storage};
use jido_cluster::{
    Agent, AgentError, AgentId, AgentKey, ClusterName, Context, Durability, Handle,
    InstanceManager, ManagerBuilder, ManagerName, Node, NodeBuilder, Takeover, Timestamp,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counter {
    pub(crate) count: i64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    Add(i64),
    Get,
    /// Changes the count, then fails.
    Fail,
    /// Changes the count, then panics.
    Panic,
    /// Takes this many milliseconds, then adds one.
    Slow(u64),
    /// Journals an entry.
    Note(String),
}

impl Agent for Counter {
    const KIND: &'static str = "counter";
    type Message = Message;
    type Reply = i64;

    async fn handle(&mut self, message: Message, ctx: &mut Context<'_>) -> Result<i64, AgentError> {
        match message {
            Message::Add(by) => self.count += by,
            Message::Get => {}
            Message::Fail => {
                self.count += 1_000;
                return Err(AgentError::new("failed as asked"));
            }
            Message::Panic => {
                self.count += 1_000;
                panic!("panicked as asked");
            }
            Message::Slow(ms) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                self.count += 1;
            }
            Message::Note(note) => ctx.append("note", &note)?,
        }
        Ok(self.count)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) network: LoopbackNetwork,
    pub(crate) storage: Arc<dyn Storage>,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self::on(Arc::new(MemoryStorage::shared()))
    }

    pub(crate) fn on(storage: Arc<dyn Storage>) -> Self {
        Self {
            network: LoopbackNetwork::new(),
            storage,
        }
    }

    pub(crate) fn node(&self, name: &str) -> NodeBuilder {
        Node::builder(name)
            .cluster("test")
            .transport(self.network.transports())
    }

    pub(crate) fn manager(&self) -> ManagerBuilder<Counter> {
        InstanceManager::<Counter>::builder("counters")
            .shared_storage(self.storage.clone())
            .durability(Durability::Command)
            .takeover(Takeover::OnDisconnect)
    }

    /// A node with a manager on it, once it has met all others.
    pub(crate) async fn start(&self, name: &str) -> (Node, Handle<Counter>) {
        let node = self.node(name).start().await.unwrap();
        let handle = self.manager().start(&node).await.unwrap();
        (node, handle)
    }

    /// Nodes `n1` and `n2` that have met, whose leases go by tokio's clock.
    pub(crate) async fn start_pair(&self, ttl: Duration) -> [(Node, Handle<Counter>); 2] {
        let start = async |name| {
            let node = self.node(name).environment(TokioClock::new());
            let node = node.lease_ttl(ttl).start().await.unwrap();
            let handle = self.manager().start(&node).await.unwrap();
            (node, handle)
        };
        let pair = [start("n1").await, start("n2").await];
        for (node, _) in &pair {
            met(node, 2).await;
        }
        pair
    }

    /// Nodes `n1`, `n2`, … that have all met.
    pub(crate) async fn start_many(&self, count: usize) -> Vec<(Node, Handle<Counter>)> {
        let mut nodes = Vec::new();
        for i in 1..=count {
            nodes.push(self.start(&format!("n{i}")).await);
        }
        for (node, _) in &nodes {
            met(node, count).await;
        }
        nodes
    }
}

/// Clocks that go as tokio's does, which a test may pause.
#[derive(Debug)]
pub(crate) struct TokioClock(tokio::time::Instant, AtomicU64);

impl TokioClock {
    pub(crate) fn new() -> Arc<Self> {
        // No two clocks, and so no two nodes, draw the same.
        static FIRST: AtomicU64 = AtomicU64::new(1);
        let first = FIRST.fetch_add(1 << 32, Ordering::Relaxed);
        Arc::new(Self(tokio::time::Instant::now(), AtomicU64::new(first)))
    }
}

impl Environment for TokioClock {
    fn wall(&self) -> Timestamp {
        Timestamp(self.0.elapsed().as_millis() as u64)
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn random(&self) -> u64 {
        // Different every time is all that a test needs.
        let count = self.1.fetch_add(1, Ordering::Relaxed);
        count.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// An agent of a manager in the tests' cluster.
pub(crate) fn agent_id(manager: &str, key: &str) -> AgentId {
    AgentId::new(
        ClusterName::new("test").unwrap(),
        ManagerName::new(manager).unwrap(),
        AgentKey::new(key).unwrap(),
    )
}

/// Waits until a node sees this many members, each with its manager.
pub(crate) async fn met(node: &Node, count: usize) {
    eventually(|| {
        let members = node.members();
        members.len() == count && members.iter().all(|member| !member.managers.is_empty())
    })
    .await;
}

pub(crate) async fn eventually(mut holds: impl FnMut() -> bool) {
    tokio::time::timeout(Duration::from_secs(600), async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("it never came to hold");
}

/// A key that is placed on the node of this name.
pub(crate) async fn key_on<A: Agent>(handle: &Handle<A>, node: &Node) -> String {
    let name = node.me().name;
    for i in 0..10_000 {
        let key = format!("key-{i}");
        if handle.owner(&key).await.unwrap().placed.as_ref() == Some(&name) {
            return key;
        }
    }
    panic!("no key is placed on {name}");
}
