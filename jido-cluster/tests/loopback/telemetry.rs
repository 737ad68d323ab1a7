//! What a node tells of itself, and how a call is followed.

#[cfg(feature = "lmdb")]
mod batches;
mod lapses;
mod metrics;
#[cfg(feature = "opentelemetry")]
mod opentelemetry;
mod read;
mod spans;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jido_cluster::storage::Storage;
use jido_cluster::{
    Agent, AgentError, Context, Durability, Handle, InstanceManager, ManagerBuilder, Node,
    Schedule, Takeover,
};
use serde::{Deserialize, Serialize};

use crate::harness::{Cluster, TokioClock, met};

/// No key of these tests is without it, and nothing else has it.
const SECRET: &str = "jane.doe@example.org";

/// An agent that can be made to do all that is told of.
#[derive(Default, Serialize, Deserialize)]
struct Told {
    count: i64,
    #[serde(skip)]
    peers: Peers,
}

/// What the agents of a node call each other by.
type Peers = Arc<OnceLock<Handle<Told>>>;

#[derive(Serialize, Deserialize)]
enum Message {
    Add,
    Fail,
    Panic,
    /// Takes so many milliseconds.
    Slow(u64),
    /// Adds one in so many milliseconds.
    Remind(u64),
    /// Fails in so many milliseconds.
    RemindToFail(u64),
    /// Adds one to the agent of another key too.
    Other(String),
    /// Activates the agent of another key, stops it and deletes it.
    Errands(String),
    /// Answers with the last digits of the trace.
    Trace,
}

impl Agent for Told {
    const KIND: &'static str = "told";
    type Message = Message;
    type Reply = i64;

    async fn handle(&mut self, message: Message, ctx: &mut Context<'_>) -> Result<i64, AgentError> {
        let ms = Duration::from_millis;
        match message {
            Message::Add => self.count += 1,
            Message::Fail => return Err(AgentError::new("as asked")),
            Message::Panic => panic!("as asked"),
            Message::Slow(time) => tokio::time::sleep(ms(time)).await,
            Message::Remind(time) => {
                ctx.remind::<Self>("add", Schedule::after(ms(time)), &Message::Add)?;
            }
            Message::RemindToFail(time) => {
                ctx.remind::<Self>("fail", Schedule::after(ms(time)), &Message::Fail)?;
            }
            Message::Other(key) => {
                let peers = self.peers.get().expect("it was set at the start");
                let added = Box::pin(peers.call(&key, Message::Add)).await;
                self.count += added.map_err(|error| AgentError::new(error.to_string()))?;
            }
            Message::Errands(key) => {
                let peers = self.peers.get().expect("it was set at the start");
                let done = async {
                    peers.get(&key).await?;
                    peers.stop(&key).await?;
                    peers.delete(&key).await
                };
                let done = Box::pin(done).await;
                done.map_err(|error| AgentError::new(error.to_string()))?;
            }
            Message::Trace => {
                return Ok(ctx.trace().map_or(0, |trace| trace.trace_id() as i64));
            }
        }
        Ok(self.count)
    }
}

/// A manager of them. Agents are woken and moved when the test wants it.
fn manager(storage: &Arc<dyn Storage>, peers: &Peers) -> ManagerBuilder<Told> {
    let peers = peers.clone();
    InstanceManager::<Told>::builder("told")
        .shared_storage(storage.clone())
        .durability(Durability::Command)
        .takeover(Takeover::AfterLease)
        .rebalance_interval(None)
        .prepare(move |agent, _| agent.peers = peers.clone())
}

async fn start(cluster: &Cluster, name: &str) -> (Node, Handle<Told>) {
    let node = cluster.node(name).environment(TokioClock::new());
    let node = node.start().await.unwrap();
    let peers = Peers::default();
    let handle = manager(&cluster.storage, &peers)
        .start(&node)
        .await
        .unwrap();
    let _ = peers.set(handle.clone());
    (node, handle)
}

/// Nodes that have all met.
async fn start_many(cluster: &Cluster, count: usize) -> Vec<(Node, Handle<Told>)> {
    let mut nodes = Vec::new();
    for number in 1..=count {
        nodes.push(start(cluster, &format!("n{number}")).await);
    }
    for (node, _) in &nodes {
        met(node, count).await;
    }
    nodes
}

/// Keys that are placed on a node.
async fn keys_on(handle: &Handle<Told>, node: &Node, count: usize) -> Vec<String> {
    let name = node.me().name;
    let mut keys = Vec::new();
    for number in 0.. {
        let key = format!("{SECRET}-{number}");
        if handle.owner(&key).await.unwrap().placed.as_ref() == Some(&name) {
            keys.push(key);
        }
        if keys.len() == count {
            break;
        }
    }
    keys
}
