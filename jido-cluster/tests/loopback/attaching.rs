//! Guards that keep agents awake.

use std::time::Duration;

use jido_cluster::{Handle, Node};

use crate::harness::{Cluster, Counter, Message, eventually, key_on, met};

/// After how long agents hibernate here.
const IDLE: Duration = Duration::from_secs(3);

async fn nodes(cluster: &Cluster, count: usize) -> Vec<(Node, Handle<Counter>)> {
    let mut nodes = Vec::new();
    for i in 1..=count {
        let node = cluster.node(&format!("n{i}")).start().await.unwrap();
        let manager = cluster.manager().idle_timeout(IDLE).park_after(IDLE / 3);
        let handle = manager.start(&node).await.unwrap();
        nodes.push((node, handle));
    }
    for (node, _) in &nodes {
        met(node, count).await;
    }
    nodes
}

async fn runs(handle: &Handle<Counter>, key: &str) -> bool {
    handle.lookup(key).await.unwrap().is_some()
}

/// The epoch of the agent's activation: how often it was claimed.
async fn epoch(handle: &Handle<Counter>, key: &str) -> u64 {
    let reply = handle.request(key, Message::Get).send().await.unwrap();
    reply.epoch.0
}

#[tokio::test(start_paused = true)]
async fn an_attached_agent_stays_awake_until_the_last_guard_is_dropped() {
    let cluster = Cluster::new();
    let nodes = nodes(&cluster, 2).await;
    let key = key_on(&nodes[0].1, &nodes[1].0).await;
    for from in [0, 1] {
        let handle = &nodes[from].1;
        let first = handle.attach(&key).await.unwrap();
        let second = first.agent().attach().await.unwrap();
        let was = epoch(handle, &key).await;
        tokio::time::sleep(IDLE * 20).await;
        drop(first);
        tokio::time::sleep(IDLE * 20).await;
        assert!(runs(handle, &key).await);
        drop(second);
        // Its idle time begins with this.
        tokio::time::sleep(IDLE / 2).await;
        assert!(runs(handle, &key).await);
        assert_eq!(epoch(handle, &key).await, was);
        tokio::time::sleep(IDLE * 2).await;
        assert!(!runs(handle, &key).await);
    }
}

#[tokio::test(start_paused = true)]
async fn guards_of_different_nodes_hold_by_themselves() {
    let cluster = Cluster::new();
    let nodes = nodes(&cluster, 3).await;
    let key = key_on(&nodes[0].1, &nodes[1].0).await;
    let one = nodes[0].1.attach(&key).await.unwrap();
    let other = nodes[2].1.attach(&key).await.unwrap();
    tokio::time::sleep(IDLE * 5).await;
    drop(one);
    tokio::time::sleep(IDLE * 5).await;
    assert_eq!(epoch(&nodes[1].1, &key).await, 1);
    tokio::time::sleep(IDLE * 5).await;
    assert!(runs(&nodes[1].1, &key).await);
    drop(other);
    tokio::time::sleep(IDLE * 2).await;
    assert!(!runs(&nodes[1].1, &key).await);
}

#[tokio::test(start_paused = true)]
async fn a_guard_ends_with_the_node_that_held_it() {
    let cluster = Cluster::new();
    let nodes = nodes(&cluster, 2).await;
    let key = key_on(&nodes[0].1, &nodes[1].0).await;
    let held = nodes[0].1.attach(&key).await.unwrap();
    tokio::time::sleep(IDLE * 5).await;
    assert!(runs(&nodes[1].1, &key).await);
    cluster.network.disconnect(nodes[0].0.incarnation());
    met(&nodes[1].0, 1).await;
    tokio::time::sleep(IDLE * 2).await;
    // The guard has activated it on its own side of the cut, where it can't be looked for.
    assert_eq!(nodes[1].1.stats().await.unwrap().total, 0);
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_guard_follows_its_agent_to_where_it_moves() {
    let cluster = Cluster::new();
    let mut nodes = nodes(&cluster, 3).await;
    let key = key_on(&nodes[0].1, &nodes[1].0).await;
    let _held = nodes[0].1.attach(&key).await.unwrap();
    // Once in good order, and once not.
    nodes[1].0.drain().await;
    eventually(|| nodes[0].0.members().len() == 2).await;
    tokio::time::sleep(IDLE).await;
    let owner = nodes[0].1.owner(&key).await.unwrap().owner;
    let owner = owner.expect("it was activated again");
    assert_ne!(owner, nodes[1].0.me().name);
    let was = epoch(&nodes[0].1, &key).await;
    tokio::time::sleep(IDLE * 10).await;
    assert_eq!(epoch(&nodes[0].1, &key).await, was);

    let (node, _) = nodes.remove(2);
    cluster.network.disconnect(node.incarnation());
    eventually(|| nodes[0].0.members().len() == 1).await;
    tokio::time::sleep(IDLE).await;
    assert_eq!(
        nodes[0].1.owner(&key).await.unwrap().owner,
        Some(nodes[0].0.me().name)
    );
    let was = epoch(&nodes[0].1, &key).await;
    tokio::time::sleep(IDLE * 10).await;
    assert!(runs(&nodes[0].1, &key).await);
    assert_eq!(epoch(&nodes[0].1, &key).await, was);
}

#[tokio::test(start_paused = true)]
async fn an_attached_agent_that_was_stopped_wakes_again() {
    let cluster = Cluster::new();
    let nodes = nodes(&cluster, 2).await;
    let key = key_on(&nodes[0].1, &nodes[1].0).await;
    let held = nodes[0].1.attach(&key).await.unwrap();
    assert!(nodes[0].1.stop(&key).await.unwrap());
    tokio::time::sleep(IDLE).await;
    assert!(runs(&nodes[0].1, &key).await);
    drop(held);
    tokio::time::sleep(IDLE * 2).await;
    assert!(!runs(&nodes[0].1, &key).await);
}

#[tokio::test(start_paused = true)]
async fn an_attach_that_was_given_up_leaves_nothing_behind() {
    let cluster = Cluster::new();
    let nodes = nodes(&cluster, 2).await;
    let key = key_on(&nodes[0].1, &nodes[1].0).await;
    let attach = nodes[0].1.attach(&key);
    let cut_short = tokio::time::timeout(Duration::ZERO, attach).await;
    assert!(cut_short.is_err());
    tokio::time::sleep(IDLE * 3).await;
    assert!(!runs(&nodes[1].1, &key).await);
}

#[tokio::test(start_paused = true)]
async fn thousands_of_guards_take_few_messages_to_keep() {
    let cluster = Cluster::new();
    let nodes = nodes(&cluster, 2).await;
    let mut held = Vec::new();
    for i in 0..3_000 {
        // Long keys, so that they do not fit into one message.
        let key = format!("{}-{i}", "k".repeat(100));
        held.push(nodes[0].1.attach(&key).await.unwrap());
    }
    tokio::time::sleep(IDLE * 10).await;
    assert_eq!(nodes[0].1.stats().await.unwrap().total, 3_000);
    let page = nodes[0].1.keys(None, 4_000).await.unwrap();
    assert!(page.agents.iter().all(|agent| agent.epoch.0 == 1));
    drop(held);
    tokio::time::sleep(IDLE * 3).await;
    assert_eq!(nodes[0].1.stats().await.unwrap().total, 0);
}
