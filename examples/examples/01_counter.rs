//! One node, one kind of agent: state that outlives sleep.
//!
//! `cargo run -p jido-examples --example 01_counter`
#![allow(clippy::print_stdout, reason = "a program for people")]

use jido_cluster::storage::LmdbStorage;
use jido_cluster::{Agent, AgentError, Context, InstanceManager, Node};
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
struct Counter {
    count: i64,
}

#[derive(Serialize, Deserialize)]
enum CounterMessage {
    Add(i64),
    Get,
}

impl Agent for Counter {
    const KIND: &'static str = "counter";
    type Message = CounterMessage;
    type Reply = i64;

    async fn handle(
        &mut self,
        message: CounterMessage,
        _: &mut Context<'_>,
    ) -> Result<i64, AgentError> {
        if let CounterMessage::Add(by) = message {
            self.count += by;
        }
        Ok(self.count)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let node = Node::builder("n1")
        .listen(([127, 0, 0, 1], 0).into())
        .cookie("a secret of sixteen bytes or more")
        .start()
        .await?;
    let counters = InstanceManager::<Counter>::builder("counters")
        .storage(LmdbStorage::open(folder.path())?)
        .start(&node)
        .await?;

    // The reply leaves when the effect is on the disk.
    let count = counters.call("counter-1", CounterMessage::Add(2)).await?;
    println!("counter-1 is {count}");

    // It hibernates, and the next message finds it as it was.
    counters.stop("counter-1").await?;
    assert!(counters.lookup("counter-1").await?.is_none());
    let reply = counters
        .request("counter-1", CounterMessage::Get)
        .send()
        .await?;
    println!(
        "counter-1 is still {}, in its activation number {}",
        reply.value, reply.epoch
    );
    assert_eq!((reply.value, reply.epoch.0), (2, 2));

    node.drain().await;
    Ok(())
}
