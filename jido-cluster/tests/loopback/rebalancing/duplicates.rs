//! Agents that run twice, and agents that can't be moved.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jido_cluster::storage::MemoryStorage;
use jido_cluster::{ManagerBuilder, MigrationReason};

use super::{WITHIN, all_met, start};
use crate::harness::{Cluster, Counter, Message, met};

/// Two clusters on one network whose nodes see different records.
pub(super) fn apart() -> (Cluster, Cluster) {
    let one = Cluster::on(Arc::new(MemoryStorage::new()));
    let other = Cluster {
        storage: Arc::new(MemoryStorage::new()),
        ..one.clone()
    };
    (one, other)
}

fn asked(manager: ManagerBuilder<Counter>) -> ManagerBuilder<Counter> {
    manager.rebalance_interval(None).max_migrations(1_000)
}

#[tokio::test(start_paused = true)]
async fn agents_whose_records_the_new_node_does_not_see_are_left_where_they_are() {
    let (one, other) = apart();
    let mut nodes = vec![start(&one, "n1", asked).await];
    for i in 0..20 {
        let call = nodes[0].1.call(format!("key-{i}"), Message::Add(1));
        call.await.unwrap();
    }
    nodes.push(start(&other, "n2", asked).await);
    all_met(&nodes).await;
    let plan = nodes[1].1.rebalance_plan(100).await;
    assert!(!plan.moves.is_empty());
    let rebalanced = nodes[1].1.rebalance(WITHIN).await.unwrap();
    let left = plan.moves.len() as u64;
    assert_eq!(rebalanced.migrations.skipped, left);
    assert_eq!(rebalanced.migrations.storage_not_shared, left);
    assert_eq!(rebalanced.migrations.succeeded, 0);
    let stats = nodes[1].1.stats().await.unwrap();
    assert_eq!(stats.migrations.storage_not_shared, left);
    assert_eq!(stats.by_node.values().copied().collect::<Vec<_>>(), [20, 0]);
}

/// One that can't be moved must not keep others from their turn.
#[tokio::test(start_paused = true)]
async fn each_time_the_next_keys_have_their_turn() {
    let (one, other) = apart();
    let first = |manager| asked(manager).max_migrations(1);
    let mut nodes = vec![start(&one, "n1", first).await];
    for i in 0..30 {
        let call = nodes[0].1.call(format!("key-{i}"), Message::Add(1));
        call.await.unwrap();
    }
    // This one sees the records of the first, and that one doesn't.
    nodes.push(start(&other, "n2", first).await);
    nodes.push(start(&one, "n3", first).await);
    all_met(&nodes).await;
    let plan = nodes[0].1.rebalance_plan(100).await;
    let to = |name: &str| plan.moves.iter().filter(|m| m.to.as_str() == name).count() as u64;
    assert!(to("n2") > 0 && to("n3") > 0, "{plan}");
    for _ in 0..plan.moves.len() {
        nodes[2].1.rebalance(WITHIN).await.unwrap();
    }
    let done = nodes[0].1.stats().await.unwrap().migrations;
    assert_eq!(
        (done.succeeded, done.storage_not_shared),
        (to("n3"), to("n2"))
    );
}

#[tokio::test(start_paused = true)]
async fn of_duplicates_the_one_on_the_placed_node_stays() {
    let (one, other) = apart();
    let nodes = [
        start(&one, "n1", asked).await,
        start(&other, "n2", asked).await,
    ];
    all_met(&nodes).await;
    one.network
        .cut(nodes[0].0.incarnation(), nodes[1].0.incarnation());
    met(&nodes[0].0, 1).await;
    met(&nodes[1].0, 1).await;
    for i in 0..20 {
        for (n, (_, handle)) in nodes.iter().enumerate() {
            let by = 1 + 10 * n as i64;
            handle
                .call(format!("key-{i}"), Message::Add(by))
                .await
                .unwrap();
        }
    }
    one.network
        .heal(nodes[0].0.incarnation(), nodes[1].0.incarnation());
    all_met(&nodes).await;
    assert_eq!(nodes[0].1.stats().await.unwrap().total, 40);
    let rebalanced = nodes[1].1.rebalance(WITHIN).await.unwrap();
    assert_eq!(rebalanced.migrations.succeeded, 20);
    assert_eq!(rebalanced.migrations.duplicates, 20);
    assert_eq!(nodes[0].1.stats().await.unwrap().total, 20);
    for i in 0..20 {
        let key = format!("key-{i}");
        let values: BTreeSet<i64> = [
            nodes[0].1.call(&key, Message::Get).await.unwrap(),
            nodes[1].1.call(&key, Message::Get).await.unwrap(),
        ]
        .into();
        let placed = nodes[0].1.owner(&key).await.unwrap().placed.unwrap();
        let kept = if placed.as_str() == "n1" { 1 } else { 11 };
        assert_eq!(values, [kept].into(), "{key} on {placed}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_duplicates_that_are_placed_on_none_of_their_nodes_that_of_the_smallest_name_stays() {
    let (one, other) = apart();
    let third = Cluster {
        storage: Arc::new(MemoryStorage::new()),
        ..one.clone()
    };
    let mut nodes = vec![
        start(&one, "n1", asked).await,
        start(&other, "n2", asked).await,
    ];
    all_met(&nodes).await;
    let (a, b) = (nodes[0].0.incarnation(), nodes[1].0.incarnation());
    one.network.cut(a, b);
    met(&nodes[0].0, 1).await;
    met(&nodes[1].0, 1).await;
    for i in 0..20 {
        for (_, handle) in &nodes {
            handle
                .call(format!("key-{i}"), Message::Add(1))
                .await
                .unwrap();
        }
    }
    nodes.push(start(&third, "n3", asked).await);
    one.network.heal(a, b);
    all_met(&nodes).await;
    let plan = nodes[2].1.rebalance_plan(100).await;
    let none: Vec<_> = plan
        .moves
        .iter()
        .filter(|one| one.to.as_str() == "n1" && one.reason == MigrationReason::Duplicate)
        .collect();
    assert!(!none.is_empty(), "{plan}");
    nodes[2].1.rebalance(WITHIN).await.unwrap();
    let after = nodes[2].1.stats().await.unwrap();
    assert_eq!(after.total, 20, "{after:?}");
    assert_eq!(after.by_node.values().last(), Some(&0));
    assert_eq!(after.migrations.duplicates, 20);
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_over_ends_by_itself_and_leaves_nothing_to_move() {
    let cluster = Cluster::new();
    let mut nodes = vec![start(&cluster, "n1", asked).await];
    for i in 0..20 {
        let call = nodes[0].1.call(format!("key-{i}"), Message::Add(1));
        call.await.unwrap();
    }
    nodes.push(start(&cluster, "n2", asked).await);
    all_met(&nodes).await;
    let (a, b) = (nodes[0].0.incarnation(), nodes[1].0.incarnation());
    let plan = nodes[0].1.rebalance_plan(100).await;
    cluster.network.cut(a, b);
    met(&nodes[1].0, 1).await;
    for migration in &plan.moves {
        // Taken over, since the session is gone.
        let taken = nodes[1].1.call(migration.key.as_str(), Message::Add(1));
        assert_eq!(taken.await.unwrap(), 2);
    }
    cluster.network.heal(a, b);
    all_met(&nodes).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(nodes[0].1.stats().await.unwrap().total, 20);
    assert_eq!(nodes[0].1.rebalance_plan(100).await.moves, []);
    for migration in &plan.moves {
        let reply = nodes[0].1.request(migration.key.as_str(), Message::Get);
        let reply = reply.send().await.unwrap();
        assert_eq!((reply.value, &reply.owner), (2, &migration.to));
    }
}
