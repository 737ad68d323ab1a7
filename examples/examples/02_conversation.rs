//! A journal beside the state: entries are committed with it, and read by pages.
//!
//! `cargo run -p jido-examples --example 02_conversation`
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::sync::Arc;

use jido_cluster::storage::{LmdbStorage, Storage};
use jido_cluster::{
    Agent, AgentError, AgentId, AgentKey, Context, InstanceManager, ManagerName, Node, Seq,
    decode_payload,
};
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
struct Conversation {
    turns: u64,
}

#[derive(Serialize, Deserialize)]
struct Say {
    who: String,
    text: String,
}

/// A refusal by the agent's own rules is a reply, no error.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Answer {
    Turn(u64),
    Refused(String),
}

impl Agent for Conversation {
    const KIND: &'static str = "conversation";
    type Message = Say;
    type Reply = Answer;

    async fn handle(&mut self, say: Say, ctx: &mut Context<'_>) -> Result<Answer, AgentError> {
        if say.text.is_empty() {
            return Ok(Answer::Refused("there is nothing said".to_owned()));
        }
        // What is journaled is there exactly when the reply was sent.
        ctx.append("said", &say)?;
        self.turns += 1;
        Ok(Answer::Turn(self.turns))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let storage: Arc<dyn Storage> = Arc::new(LmdbStorage::open(folder.path())?);
    let node = Node::builder("n1")
        .listen(([127, 0, 0, 1], 0).into())
        .cookie("a secret of sixteen bytes or more")
        .start()
        .await?;
    let conversations = InstanceManager::<Conversation>::builder("conversations")
        .shared_storage(storage.clone())
        .start(&node)
        .await?;

    // A key of parts, which never collides with another's.
    let key = AgentKey::composite(["tenant/7", "ada"])?;
    let ada = conversations.get(&key).await?;
    for (who, text) in [
        ("ada", "Can you compose music?"),
        ("engine", "Given the notes, yes."),
    ] {
        let (who, text) = (who.to_owned(), text.to_owned());
        println!("{:?}", ada.call(Say { who, text }).await?);
    }
    let nothing = Say {
        who: "ada".to_owned(),
        text: String::new(),
    };
    assert!(matches!(ada.call(nothing).await?, Answer::Refused(_)));

    let id = AgentId::new(
        node.cluster().clone(),
        ManagerName::new("conversations")?,
        key,
    );
    let page = storage.read_thread(&id, Seq(0), 100).await?;
    for entry in &page {
        let said: Say = decode_payload(&entry.payload)?;
        println!("{} {}: {}", entry.seq, said.who, said.text);
    }
    assert_eq!(page.len(), 2);

    node.drain().await;
    Ok(())
}
