//! What is open to one peer is bounded, also for a node that passes on.

use std::time::Duration;

use futures_util::future::join_all;
use jido_cluster::{
    Agent, AgentError, Context, ErrorKind, Executed, Handle, InstanceManager, Node, Takeover,
};
use serde::{Deserialize, Serialize};

use super::cut;
use crate::harness::{Cluster, met};

/// How long a message is, in bytes, and how many are sent from each side: those of one side
/// fit what may be open to a peer, 64 MiB, and those of both do not.
const LEN: usize = 4 << 20;
const EACH: usize = 12;

/// It counts what it takes, and takes its time.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Sink {
    taken: usize,
}

impl Agent for Sink {
    const KIND: &'static str = "sink";
    type Message = String;
    type Reply = usize;

    async fn handle(&mut self, message: String, _: &mut Context<'_>) -> Result<usize, AgentError> {
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.taken += usize::from(!message.is_empty());
        Ok(self.taken)
    }
}

async fn start(cluster: &Cluster, name: &str) -> (Node, Handle<Sink>) {
    let node = cluster.node(name).start().await.unwrap();
    let manager = InstanceManager::<Sink>::builder("sinks").shared_storage(cluster.storage.clone());
    let handle = manager.takeover(Takeover::AfterLease).start(&node).await;
    (node, handle.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_has_too_much_open_says_so_and_nothing_is_lost() {
    let cluster = Cluster::new();
    let mut nodes = Vec::new();
    for name in ["n1", "n2", "n3"] {
        nodes.push(start(&cluster, name).await);
    }
    for (node, _) in &nodes {
        met(node, 3).await;
    }
    let mut key = String::new();
    for i in 0.. {
        key = format!("key-{i}");
        if nodes[0].1.owner(&key).await.unwrap().placed.as_ref() == Some(&nodes[1].0.me().name) {
            break;
        }
    }
    nodes[0].1.call(&key, String::new()).await.unwrap();
    cut(&cluster, &nodes, 0, 1).await;
    // So that the first node knows the way.
    nodes[0].1.call(&key, String::new()).await.unwrap();
    let message = "x".repeat(LEN);
    let send = |from: usize| {
        let calls = (0..EACH).map(|_| nodes[from].1.call(&key, message.clone()));
        join_all(calls.collect::<Vec<_>>())
    };
    let (by_the_relay, by_way_of_it) = tokio::join!(send(2), send(0));
    let mut taken = 0;
    for reply in by_the_relay {
        reply.unwrap();
        taken += 1;
    }
    let mut refused = 0;
    for reply in by_way_of_it {
        match reply {
            Ok(_) => taken += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
                assert_eq!(error.executed(), Executed::No, "{error}");
                refused += 1;
            }
        }
    }
    assert!((1..EACH).contains(&refused), "{refused} of {EACH}");
    // All of it is given back.
    for reply in send(0).await {
        taken += 1;
        assert_eq!(reply.unwrap(), taken);
    }
}
