//! Ours: calls by key to agents on another node.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jido_cluster::storage::MemoryStorage;
use jido_cluster::{Agent, AgentError, Context, Handle, InstanceManager, Node};
use serde::{Deserialize, Serialize};

use crate::load::Caller;
use crate::{AGENTS, CALL_TIMEOUT};

pub(crate) const NAME: &str = "ours";
const SERVER: &str = "server";

#[derive(Default, Serialize, Deserialize)]
struct Echo {}

impl Agent for Echo {
    const KIND: &'static str = "echo";
    type Message = Bytes;
    type Reply = Bytes;

    async fn handle(&mut self, message: Bytes, _: &mut Context<'_>) -> Result<Bytes, AgentError> {
        Ok(message)
    }
}

async fn start(name: &str, seeds: Vec<String>) -> (Node, Handle<Echo>) {
    let node = Node::builder(name)
        .cluster("bench")
        .listen("127.0.0.1:0".parse().unwrap())
        .cookie("bench")
        .seeds(seeds)
        .start()
        .await
        .unwrap();
    let handle = InstanceManager::builder("echo")
        .storage(MemoryStorage::new())
        .start(&node)
        .await
        .unwrap();
    (node, handle)
}

pub(crate) async fn serve() -> (Node, String) {
    let (node, _) = start(SERVER, Vec::new()).await;
    let address = node.me().address;
    (node, address)
}

#[derive(Clone)]
pub(crate) struct Keys {
    _node: Node,
    handle: Handle<Echo>,
    /// Those that are placed on the other node.
    keys: Arc<[String]>,
}

pub(crate) async fn connect(address: &str) -> Keys {
    let (node, handle) = start("caller", vec![address.to_owned()]).await;
    while node.members().len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut keys = Vec::with_capacity(AGENTS);
    for number in 0.. {
        let key = format!("agent-{number}");
        let placed = handle.owner(&key).await.unwrap().placed.unwrap();
        if placed.as_str() == SERVER {
            keys.push(key);
        }
        if keys.len() == AGENTS {
            break;
        }
    }
    Keys {
        _node: node,
        handle,
        keys: keys.into(),
    }
}

impl Caller for Keys {
    async fn call(&self, agent: usize, message: &Bytes) {
        let call = self
            .handle
            .call_timeout(&self.keys[agent], message.clone(), CALL_TIMEOUT);
        let reply = call.await.unwrap();
        assert_eq!(reply.len(), message.len());
    }
}
