//! More agents than a node is to keep.

use std::time::Duration;

use jido_cluster::{Handle, ManagerBuilder, Node};

use crate::harness::{Cluster, Counter, Message};

async fn start(
    setup: impl FnOnce(ManagerBuilder<Counter>) -> ManagerBuilder<Counter>,
) -> (Node, Handle<Counter>) {
    let cluster = Cluster::new();
    let node = cluster.node("n1").start().await.unwrap();
    let manager = setup(cluster.manager().idle_timeout(None));
    let handle = manager.start(&node).await.unwrap();
    (node, handle)
}

async fn runs(handle: &Handle<Counter>, key: &str) -> bool {
    handle.lookup(key).await.unwrap().is_some()
}

/// Waits until no more than this many agents are here.
async fn at_most(handle: &Handle<Counter>, agents: u64) {
    tokio::time::timeout(Duration::from_secs(600), async {
        while handle.stats().await.unwrap().total > agents {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("too many stay");
}

#[tokio::test(start_paused = true)]
async fn beyond_the_capacity_the_least_recently_used_hibernate() {
    let (_node, handle) = start(|manager| manager.capacity(100)).await;
    let mut most = 0;
    for i in 0..400 {
        handle
            .call(format!("key-{i}"), Message::Add(i))
            .await
            .unwrap();
        // Used all the time, these are never the least recently used.
        for kept in 0..10 {
            let key = format!("kept-{kept}");
            handle.call(&key, Message::Add(1)).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        most = most.max(handle.stats().await.unwrap().total);
    }
    assert!(most <= 101, "{most} at a time");
    at_most(&handle, 100).await;
    for kept in 0..10 {
        let key = format!("kept-{kept}");
        let reply = handle.request(&key, Message::Get).send().await.unwrap();
        assert_eq!(
            (reply.value, reply.epoch.0),
            (400, 1),
            "it never hibernated"
        );
    }
    assert!(runs(&handle, "key-399").await);
    assert!(!runs(&handle, "key-0").await);
    let woken = handle.request("key-7", Message::Get).send().await.unwrap();
    assert_eq!((woken.value, woken.epoch.0), (7, 2));
}

#[tokio::test(start_paused = true)]
async fn parked_agents_count_as_those_that_run() {
    let setup = |manager: ManagerBuilder<Counter>| {
        manager.capacity(50).park_after(Duration::from_millis(100))
    };
    let (_node, handle) = start(setup).await;
    for i in 0..120 {
        handle
            .call(format!("key-{i}"), Message::Add(1))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    at_most(&handle, 50).await;
    assert!(!runs(&handle, "key-0").await);
    assert!(runs(&handle, "key-119").await);
    for i in 0..120 {
        let reply = handle.call(format!("key-{i}"), Message::Get).await;
        assert_eq!(reply.unwrap(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn agents_with_something_to_do_stay_whatever_the_capacity() {
    let (_node, handle) = start(|manager| manager.capacity(10)).await;
    let busy: Vec<_> = (0..20)
        .map(|i| {
            let handle = handle.clone();
            tokio::spawn(async move {
                let key = format!("busy-{i}");
                let slow = Message::Slow(3_000);
                handle.request(&key, slow).send().await.unwrap().epoch.0
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let held = handle.attach("attached").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    for i in 0..30 {
        handle
            .call(format!("key-{i}"), Message::Add(1))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // None but these are left, though they were used before all that have gone.
    at_most(&handle, 21).await;
    for i in 0..20 {
        assert!(runs(&handle, &format!("busy-{i}")).await);
    }
    assert!(runs(&handle, "attached").await);
    for task in busy {
        assert_eq!(task.await.unwrap(), 1);
    }
    let attached = held.agent().call(Message::Get).await.unwrap();
    assert_eq!(attached, 0);
    at_most(&handle, 10).await;
    assert!(runs(&handle, "attached").await);
    drop(held);
    for i in 0..10 {
        handle
            .call(format!("late-{i}"), Message::Add(1))
            .await
            .unwrap();
    }
    at_most(&handle, 10).await;
    assert!(!runs(&handle, "attached").await);
}

#[tokio::test(start_paused = true)]
async fn bytes_of_state_are_bounded_too() {
    // A counter's state has a header of 5 bytes, and about 10 more.
    let (_node, handle) = start(|manager| manager.capacity_bytes(600)).await;
    for i in 0..200 {
        handle
            .call(format!("key-{i}"), Message::Add(1))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    at_most(&handle, 60).await;
    assert!(handle.stats().await.unwrap().total >= 20);
}
