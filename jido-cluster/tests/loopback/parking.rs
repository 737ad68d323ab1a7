//! Quiet agents without an actor.

use std::sync::Arc;
use std::time::Duration;

use jido_cluster::storage::Storage;
use jido_cluster::{
    Agent, AgentError, Context, Durability, ErrorKind, Handle, InstanceManager, ManagerBuilder,
    Node, RequestId, Takeover,
};
use serde::{Deserialize, Serialize};

use crate::counting::{Counts, counting};
use crate::harness::{Cluster, eventually};

/// After how long agents are parked here.
const QUIET: Duration = Duration::from_secs(1);

/// Counts; and tells how many messages it has handled since it was made from its
/// serialized state last.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Session {
    count: i64,
    #[serde(skip)]
    heard: u32,
    #[serde(skip)]
    prepared: bool,
}

#[derive(Debug, Serialize, Deserialize)]
enum Message {
    Add(i64),
    Note,
    Fail,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Told {
    count: i64,
    heard: u32,
    epoch: u64,
}

impl Agent for Session {
    const KIND: &'static str = "session";
    type Message = Message;
    type Reply = Told;

    async fn handle(
        &mut self,
        message: Message,
        ctx: &mut Context<'_>,
    ) -> Result<Told, AgentError> {
        assert!(self.prepared, "an agent is prepared however it was made");
        self.heard += 1;
        match message {
            Message::Add(by) => self.count += by,
            Message::Note => ctx.append("note", &self.count)?,
            Message::Fail => {
                self.count += 1_000;
                return Err(AgentError::new("failed as asked"));
            }
        }
        Ok(Told {
            count: self.count,
            heard: self.heard,
            epoch: ctx.epoch().0,
        })
    }

    async fn started(&mut self, ctx: &mut Context<'_>) -> Result<(), AgentError> {
        Ok(ctx.append("started", &())?)
    }
}

fn manager(storage: &Arc<dyn Storage>) -> ManagerBuilder<Session> {
    InstanceManager::<Session>::builder("sessions")
        .shared_storage(storage.clone())
        .takeover(Takeover::OnDisconnect)
        .idle_timeout(None)
        .park_after(QUIET)
        .prepare(|session, _| session.prepared = true)
}

struct One {
    cluster: Cluster,
    node: Node,
    handle: Handle<Session>,
    counts: Arc<Counts>,
}

async fn one(durability: Durability) -> One {
    let (storage, counts) = counting();
    let cluster = Cluster::on(storage);
    let (node, handle) = start(&cluster, "n1", durability).await;
    One {
        cluster,
        node,
        handle,
        counts,
    }
}

async fn start(cluster: &Cluster, name: &str, durability: Durability) -> (Node, Handle<Session>) {
    let node = cluster.node(name).start().await.unwrap();
    let manager = manager(&cluster.storage).durability(durability);
    let handle = manager.start(&node).await.unwrap();
    (node, handle)
}

/// Long enough for whoever is quiet to be parked.
async fn quiet() {
    tokio::time::sleep(QUIET * 2).await;
}

fn told(count: i64, heard: u32, epoch: u64) -> Told {
    Told {
        count,
        heard,
        epoch,
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_message_of_a_parked_agent_costs_no_trip_to_storage() {
    let one = one(Durability::Command).await;
    let handle = &one.handle;
    let first = handle.call("a", Message::Add(1)).await.unwrap();
    assert_eq!(first, told(1, 1, 1));
    for _ in 0..3 {
        // Not quiet for long enough: it has an actor.
        tokio::time::sleep(QUIET / 10).await;
        let busy = handle.call("a", Message::Add(0)).await.unwrap();
        assert_eq!(busy.heard, 2);
        quiet().await;
        assert!(handle.lookup("a").await.unwrap().is_some());
        let stats = handle.stats().await.unwrap();
        assert_eq!((stats.total, stats.parked), (1, 1));
        let commits = one.counts.of(|c| &c.commits);
        let woken = handle.call("a", Message::Add(0)).await.unwrap();
        assert_eq!(woken, told(1, 1, 1), "it is the same activation");
        // A failed message comes back to the state that it was parked with.
        let error = handle.call("a", Message::Fail).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Agent);
        assert_eq!(handle.call("a", Message::Add(0)).await.unwrap().count, 1);
        assert_eq!(one.counts.of(|c| &c.commits), commits);
    }
    assert_eq!(one.counts.of(|c| &c.claims), 1);
    assert_eq!(one.counts.of(|c| &c.loads), 1);
    // And it commits as before.
    handle.call("a", Message::Note).await.unwrap();
    quiet().await;
    handle.call("a", Message::Add(1)).await.unwrap();
    let page = handle.keys(None, 10).await.unwrap();
    assert_eq!(page.agents[0].revision.0, 4);
    assert_eq!(page.agents[0].thread_len.0, 2, "started, and a note");
}

#[tokio::test(start_paused = true)]
async fn stop_delete_and_get_find_a_parked_agent() {
    let one = one(Durability::Command).await;
    let handle = &one.handle;
    for key in ["a", "b", "c"] {
        handle.call(key, Message::Add(7)).await.unwrap();
    }
    quiet().await;
    assert!(handle.stop("a").await.unwrap());
    assert!(handle.lookup("a").await.unwrap().is_none());
    assert_eq!(handle.owner("a").await.unwrap().owner, None);
    handle.delete("b").await.unwrap();
    assert_eq!(
        handle.call("b", Message::Add(1)).await.unwrap(),
        told(1, 1, 2)
    );
    handle.get("c").await.unwrap();
    tokio::time::sleep(QUIET / 2).await;
    // It was woken a moment ago, and has not been parked again.
    let woken = handle.call("c", Message::Add(0)).await.unwrap();
    assert_eq!(woken, told(7, 1, 1));
    assert_eq!(
        handle.call("a", Message::Add(0)).await.unwrap(),
        told(7, 1, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_is_remembered_while_its_agent_is_parked() {
    let one = one(Durability::Command).await;
    let ask = |n| {
        let request = one.handle.request("a", Message::Add(5));
        request.id(RequestId::new(n, 0)).send()
    };
    assert_eq!(ask(1).await.unwrap().value.count, 5);
    assert_eq!(ask(2).await.unwrap().value.count, 10);
    quiet().await;
    assert_eq!(ask(1).await.unwrap().value.count, 5);
    quiet().await;
    assert_eq!(ask(2).await.unwrap().value.count, 10);
    assert_eq!(ask(3).await.unwrap().value.count, 15);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_hibernation_survives_parking() {
    let mut one = one(Durability::Hibernate).await;
    one.handle.call("a", Message::Add(1)).await.unwrap();
    one.handle.call("a", Message::Note).await.unwrap();
    quiet().await;
    assert_eq!(one.counts.of(|c| &c.commits), 0);
    assert_eq!(
        one.handle.call("a", Message::Add(1)).await.unwrap().count,
        2
    );
    quiet().await;
    let (_, handle) = start(&one.cluster, "n2", Durability::Hibernate).await;
    one.node.drain().await;
    let moved = handle.call("a", Message::Add(0)).await.unwrap();
    assert_eq!(moved, told(2, 1, 2));
    one.handle = handle;
    let page = one.handle.keys(None, 10).await.unwrap();
    assert_eq!(page.agents[0].thread_len.0, 2, "started, and a note");
}

#[tokio::test(start_paused = true)]
async fn a_draining_node_hands_parked_agents_over() {
    let one = one(Durability::Command).await;
    for i in 0..200 {
        let key = format!("key-{i}");
        one.handle.call(&key, Message::Add(i)).await.unwrap();
    }
    quiet().await;
    let (node, handle) = start(&one.cluster, "n2", Durability::Command).await;
    eventually(|| node.members().len() == 2).await;
    // While it drains, they are reached through either node.
    let calls = (0..200).map(|i| {
        let handle = if i % 2 == 0 { &handle } else { &one.handle };
        let key = format!("key-{i}");
        async move { handle.call(&key, Message::Add(1)).await }
    });
    let ((), called) = futures_util::future::join(one.node.drain(), async {
        futures_util::future::join_all(calls).await
    })
    .await;
    for (i, told) in called.into_iter().enumerate() {
        assert_eq!(told.unwrap().count, i as i64 + 1);
    }
    let page = handle.keys(None, 500).await.unwrap();
    let left = page
        .agents
        .iter()
        .filter(|agent| agent.owner.is_some_and(|owner| owner != node.incarnation()));
    assert_eq!(left.count(), 0);
    assert_eq!(
        handle.call("key-9", Message::Add(0)).await.unwrap().count,
        10
    );
}

#[tokio::test(start_paused = true)]
async fn a_parked_agent_that_was_taken_over_commits_nothing_any_more() {
    let cluster = Cluster::new();
    let (lost, old) = start(&cluster, "n1", Durability::Command).await;
    old.call("a", Message::Add(1)).await.unwrap();
    let (node, new) = start(&cluster, "n2", Durability::Command).await;
    eventually(|| node.members().len() == 2 && lost.members().len() == 2).await;
    quiet().await;
    cluster.network.disconnect(lost.incarnation());
    eventually(|| node.members().len() == 1 && lost.members().len() == 1).await;
    assert_eq!(new.call("a", Message::Add(10)).await.unwrap().count, 11);
    // Woken from memory, it is fenced by its first commit, and then comes from storage.
    let told = old.call("a", Message::Add(100)).await.unwrap();
    assert_eq!((told.count, told.epoch), (111, 3));
}

#[tokio::test]
async fn a_node_that_was_declared_dead_forgets_its_parked_agents() {
    let cluster = Cluster::new();
    let node = cluster
        .node("n1")
        .lease_ttl(Duration::from_millis(300))
        .start()
        .await
        .unwrap();
    let manager = manager(&cluster.storage)
        .durability(Durability::Command)
        .park_after(Duration::from_millis(1));
    let handle = manager.start(&node).await.unwrap();
    // Until one of a thousand calls finds it without the actor of the call before.
    loop {
        if handle.call("a", Message::Add(1)).await.unwrap().heard == 1 {
            let again = handle.call("a", Message::Add(1)).await.unwrap();
            if again.count > 2 {
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let before = handle.request("a", Message::Add(1)).send().await.unwrap();
    let former = node.incarnation();
    cluster
        .storage
        .declare_dead(node.cluster(), former, None)
        .await
        .unwrap();
    eventually(|| node.incarnation() != former).await;
    // It is claimed anew in the next life, and not woken under the former claim.
    let after = handle.request("a", Message::Add(1)).send().await.unwrap();
    assert!(after.epoch > before.epoch, "{before:?}, then {after:?}");
    assert_eq!(after.value.count, before.value.count + 1);
}

#[tokio::test(start_paused = true)]
async fn parked_agents_become_cold_by_the_idle_time_out() {
    let (storage, counts) = counting();
    let cluster = Cluster::on(storage);
    let node = cluster.node("n1").start().await.unwrap();
    let manager = manager(&cluster.storage).idle_timeout(QUIET * 10);
    let handle = manager.start(&node).await.unwrap();
    handle.call("a", Message::Add(1)).await.unwrap();
    tokio::time::sleep(QUIET * 9).await;
    assert!(handle.owner("a").await.unwrap().owner.is_some());
    tokio::time::sleep(QUIET * 5).await;
    assert_eq!(handle.owner("a").await.unwrap().owner, None);
    let stats = handle.stats().await.unwrap();
    assert_eq!((stats.total, stats.parked), (0, 0));
    assert_eq!(counts.of(|c| &c.claims), 1);
    assert_eq!(handle.call("a", Message::Add(0)).await.unwrap().count, 1);
}

/// Callers that meet an agent just as it is parked find it all the same, and in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_or_reordered_while_agents_are_parked_and_woken() {
    let cluster = Cluster::new();
    let node = cluster.node("n1").start().await.unwrap();
    let manager = manager(&cluster.storage).park_after(Duration::from_millis(1));
    let handle = manager.start(&node).await.unwrap();
    let keys = 8;
    let tasks: Vec<_> = (0..keys)
        .map(|key| {
            let handle = handle.clone();
            tokio::spawn(async move {
                let agent = handle.agent(format!("key-{key}")).unwrap();
                let mut woken = 0;
                let mut sum = 0;
                for i in 1..200i64 {
                    // What is sent without waiting comes before what is asked next.
                    agent.send_message(Message::Add(i)).unwrap();
                    agent.send_message(Message::Add(-1)).unwrap();
                    sum += i - 1;
                    let told = agent.call(Message::Add(0)).await.unwrap();
                    assert_eq!(told.count, sum);
                    woken += u32::from(told.heard <= 3);
                    tokio::time::sleep(Duration::from_millis((i as u64 * 7 + key) % 11)).await;
                }
                woken
            })
        })
        .collect();
    let mut woken = 0;
    for task in tasks {
        woken += task.await.unwrap();
    }
    assert!(woken > keys as u32, "{woken}: none was parked meanwhile");
    for key in 0..keys {
        let told = handle.call(format!("key-{key}"), Message::Add(0)).await;
        assert_eq!(told.unwrap().epoch, 1);
    }
}
