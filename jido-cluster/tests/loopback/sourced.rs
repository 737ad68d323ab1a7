//! Agents whose thread tells their state.

use std::sync::Arc;
use std::time::Duration;

use jido_cluster::storage::{AppendOutcome, ClaimOutcome, ClaimRequest, Commit, Storage};
use jido_cluster::{
    AgentError, AgentId, Context, Durability, ErrorKind, EventSourced, Handle, InstanceManager,
    Node, RequestId, Schedule, Seq, Sourced, Takeover, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::counting::{Counts, counting};
use crate::harness::{Cluster, TokioClock, agent_id, eventually};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Account {
    balance: i64,
    orders: u64,
}

#[derive(Debug, Serialize, Deserialize)]
enum Order {
    Deposit(i64),
    /// Several events at once.
    Exchange(i64, i64),
    Fail,
    /// An event that can't be folded in.
    Panic,
    Show,
    /// Deposit so much after so many seconds, and without a word before.
    Later(u64, i64),
    /// As `Later`, and then something fails.
    LaterAndFail(u64, i64),
    /// As `Later`, from memory.
    Soon(u64, i64),
    /// Append an entry that is no event.
    Note,
}

#[derive(Debug, Serialize, Deserialize)]
enum Event {
    Moved(i64),
    Cursed,
}

impl EventSourced for Account {
    const KIND: &'static str = "account";
    const CHECKPOINT_EVERY: u64 = 10;
    type Message = Order;
    type Event = Event;
    type Reply = (Account, u64);

    async fn decide(
        &self,
        order: Order,
        ctx: &mut Context<'_>,
    ) -> Result<(Vec<Event>, Self::Reply), AgentError> {
        let events = match order {
            Order::Deposit(sum) => vec![Event::Moved(sum)],
            Order::Exchange(one, other) => vec![Event::Moved(one), Event::Moved(other)],
            Order::Fail => return Err(AgentError::new("failed as asked")),
            Order::Panic => vec![Event::Moved(1), Event::Cursed],
            Order::Show => vec![],
            Order::Later(seconds, sum) => {
                remind(ctx, seconds, sum)?;
                vec![]
            }
            Order::LaterAndFail(seconds, sum) => {
                remind(ctx, seconds, sum)?;
                return Err(AgentError::new("failed as asked"));
            }
            Order::Soon(seconds, sum) => {
                let after = Duration::from_secs(seconds);
                ctx.schedule::<Sourced<Self>>(after, &Order::Deposit(sum))?;
                vec![]
            }
            Order::Note => {
                ctx.append("note", &1)?;
                vec![]
            }
        };
        Ok((events, (self.clone(), ctx.epoch().0)))
    }

    fn apply(&mut self, event: Event) {
        let Event::Moved(by) = event else {
            panic!("panicked as asked");
        };
        self.balance += by;
        self.orders += 1;
    }

    fn event_kind(event: &Event) -> &str {
        match event {
            Event::Moved(_) => "moved",
            Event::Cursed => "cursed",
        }
    }
}

fn remind(ctx: &mut Context<'_>, seconds: u64, sum: i64) -> Result<(), AgentError> {
    let at = Timestamp(ctx.now().0 + seconds * 1_000);
    ctx.remind::<Sourced<Account>>(&sum.to_string(), Schedule::at(at), &Order::Deposit(sum))?;
    Ok(())
}

/// The same without checkpoints.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Journal(Account);

impl EventSourced for Journal {
    const KIND: &'static str = "journal";
    const CHECKPOINT_EVERY: u64 = 0;
    type Message = Order;
    type Event = Event;
    type Reply = (Account, u64);

    async fn decide(
        &self,
        order: Order,
        ctx: &mut Context<'_>,
    ) -> Result<(Vec<Event>, Self::Reply), AgentError> {
        self.0.decide(order, ctx).await
    }

    fn apply(&mut self, event: Event) {
        self.0.apply(event);
    }
}

async fn start<E>(cluster: &Cluster, name: &str) -> (Node, Handle<Sourced<E>>)
where
    E: EventSourced + Default,
{
    let node = cluster.node(name).start().await.unwrap();
    let manager = InstanceManager::<Sourced<E>>::builder("accounts")
        .shared_storage(cluster.storage.clone())
        .durability(Durability::Command)
        .takeover(Takeover::OnDisconnect);
    let handle = manager.start(&node).await.unwrap();
    (node, handle)
}

async fn one<E>() -> (Node, Handle<Sourced<E>>, Cluster, Arc<Counts>)
where
    E: EventSourced + Default,
{
    let (storage, counts) = counting();
    let cluster = Cluster::on(storage);
    let (node, handle) = start(&cluster, "n1").await;
    (node, handle, cluster, counts)
}

fn id(key: &str) -> AgentId {
    agent_id("accounts", key)
}

/// Where the checkpoint ends, and the thread.
async fn stored(storage: &Arc<dyn Storage>, key: &str) -> (Option<u64>, u64) {
    let loaded = storage.load(&id(key)).await.unwrap().unwrap();
    let covers = loaded.checkpoint.map(|checkpoint| checkpoint.covers.0);
    (covers, loaded.record.thread_len.0)
}

async fn show<E>(handle: &Handle<Sourced<E>>, key: &str) -> Account
where
    E: EventSourced<Message = Order, Reply = (Account, u64)>,
{
    handle.call(key, Order::Show).await.unwrap().0
}

#[tokio::test(start_paused = true)]
async fn commits_carry_events_alone_and_a_checkpoint_now_and_then() {
    let (_node, handle, cluster, counts) = one::<Account>().await;
    let storage = &cluster.storage;
    for i in 1..=9u64 {
        handle.call("a", Order::Deposit(i as i64)).await.unwrap();
        assert_eq!(stored(storage, "a").await, (None, i));
    }
    handle.call("a", Order::Show).await.unwrap();
    assert_eq!(counts.of(|c| &c.commits), 9, "a read commits nothing");
    handle.call("a", Order::Exchange(10, 11)).await.unwrap();
    assert_eq!(stored(storage, "a").await, (Some(11), 11));
    for i in 12..=20 {
        handle.call("a", Order::Deposit(i)).await.unwrap();
        assert_eq!(stored(storage, "a").await, (Some(11), i as u64));
    }
    let live = show(&handle, "a").await;
    assert_eq!((live.balance, live.orders), ((1..=20).sum(), 20));
    let thread = handle.thread("a", Seq(11), 5).await.unwrap();
    assert_eq!(thread.len(), 5);
    assert!(thread.iter().all(|entry| entry.kind == "moved"));

    // It comes back from the checkpoint and what is after it, and goes on counting.
    assert!(handle.stop("a").await.unwrap());
    assert_eq!(counts.of(|c| &c.pages), 1);
    assert_eq!(show(&handle, "a").await, live);
    assert_eq!(counts.of(|c| &c.pages), 2);
    handle.call("a", Order::Deposit(21)).await.unwrap();
    assert_eq!(stored(storage, "a").await, (Some(21), 21));
    assert!(handle.stop("a").await.unwrap());
    assert_eq!(show(&handle, "a").await.balance, (1..=21).sum::<i64>());
    assert_eq!(counts.of(|c| &c.pages), 2, "the checkpoint covers all");
}

#[tokio::test(start_paused = true)]
async fn without_checkpoints_the_thread_is_read_by_pages() {
    let (_node, handle, cluster, counts) = one::<Journal>().await;
    for i in 0..300 {
        handle.call("a", Order::Exchange(i, 1)).await.unwrap();
    }
    assert_eq!(stored(&cluster.storage, "a").await, (None, 600));
    let live = show(&handle, "a").await;
    assert!(handle.stop("a").await.unwrap());
    assert_eq!(show(&handle, "a").await, live);
    assert_eq!(counts.of(|c| &c.pages), 3);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_failed_leaves_no_event() {
    let (_node, handle, cluster, _) = one::<Account>().await;
    handle.call("a", Order::Deposit(5)).await.unwrap();
    let live = show(&handle, "a").await;
    for order in [Order::Fail, Order::Panic] {
        let error = handle.call("a", order).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Agent);
        assert!(error.to_string().contains("as asked"), "{error}");
        assert_eq!(show(&handle, "a").await, live);
    }
    assert_eq!(stored(&cluster.storage, "a").await, (None, 1));
}

#[tokio::test(start_paused = true)]
async fn a_retry_has_no_further_event() {
    let (_node, handle, cluster, _) = one::<Account>().await;
    for _ in 0..3 {
        let request = handle.request("a", Order::Deposit(5));
        let reply = request.id(RequestId::new(1, 0)).send().await.unwrap();
        assert_eq!(reply.value.0, Account::default());
    }
    assert_eq!(stored(&cluster.storage, "a").await, (None, 1));
    assert_eq!(show(&handle, "a").await.balance, 5);
}

#[tokio::test(start_paused = true)]
async fn another_node_takes_over_with_all_events() {
    let (lost, old, cluster, _) = one::<Account>().await;
    for i in 0..25 {
        old.call("a", Order::Deposit(i)).await.unwrap();
    }
    let live = show(&old, "a").await;
    let (node, new) = start::<Account>(&cluster, "n2").await;
    eventually(|| node.members().len() == 2).await;
    cluster.network.disconnect(lost.incarnation());
    eventually(|| node.members().len() == 1).await;
    assert_eq!(show(&new, "a").await, live);
}

#[tokio::test(start_paused = true)]
async fn parked_and_with_late_commits_it_is_the_same() {
    let (storage, counts) = counting();
    let cluster = Cluster::on(storage);
    let node = cluster.node("n1").start().await.unwrap();
    let manager = InstanceManager::<Sourced<Account>>::builder("accounts")
        .shared_storage(cluster.storage.clone())
        .durability(Durability::Hibernate)
        .park_after(Duration::from_millis(100));
    let handle = manager.start(&node).await.unwrap();
    for i in 0..25 {
        handle.call("a", Order::Deposit(i)).await.unwrap();
        if i % 5 == 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    let live = show(&handle, "a").await;
    assert_eq!(counts.of(|c| &c.commits), 0);
    assert!(handle.stop("a").await.unwrap());
    assert_eq!(stored(&cluster.storage, "a").await, (Some(25), 25));
    assert_eq!(show(&handle, "a").await, live);
    assert_eq!(counts.of(|c| &c.pages), 0);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cant_be_read_is_an_error_that_leaves_the_thread_alone() {
    let (node, handle, cluster, _) = one::<Account>().await;
    let storage = &cluster.storage;
    for (key, payload) in [
        ("garbled", bytes::Bytes::from_static(b"\xc1")),
        ("cursed", jido_core::encode_payload(&Event::Cursed).unwrap()),
    ] {
        handle.call(key, Order::Deposit(5)).await.unwrap();
        assert!(handle.stop(key).await.unwrap());
        let claim = ClaimRequest {
            id: id(key),
            claimant: node.incarnation(),
            take_from: None,
            at: Timestamp(0),
        };
        let ClaimOutcome::Claimed(epoch) = storage.claim(claim).await.unwrap() else {
            panic!("the claim was refused");
        };
        let record = storage.head(&id(key)).await.unwrap().unwrap();
        let entry = jido_core::NewEntry::new("moved", Timestamp(0), payload).unwrap();
        let commit = Commit {
            entries: vec![entry],
            release: true,
            ..Commit::new(id(key), epoch, record.revision, Timestamp(0))
        };
        let outcome = storage.append(commit).await;
        assert!(
            matches!(outcome, AppendOutcome::Committed(_)),
            "{outcome:?}"
        );
        for _ in 0..2 {
            let error = handle.call(key, Order::Deposit(1)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unreadable);
            assert!(error.to_string().contains("entry 1"), "{error}");
        }
        assert_eq!(stored(storage, key).await, (None, 2));
        let record = storage.head(&id(key)).await.unwrap().unwrap();
        assert_eq!(record.owner, None, "the claim is given back");
    }
}

/// What a later order was applied to: the balance, and how many entries tell it.
async fn balance<E>(handle: &Handle<Sourced<E>>, key: &str) -> (i64, usize)
where
    E: EventSourced<Message = Order, Reply = (Account, u64)> + Default,
{
    let (account, _) = handle.call(key, Order::Show).await.unwrap();
    let thread = handle.thread(key, Seq::ZERO, 100).await.unwrap();
    (account.balance, thread.len())
}

async fn reminded<E>()
where
    E: EventSourced<Message = Order, Reply = (Account, u64)> + Default,
{
    let cluster = Cluster::new();
    let node = cluster.node("n1").environment(TokioClock::new());
    let node = node.start().await.unwrap();
    let manager = InstanceManager::<Sourced<E>>::builder("accounts")
        .shared_storage(cluster.storage.clone())
        .durability(Durability::Command)
        .idle_timeout(Duration::from_secs(5));
    let handle = manager.start(&node).await.unwrap();
    // Without an event, or with others, running or dormant when it comes.
    for (key, later, before) in [("a", 3, 0), ("b", 60, 0), ("c", 3, 1), ("d", 60, 1)] {
        if before > 0 {
            handle.call(key, Order::Deposit(before)).await.unwrap();
        }
        handle.call(key, Order::Later(later, 10)).await.unwrap();
        let failed = handle.call(key, Order::LaterAndFail(later, 1_000)).await;
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::Agent);
        let (was, entries) = balance(&handle, key).await;
        assert_eq!((was, entries), (before, before as usize), "{key}");
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(handle.stats().await.unwrap().total, 0, "all are dormant");
    tokio::time::sleep(Duration::from_secs(45)).await;
    assert_eq!(balance(&handle, "a").await, (10, 1));
    assert_eq!(balance(&handle, "b").await, (10, 1));
    assert_eq!(balance(&handle, "c").await, (11, 2));
    assert_eq!(balance(&handle, "d").await, (11, 2));

    handle.call("e", Order::Soon(20, 7)).await.unwrap();
    assert_eq!(balance(&handle, "e").await, (0, 0));
    tokio::time::sleep(Duration::from_secs(21)).await;
    assert_eq!(balance(&handle, "e").await, (7, 1));
}

#[tokio::test(start_paused = true)]
async fn reminders_and_scheduled_messages_are_decided_on_as_any_other() {
    reminded::<Account>().await;
    reminded::<Journal>().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_but_events_is_journaled() {
    let cluster = Cluster::new();
    let (_node, handle) = start::<Account>(&cluster, "n1").await;
    let error = handle.call("a", Order::Note).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Agent);
    assert!(error.to_string().contains("decide"), "{error}");
    handle.call("a", Order::Deposit(1)).await.unwrap();
    assert_eq!(balance(&handle, "a").await, (1, 1));
}
