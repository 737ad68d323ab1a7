//! Users' code that panics where nobody would look for it: a node, a manager and its other
//! agents go on, and the caller is told at once.

use std::sync::atomic::{AtomicBool, Ordering};

use jido_cluster::{
    Agent, AgentError, Context, ErrorKind, Executed, Handle, InstanceManager, ManagerBuilder, Node,
    Reads,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::faults::{Fault, Faulty};
use crate::harness::{Cluster, Message, key_on, met};

/// Can't be read.
#[derive(Debug, Serialize)]
struct Unreadable;

impl<'de> Deserialize<'de> for Unreadable {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("panicked as asked");
    }
}

/// Can't be written.
#[derive(Debug, Deserialize)]
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("panicked as asked");
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Touchy {
    count: u32,
    unwritable: Option<Unwritable>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Touch {
    Add,
    Get,
    Fail,
    Unreadable(Unreadable),
    AnswerUnwritable,
    BecomeUnwritable,
}

#[derive(Debug, Serialize, Deserialize)]
enum Touched {
    Count(u32),
    Unwritable(Unwritable),
}

impl Agent for Touchy {
    const KIND: &'static str = "touchy";
    type Message = Touch;
    type Reply = Touched;

    async fn handle(&mut self, message: Touch, _: &mut Context<'_>) -> Result<Touched, AgentError> {
        match message {
            Touch::Add => self.count += 1,
            Touch::Get | Touch::Unreadable(_) => {}
            Touch::Fail => return Err(AgentError::new("failed as asked")),
            Touch::AnswerUnwritable => return Ok(Touched::Unwritable(Unwritable)),
            Touch::BecomeUnwritable => self.unwritable = Some(Unwritable),
        }
        Ok(Touched::Count(self.count))
    }
}

fn manager(cluster: &Cluster) -> ManagerBuilder<Touchy> {
    InstanceManager::<Touchy>::builder("touchies").shared_storage(cluster.storage.clone())
}

/// Two nodes that have met, and a key on each.
async fn pair(cluster: &Cluster, reads: Reads) -> [(Node, Handle<Touchy>, String); 2] {
    let start = async |name: &str| {
        let node = cluster.node(name).start().await.unwrap();
        let handle = manager(cluster).reads(reads).start(&node).await.unwrap();
        (node, handle)
    };
    let nodes = [start("n1").await, start("n2").await];
    for (node, _) in &nodes {
        met(node, 2).await;
    }
    let keys = [
        key_on(&nodes[0].1, &nodes[0].0).await,
        key_on(&nodes[0].1, &nodes[1].0).await,
    ];
    let mut keys = keys.into_iter();
    nodes.map(|(node, handle)| (node, handle, keys.next().unwrap()))
}

async fn count(handle: &Handle<Touchy>, key: &str) -> u32 {
    match handle.call(key, Touch::Get).await.unwrap() {
        Touched::Count(count) => count,
        other @ Touched::Unwritable(_) => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_panics_as_it_is_read_ends_no_session() {
    let cluster = Cluster::new();
    let [(_n1, handle, _), (_n2, _, there)] = pair(&cluster, Reads::Leased).await;
    handle.call(&there, Touch::Add).await.unwrap();
    let touch = Touch::Unreadable(Unreadable);
    let error = handle.call(&there, touch).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible, "{error:?}");
    assert_eq!(error.executed(), Executed::No);
    assert_eq!(count(&handle, &there).await, 1);
}

#[tokio::test(start_paused = true)]
async fn replies_and_states_that_panic_as_they_are_written_keep_nobody_else_waiting() {
    for reads in [Reads::Leased, Reads::Strict] {
        let cluster = Cluster::new();
        let [(_n1, handle, here), (_n2, _, there)] = pair(&cluster, reads).await;
        for key in [&here, &there] {
            handle.call(key, Touch::Add).await.unwrap();
            let error = handle.call(key, Touch::BecomeUnwritable).await.unwrap_err();
            assert_eq!(error.executed(), Executed::No, "{error}");
            assert_eq!(count(&handle, key).await, 1);
        }
        let error = handle.call(&there, Touch::AnswerUnwritable).await;
        let error = error.unwrap_err();
        assert_ne!(error.kind(), ErrorKind::Timeout, "{error}");
        assert_eq!(count(&handle, &there).await, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_makes_or_prepares_an_agent_may_panic() {
    static PREPARE_PANICS: AtomicBool = AtomicBool::new(false);
    let cluster = Cluster::new();
    let node = cluster.node("n1").start().await.unwrap();
    let manager = manager(&cluster).initial(|key| match key.as_str() {
        "none" => panic!("panicked as asked"),
        _ => Touchy::default(),
    });
    let manager = manager.prepare(|_, _| {
        assert!(!PREPARE_PANICS.load(Ordering::SeqCst), "panicked as asked");
    });
    let handle = manager.start(&node).await.unwrap();
    for key in ["a", "fails"] {
        handle.call(key, Touch::Add).await.unwrap();
    }
    assert!(handle.stop("a").await.unwrap());
    PREPARE_PANICS.store(true, Ordering::SeqCst);
    // It can't be put back, and ends.
    let error = handle.call("fails", Touch::Fail).await.unwrap_err();
    assert!(error.to_string().contains("failed as asked"), "{error}");
    assert_eq!(error.executed(), Executed::No);
    for key in ["none", "a", "b", "fails"] {
        let error = handle.call(key, Touch::Get).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Agent, "{key}");
        assert!(error.to_string().contains("panicked as asked"), "{error}");
        assert_eq!(error.executed(), Executed::No);
    }
    // They run nowhere, and nobody owns them.
    assert_eq!(handle.stats().await.unwrap().total, 0);
    let page = handle.keys(None, 10).await.unwrap();
    assert!(page.agents.iter().all(|agent| agent.owner.is_none()));
    PREPARE_PANICS.store(false, Ordering::SeqCst);
    for key in ["a", "fails"] {
        assert_eq!(count(&handle, key).await, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_panics_once_is_asked_again() {
    let storage = Faulty::new();
    let cluster = Cluster::on(storage.clone());
    let node = cluster.node("n1").start().await.unwrap();
    let manager = cluster.manager().reads(Reads::Strict);
    let handle = manager.start(&node).await.unwrap();
    handle.call("a", Message::Add(1)).await.unwrap();
    storage.set(Fault::PanicOnce);
    assert_eq!(handle.call("a", Message::Add(1)).await.unwrap(), 2);
    storage.set(Fault::PanicOnce);
    assert_eq!(handle.call("a", Message::Get).await.unwrap(), 2);
}
