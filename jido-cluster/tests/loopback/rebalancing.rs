//! Agents that run elsewhere than they are placed are moved, a few at a time.

mod claims;
mod duplicates;
mod events;
mod ill;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jido_cluster::{ErrorKind, Handle, ManagerBuilder, MigrationReason, Node};

use crate::harness::{Cluster, Counter, Message, TokioClock, met};

const KEYS: usize = 60;

const EVERY: Duration = Duration::from_millis(200);

pub(super) const WITHIN: Duration = Duration::from_secs(60);

/// A node whose clock goes with the test's, and whose manager is as it is said.
pub(super) async fn start(
    cluster: &Cluster,
    name: &str,
    set: impl FnOnce(ManagerBuilder<Counter>) -> ManagerBuilder<Counter>,
) -> (Node, Handle<Counter>) {
    let node = cluster.node(name).environment(TokioClock::new());
    let node = node.start().await.unwrap();
    let handle = set(cluster.manager()).start(&node).await.unwrap();
    (node, handle)
}

/// Moves agents when it is asked to.
pub(super) fn asked(manager: ManagerBuilder<Counter>) -> ManagerBuilder<Counter> {
    manager.rebalance_interval(None).max_migrations(1_000)
}

pub(super) async fn all_met(nodes: &[(Node, Handle<Counter>)]) {
    for (node, _) in nodes {
        met(node, nodes.len()).await;
    }
}

pub(super) async fn run_all(handle: &Handle<Counter>) {
    for i in 0..KEYS {
        handle
            .call(format!("key-{i}"), Message::Add(1))
            .await
            .unwrap();
    }
}

/// How many keys run elsewhere than they are placed.
async fn astray(handle: &Handle<Counter>) -> usize {
    let plan = handle.rebalance_plan(10_000).await;
    assert!(!plan.more && plan.unanswered.is_empty(), "{plan}");
    for migration in &plan.moves {
        assert_eq!(migration.reason, MigrationReason::Misplaced);
        let owner = handle.owner(migration.key.as_str()).await.unwrap();
        assert_eq!(owner.placed.as_ref(), Some(&migration.to));
        if owner.owner.as_ref() != Some(&migration.from) {
            // It was moved meanwhile.
            let now = handle.rebalance_plan(10_000).await;
            assert!(!now.moves.contains(migration), "{migration}: {owner:?}");
        }
    }
    plan.moves.len()
}

#[tokio::test(start_paused = true)]
async fn keys_move_to_a_node_that_joins_one_a_tick_and_no_call_fails() {
    let cluster = Cluster::new();
    let every = |manager: ManagerBuilder<Counter>| manager.rebalance_interval(EVERY);
    let mut nodes = vec![
        start(&cluster, "n1", every).await,
        start(&cluster, "n2", every).await,
    ];
    all_met(&nodes).await;
    run_all(&nodes[0].1).await;
    nodes.push(start(&cluster, "n3", every).await);
    all_met(&nodes).await;
    let to_move = astray(&nodes[1].1).await;
    assert!(to_move > 10, "{to_move}");

    let done = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..6)
        .map(|n| {
            let (handle, done) = (nodes[n % 3].1.clone(), done.clone());
            tokio::spawn(async move {
                let mut calls = 0u64;
                while !done.load(Ordering::Relaxed) {
                    let key = format!("key-{}", (calls + 7 * n as u64) % KEYS as u64);
                    let message = match calls % 5 {
                        0 => Message::Slow(3),
                        _ => Message::Add(1),
                    };
                    handle.call(&key, message).await.unwrap();
                    calls += 1;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                calls
            })
        })
        .collect();
    let begun = tokio::time::Instant::now();
    let mut left = to_move;
    while left > 0 {
        tokio::time::sleep(EVERY / 4).await;
        let now = astray(&nodes[2].1).await;
        assert!(now == left || now + 1 == left, "{left}, then {now}");
        left = now;
    }
    let took = begun.elapsed();
    let ticks = u32::try_from(to_move).unwrap();
    assert!(took >= EVERY * 7 / 8 * (ticks - 1), "{took:?}");
    assert!(took <= EVERY * 10 / 8 * ticks + EVERY, "{took:?}");
    done.store(true, Ordering::Relaxed);
    let mut acknowledged = KEYS as i64;
    for caller in callers {
        acknowledged += i64::try_from(caller.await.unwrap()).unwrap();
    }
    let mut sum = 0;
    for i in 0..KEYS {
        let key = format!("key-{i}");
        let reply = nodes[0].1.request(&key, Message::Get).send().await.unwrap();
        assert_eq!(
            Some(reply.owner),
            nodes[0].1.owner(&key).await.unwrap().placed
        );
        sum += reply.value;
    }
    assert_eq!(sum, acknowledged);
    let stats = nodes[1].1.stats().await.unwrap();
    assert_eq!(stats.total, KEYS as u64);
    assert_eq!(stats.migrations.succeeded, to_move as u64);
    assert_eq!((stats.migrations.failed, stats.migrations.skipped), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_next_node_leads_when_the_leader_leaves() {
    let cluster = Cluster::new();
    let every = |manager: ManagerBuilder<Counter>| manager.rebalance_interval(EVERY);
    let mut nodes = vec![
        start(&cluster, "n1", every).await,
        start(&cluster, "n2", every).await,
        start(&cluster, "n3", every).await,
    ];
    all_met(&nodes).await;
    run_all(&nodes[0].1).await;
    assert_eq!(astray(&nodes[2].1).await, 0);
    let (leader, _) = nodes.remove(0);
    leader.drain().await;
    run_all(&nodes[0].1).await;
    nodes.push(start(&cluster, "n4", every).await);
    all_met(&nodes).await;
    assert!(astray(&nodes[2].1).await > 5);
    while astray(&nodes[2].1).await > 0 {
        tokio::time::sleep(EVERY).await;
    }
    let rebalanced = nodes[2].1.rebalance(WITHIN).await.unwrap();
    assert_eq!(rebalanced.by.as_str(), "n2");
}

#[tokio::test(start_paused = true)]
async fn a_rebalance_that_is_asked_for_is_the_leaders_and_tells_what_was_done() {
    let cluster = Cluster::new();
    let some = |manager: ManagerBuilder<Counter>| asked(manager).max_migrations(3);
    let mut nodes = vec![start(&cluster, "n1", some).await];
    run_all(&nodes[0].1).await;
    nodes.push(start(&cluster, "n2", some).await);
    all_met(&nodes).await;
    // Nobody moves anything by itself.
    tokio::time::sleep(Duration::from_secs(600)).await;
    let to_move = astray(&nodes[0].1).await as u64;
    assert!(to_move > 10);
    let some = nodes[1].1.rebalance_plan(4).await;
    assert_eq!((some.moves.len(), some.more), (4, true));
    assert_eq!(some.to_string().lines().count(), 5);

    let mut moved = 0;
    for node in [1, 0, 1] {
        let rebalanced = nodes[node].1.rebalance(WITHIN).await.unwrap();
        assert_eq!(rebalanced.by.as_str(), "n1");
        assert!(rebalanced.more);
        assert_eq!(rebalanced.migrations.succeeded, 3);
        moved += 3;
    }
    assert_eq!(astray(&nodes[1].1).await as u64, to_move - moved);
    while astray(&nodes[1].1).await > 0 {
        nodes[1].1.trigger_rebalance();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let last = nodes[1].1.rebalance(WITHIN).await.unwrap();
    assert_eq!(last.migrations, jido_cluster::Migrations::default());
    assert!(!last.more);
    let stats = nodes[1].1.stats().await.unwrap();
    assert_eq!(stats.migrations.succeeded, to_move);
}

#[tokio::test(start_paused = true)]
async fn agents_that_are_parked_or_attached_move_and_stay_so() {
    let cluster = Cluster::new();
    let parks = |manager: ManagerBuilder<Counter>| asked(manager).park_after(EVERY);
    let mut nodes = vec![start(&cluster, "n1", parks).await];
    run_all(&nodes[0].1).await;
    let guard = nodes[0].1.attach("held").await.unwrap();
    while nodes[0].1.stats().await.unwrap().parked < KEYS as u64 {
        tokio::time::sleep(EVERY).await;
    }
    // One name after the other, until the attached agent is placed on the last.
    for i in 2.. {
        nodes.push(start(&cluster, &format!("n{i}"), parks).await);
        all_met(&nodes).await;
        let placed = nodes[0].1.owner("held").await.unwrap().placed.unwrap();
        if placed.as_str() != "n1" {
            break;
        }
    }
    let to_move = astray(&nodes[0].1).await as u64;
    let rebalanced = nodes[0].1.rebalance(WITHIN).await.unwrap();
    assert_eq!(rebalanced.migrations.succeeded, to_move);
    assert_eq!(astray(&nodes[0].1).await, 0);
    for i in 0..KEYS {
        let key = format!("key-{i}");
        assert_eq!(nodes[0].1.call(&key, Message::Get).await.unwrap(), 1);
    }
    // What keeps it awake has followed it: it outlives every time-out.
    let owner = nodes[0].1.owner("held").await.unwrap();
    assert_eq!(owner.owner, owner.placed);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert!(nodes[0].1.lookup("held").await.unwrap().is_some());
    assert!(nodes[0].1.lookup("key-1").await.unwrap().is_none());
    drop(guard);
}

#[tokio::test(start_paused = true)]
async fn values_out_of_their_range_are_refused_with_the_limit() {
    let cluster = Cluster::new();
    let node = cluster.node("n1").start().await.unwrap();
    let ms = Duration::from_millis;
    for (manager, what) in [
        (
            cluster.manager().rebalance_interval(ms(9)),
            "rebalance_interval is less than 10ms",
        ),
        (
            cluster.manager().max_migrations(0),
            "max_migrations is 0: it is 1 to 10000",
        ),
        (
            cluster.manager().max_migrations(10_001),
            "max_migrations is 10001: it is 1 to 10000",
        ),
    ] {
        let error = manager.start(&node).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(what), "{error}");
    }
}
