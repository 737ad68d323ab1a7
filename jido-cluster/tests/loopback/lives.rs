//! A node that was declared dead goes on in a new life.

use std::sync::Arc;
use std::time::Duration;

use jido_cluster::storage::NodeRegistration;
use jido_cluster::{
    Agent, AgentError, Context, ErrorKind, Handle, InstanceManager, Node, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::faults::{Fault, Faulty};
use crate::harness::{Cluster, Counter, Message, TokioClock, eventually, key_on, met};

const TTL: Duration = Duration::from_secs(1);

/// One clock for all nodes of a test: it draws their incarnations, too.
async fn start(cluster: &Cluster, clock: &Arc<TokioClock>, name: &str) -> (Node, Handle<Counter>) {
    let node = cluster
        .node(name)
        .lease_ttl(TTL)
        .environment(clock.clone())
        .start()
        .await
        .unwrap();
    let handle = cluster.manager().start(&node).await.unwrap();
    (node, handle)
}

async fn declare_dead(cluster: &Cluster, node: &Node) {
    let declared = cluster
        .storage
        .declare_dead(node.cluster(), node.incarnation(), None);
    declared.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_declared_dead_goes_on_in_a_new_life() {
    let (cluster, clock) = (Cluster::new(), TokioClock::new());
    let (n1, handle) = start(&cluster, &clock, "n1").await;
    let (n2, other) = start(&cluster, &clock, "n2").await;
    met(&n1, 2).await;
    met(&n2, 2).await;
    let key = key_on(&other, &n1).await;
    let agent = handle.get(&key).await.unwrap();
    assert_eq!(agent.call(Message::Add(1)).await.unwrap(), 1);
    let former = n1.incarnation();

    for life in 1..=3 {
        let before = n1.incarnation();
        declare_dead(&cluster, &n1).await;
        eventually(|| n1.incarnation() != before).await;
        met(&n1, 2).await;
        met(&n2, 2).await;
        assert!(n1.ready().await.is_ok());
        assert!(
            n2.members()
                .iter()
                .any(|m| m.incarnation == n1.incarnation())
        );
        assert!(n2.members().iter().all(|m| m.incarnation != before));
        // Handles and references of both nodes work on, and the state is there.
        let count = 1 + 3 * life;
        assert_eq!(agent.call(Message::Add(1)).await.unwrap(), count - 2);
        assert_eq!(other.call(&key, Message::Add(1)).await.unwrap(), count - 1);
        assert_eq!(handle.call(&key, Message::Add(1)).await.unwrap(), count);
        // Keys run on it again once nobody else has them.
        other.stop(&key).await.unwrap();
        assert_eq!(other.call(&key, Message::Get).await.unwrap(), count);
        let owner = other.owner(&key).await.unwrap().owner;
        assert_eq!(owner, Some(n1.me().name));
    }
    assert_ne!(n1.incarnation(), former);

    // It still leaves in good order.
    n1.drain().await;
    assert!(!n1.ended().await, "it ended because it was told to");
    eventually(|| n2.members().len() == 1).await;
    assert_eq!(other.call(&key, Message::Get).await.unwrap(), 10);
    assert_eq!(
        handle.call(&key, Message::Get).await.unwrap_err().kind(),
        ErrorKind::Timeout
    );
}

#[tokio::test(start_paused = true)]
async fn no_call_fails_or_counts_twice_while_a_life_follows_another() {
    let (cluster, clock) = (Cluster::new(), TokioClock::new());
    let (n1, handle) = start(&cluster, &clock, "n1").await;
    let (n2, other) = start(&cluster, &clock, "n2").await;
    met(&n1, 2).await;
    met(&n2, 2).await;
    let mut callers = Vec::new();
    for caller in 0..8 {
        let handle = if caller % 2 == 0 { &handle } else { &other }.clone();
        callers.push(tokio::spawn(async move {
            for call in 0..200 {
                let key = format!("key-{}", (caller + call) % 5);
                let message = match call % 4 {
                    0 => Message::Slow(20),
                    _ => Message::Add(1),
                };
                let patience = Duration::from_secs(30);
                handle.call_timeout(key, message, patience).await.unwrap();
            }
        }));
    }
    for _life in 0..3 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let before = n1.incarnation();
        declare_dead(&cluster, &n1).await;
        eventually(|| n1.incarnation() != before).await;
    }
    for caller in callers {
        caller.await.unwrap();
    }
    let mut total = 0;
    for key in 0..5 {
        total += handle
            .call(format!("key-{key}"), Message::Get)
            .await
            .unwrap();
    }
    assert_eq!(total, 8 * 200);
    n2.halt().await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_node_is_no_member_though_its_session_lasts() {
    let (cluster, clock) = (Cluster::new(), TokioClock::new());
    let storage = Faulty::new();
    let cut_off = Cluster {
        storage: storage.clone(),
        ..cluster.clone()
    };
    let (n2, _) = start(&cluster, &clock, "n2").await;
    // It shares nothing but the network and the record that says that it is dead.
    let (n1, _) = start(&cut_off, &clock, "n1").await;
    met(&n1, 2).await;
    met(&n2, 2).await;
    storage.set(Fault::Unavailable);
    let registration = NodeRegistration {
        cluster: n1.cluster().clone(),
        name: n1.me().name,
        incarnation: n1.incarnation(),
        address: String::new(),
        metadata: Default::default(),
        at: Timestamp(0),
    };
    cluster.storage.register_node(registration).await.unwrap();
    declare_dead(&cluster, &n1).await;
    eventually(|| n2.members().len() == 1).await;
    assert_eq!(n1.members().len(), 2, "there was a session all the time");
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_name_was_taken_ends_by_itself() {
    let (cluster, clock) = (Cluster::new(), TokioClock::new());
    let (n1, handle) = start(&cluster, &clock, "n1").await;
    handle.call("a", Message::Add(1)).await.unwrap();
    declare_dead(&cluster, &n1).await;
    let (_again, next) = start(&cluster, &clock, "n1").await;
    assert!(n1.ended().await, "it ended by itself");
    let late = handle.call_timeout("a", Message::Get, Duration::from_millis(200));
    assert!(late.await.is_err());
    assert_eq!(next.call("a", Message::Get).await.unwrap(), 1);
}

/// Tells by what it holds how many of its kind are left.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Tracked {
    #[serde(skip)]
    left: Arc<()>,
}

impl Agent for Tracked {
    const KIND: &'static str = "tracked";
    /// How long it takes.
    type Message = Duration;
    type Reply = ();

    async fn handle(&mut self, takes: Duration, _: &mut Context<'_>) -> Result<(), AgentError> {
        let _busy = self.left.clone();
        tokio::time::sleep(takes).await;
        Ok(())
    }
}

/// A node with one agent that is busy for an hour, and others behind it.
async fn busy(cluster: &Cluster, left: &Arc<()>) -> Node {
    let node = cluster.node("n1").lease_ttl(TTL);
    let node = node.environment(TokioClock::new()).start().await.unwrap();
    let held = left.clone();
    let handle = InstanceManager::<Tracked>::builder("tracked")
        .shared_storage(cluster.storage.clone())
        .prepare(move |agent, _| agent.left = held.clone())
        .start(&node)
        .await
        .unwrap();
    for key in ["a", "b", "c", "d"] {
        handle.call(key, Duration::ZERO).await.unwrap();
    }
    let hour = Duration::from_secs(3_600);
    tokio::spawn(async move { handle.call_timeout("a", hour, hour * 2).await });
    // Theirs, that of the one that is busy, and those of the test and of the hook.
    eventually(|| Arc::strong_count(left) == 4 + 1 + 2).await;
    node
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_busy_keeps_no_other_of_a_dead_life() {
    let (cluster, left) = (Cluster::new(), Arc::new(()));
    let n1 = busy(&cluster, &left).await;
    let before = n1.incarnation();
    declare_dead(&cluster, &n1).await;
    eventually(|| n1.incarnation() != before).await;
    assert_eq!(Arc::strong_count(&left), 2 + 2);
    n1.halt().await;
}

#[tokio::test(start_paused = true)]
async fn a_halt_waits_for_no_agent_that_is_busy() {
    let (cluster, left) = (Cluster::new(), Arc::new(()));
    let n1 = busy(&cluster, &left).await;
    let began = tokio::time::Instant::now();
    n1.halt().await;
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    eventually(|| Arc::strong_count(&left) <= 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_halted_begins_no_further_life() {
    let (cluster, clock) = (Cluster::new(), TokioClock::new());
    let (n1, handle) = start(&cluster, &clock, "n1").await;
    declare_dead(&cluster, &n1).await;
    // Told to end at the moment at which it hears of it, or just before.
    n1.halt().await;
    assert!(!n1.ended().await, "it ended because it was told to");
    assert!(
        handle
            .agent("a")
            .unwrap()
            .send_message(Message::Get)
            .is_err()
    );
    let (again, handle) = start(&cluster, &clock, "n1").await;
    assert_eq!(handle.call("a", Message::Add(1)).await.unwrap(), 1);
    again.drain().await;
}
