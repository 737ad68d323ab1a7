//! A node that leaves with many agents.

use std::time::Duration;

use futures_util::future::join_all;
use jido_cluster::{Durability, Handle, Node};

use crate::counting::counting;
use crate::harness::{Cluster, Counter, Message, met};

const AGENTS: usize = 10_000;

/// How many agents hibernate at a time, as `Node::drain` says.
const AT_ONCE: usize = 64;

async fn start(cluster: &Cluster, name: &str) -> (Node, Handle<Counter>) {
    let node = cluster.node(name).start().await.unwrap();
    // So that every agent has something to write when it goes.
    let manager = cluster.manager().durability(Durability::Hibernate);
    let handle = manager.start(&node).await.unwrap();
    (node, handle)
}

#[tokio::test(start_paused = true)]
async fn thousands_of_agents_go_a_bounded_number_at_a_time_and_no_call_fails() {
    let (storage, counts) = counting();
    let cluster = Cluster::on(storage);
    let (leaves, here) = start(&cluster, "n1").await;
    let patient = Duration::from_secs(60);
    let calls = (0..AGENTS).map(|i| {
        let (handle, key) = (here.clone(), format!("key-{i}"));
        async move { handle.call_timeout(&key, Message::Add(1), patient).await }
    });
    for value in join_all(calls).await {
        assert_eq!(value.unwrap(), 1);
    }
    assert_eq!(counts.of(|c| &c.commits), 0);
    assert_eq!(leaves.drain_progress(), []);
    let (stays, there) = start(&cluster, "n2").await;
    met(&stays, 2).await;
    met(&leaves, 2).await;

    let ends = tokio::spawn({
        let leaves = leaves.clone();
        async move { leaves.drain().await }
    });
    let (mut seen, mut called) = (Vec::new(), 0);
    while !ends.is_finished() {
        if let [progress] = &leaves.drain_progress()[..] {
            assert_eq!(progress.manager.as_str(), "counters");
            seen.push((progress.moved, progress.left));
        }
        // Some that have gone, and some that have not.
        let key = format!("key-{}", (called * 37) % AGENTS);
        let handle = [&here, &there][called % 2];
        handle.call(&key, Message::Get).await.unwrap();
        called += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    ends.await.unwrap();
    assert_eq!(counts.of(|c| &c.most_committing), AT_ONCE);
    assert!(
        seen.is_sorted_by(|a, b| a.0 <= b.0 && a.1 >= b.1),
        "{seen:?}"
    );
    let on_the_way = seen.iter().filter(|(moved, left)| *moved > 0 && *left > 0);
    assert!(on_the_way.count() > 10, "{seen:?}");
    assert_eq!(seen.last().unwrap(), &(AGENTS, 0));
    assert_eq!(leaves.drain_progress(), []);
    assert_eq!(there.stats().await.unwrap().by_node.len(), 1);
    for i in (0..AGENTS).step_by(97) {
        let reply = there
            .request(&format!("key-{i}"), Message::Add(1))
            .send()
            .await
            .unwrap();
        assert_eq!((reply.value, reply.owner.as_str()), (2, "n2"));
    }
}
