//! The manager as a ractor actor under a supervisor of your own, spoken to through
//! its `ActorRef`.
//!
//! `cargo run -p jido-examples --example 03_supervised`
#![allow(clippy::print_stdout, reason = "a program for people")]

use jido_cluster::storage::MemoryStorage;
use jido_cluster::{Agent, AgentError, Context, InstanceManager, ManagerMessage, Node};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
struct Greeter {
    greeted: u32,
}

impl Agent for Greeter {
    const KIND: &'static str = "greeter";
    type Message = String;
    type Reply = String;

    async fn handle(&mut self, name: String, ctx: &mut Context<'_>) -> Result<String, AgentError> {
        self.greeted += 1;
        Ok(format!(
            "hello {name}, says {} for the {}. time",
            ctx.key(),
            self.greeted
        ))
    }
}

/// The root of this program's supervision tree.
struct Root;

enum RootMessage {}

impl ractor::Message for RootMessage {}

impl Actor for Root {
    type Msg = RootMessage;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<RootMessage>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<RootMessage>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        println!("the supervisor sees: {event}");
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = Node::builder("n1")
        .listen(([127, 0, 0, 1], 0).into())
        .cookie("a secret of sixteen bytes or more")
        .start()
        .await?;
    let (root, _) = Actor::spawn(None, Root, ()).await?;
    let manager = InstanceManager::<Greeter>::builder("greeters")
        .storage(MemoryStorage::new())
        .build(&node)
        .await?;
    let (manager, _) = Actor::spawn_linked(None, manager, (), root.get_cell()).await?;

    for name in ["Ada", "Grace"] {
        let (key, name) = ("door-1".to_owned(), name.to_owned());
        println!(
            "{}",
            ractor::call!(manager, ManagerMessage::Call, key, name)??
        );
    }
    // Stopped like any actor, it hibernates its agents first.
    manager.stop_and_wait(None, None).await?;
    node.drain().await;
    Ok(())
}
