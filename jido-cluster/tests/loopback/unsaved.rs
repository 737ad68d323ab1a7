//! What is no part of an agent's state: who sets it, and how long it lasts.

use std::time::Duration;

use jido_cluster::storage::Storage;
use jido_cluster::{
    Agent, AgentError, Context, Durability, ErrorKind, Handle, InstanceManager, Node, RequestId,
    RequestOutcome, Seq,
};
use serde::{Deserialize, Serialize};

use crate::faults::{Fault, Faulty};
use crate::harness::{Cluster, Message as Counted, agent_id};

#[derive(Debug, Default, Serialize, Deserialize)]
struct Session {
    count: u32,
    ticks: u32,
    /// Set by the hook.
    #[serde(skip)]
    started: bool,
    /// Set by the manager.
    #[serde(skip)]
    prepared: bool,
}

#[derive(Debug, Serialize, Deserialize)]
enum Message {
    Look,
    Add,
    Tick,
    Fail,
    Panic,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Seen {
    count: u32,
    ticks: u32,
    started: bool,
    prepared: bool,
}

impl Agent for Session {
    const KIND: &'static str = "session";
    type Message = Message;
    type Reply = Seen;

    async fn handle(&mut self, message: Message, _: &mut Context<'_>) -> Result<Seen, AgentError> {
        match message {
            Message::Look => {}
            Message::Add => self.count += 1,
            Message::Tick => self.ticks += 1,
            Message::Fail => return Err(AgentError::new("failed as asked")),
            Message::Panic => panic!("panicked as asked"),
        }
        let Self {
            count,
            ticks,
            started,
            prepared,
        } = *self;
        Ok(Seen {
            count,
            ticks,
            started,
            prepared,
        })
    }

    async fn started(&mut self, ctx: &mut Context<'_>) -> Result<(), AgentError> {
        self.started = true;
        ctx.schedule::<Self>(Duration::from_secs(10), &Message::Tick)?;
        Ok(())
    }
}

async fn sessions(cluster: &Cluster) -> (Node, Handle<Session>) {
    let node = cluster.node("n1").start().await.unwrap();
    let handle = InstanceManager::<Session>::builder("sessions")
        .shared_storage(cluster.storage.clone())
        .durability(Durability::Command)
        .park_after(Duration::from_secs(5))
        .prepare(|session, _| session.prepared = true)
        .start(&node)
        .await
        .unwrap();
    (node, handle)
}

async fn look(handle: &Handle<Session>) -> Seen {
    handle.call("a", Message::Look).await.unwrap()
}

fn seen(count: u32, ticks: u32, started: bool) -> Seen {
    Seen {
        count,
        ticks,
        started,
        prepared: true,
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_manager_sets_is_set_whenever_the_agent_is_read() {
    let storage = Faulty::new();
    let cluster = Cluster::on(storage.clone());
    let (_node, handle) = sessions(&cluster).await;
    assert_eq!(look(&handle).await, seen(0, 0, true));
    for failing in [Message::Fail, Message::Panic] {
        let error = handle.call("a", failing).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Agent);
        assert_eq!(look(&handle).await, seen(0, 0, false));
    }
    // What the hook has scheduled comes once.
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(look(&handle).await, seen(0, 1, false));

    assert!(handle.stop("a").await.unwrap());
    assert_eq!(look(&handle).await, seen(0, 1, true));
    storage.set(Fault::FailBefore);
    let add = handle.call_timeout("a", Message::Add, Duration::from_secs(1));
    assert!(add.await.unwrap_err().is_retryable());
    storage.set(Fault::None);
    assert_eq!(look(&handle).await, seen(0, 1, false));

    assert!(handle.stop("a").await.unwrap());
    assert_eq!(look(&handle).await, seen(0, 1, true));
    let parked = async || handle.stats().await.unwrap().parked;
    tokio::time::sleep(Duration::from_secs(11)).await;
    while parked().await == 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(look(&handle).await, seen(0, 2, false));
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_fails_leaves_what_was_acknowledged_and_not_yet_written() {
    let storage = Faulty::new();
    let cluster = Cluster::on(storage.clone());
    let node = cluster.node("n1").start().await.unwrap();
    let handle = InstanceManager::<Session>::builder("sessions")
        .shared_storage(storage.clone())
        .durability(Durability::Hibernate)
        .start(&node)
        .await
        .unwrap();
    for count in 1..=3 {
        let seen = handle.call("a", Message::Add).await.unwrap();
        assert_eq!(seen.count, count);
    }
    storage.set(Fault::FailBefore);
    let error = handle.delete("a").await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    // Nothing is kept of requests, which is known without a word to storage.
    let outcome = handle.outcome("a", RequestId::new(1, 1)).await.unwrap();
    assert!(matches!(outcome, RequestOutcome::Unknown), "{outcome:?}");
    assert_eq!(look(&handle).await.count, 3);
    storage.set(Fault::None);
    assert!(handle.stop("a").await.unwrap());
    assert_eq!(look(&handle).await.count, 3);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_journals_without_end_is_written_in_between_and_read_all_the_time() {
    let storage = Faulty::new();
    let cluster = Cluster::on(storage.clone());
    let node = cluster.node("n1").start().await.unwrap();
    let manager = cluster.manager().durability(Durability::Hibernate);
    let handle = manager.start(&node).await.unwrap();
    let note = || Counted::Note("x".repeat(1 << 20));
    for _ in 0..20 {
        handle.call("a", note()).await.unwrap();
        // A commit takes 5 ms, and what has no room meanwhile is refused.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // Only where nothing can be written it ends, and not for those that only look.
    storage.set(Fault::FailBefore);
    let mut added = 20;
    let short = Duration::from_millis(100);
    let error = loop {
        match handle.call_timeout("a", note(), short).await {
            Ok(_) => added += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    handle.call("a", Counted::Get).await.unwrap();
    storage.set(Fault::None);
    tokio::time::timeout(Duration::from_secs(60), async {
        while handle.call_timeout("a", note(), short).await.is_err() {
            tokio::time::sleep(short).await;
        }
    })
    .await
    .unwrap();
    assert!(handle.stop("a").await.unwrap());
    let id = agent_id("counters", "a");
    let head = storage.head(&id).await.unwrap().unwrap();
    assert_eq!(head.thread_len, Seq(added + 1));
}
