//! Nodes come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jido_cluster::{Durability, ErrorKind, Takeover};

use crate::harness::{Cluster, Message, eventually, key_on, met};

#[tokio::test(start_paused = true)]
async fn the_keys_of_a_lost_node_are_taken_over_with_all_that_was_acknowledged() {
    let cluster = Cluster::new();
    let nodes = cluster.start_many(3).await;
    for i in 0..60 {
        nodes[i % 3]
            .1
            .call(format!("key-{i}"), Message::Add(i as i64))
            .await
            .unwrap();
    }
    let lost = &nodes[1].0;
    cluster.network.disconnect(lost.incarnation());
    met(&nodes[0].0, 2).await;
    met(&nodes[2].0, 2).await;
    for i in 0..60 {
        let key = format!("key-{i}");
        let reply = nodes[0].1.request(&key, Message::Get).send().await.unwrap();
        assert_eq!(reply.value, i as i64);
        assert_ne!(reply.owner, lost.me().name);
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_was_cut_off_can_commit_nothing_any_more() {
    let cluster = Cluster::new();
    let nodes = cluster.start_many(2).await;
    let key = key_on(&nodes[0].1, &nodes[1].0).await;
    nodes[1].1.call(&key, Message::Add(1)).await.unwrap();
    cluster.network.disconnect(nodes[1].0.incarnation());
    met(&nodes[0].0, 1).await;
    met(&nodes[1].0, 1).await;
    assert_eq!(nodes[0].1.call(&key, Message::Add(10)).await.unwrap(), 11);
    // The old owner finds out that it was fenced, undoes what it did, and, alone as it
    // is, takes the key back from the node that is gone for it: nothing was lost.
    let reply = nodes[1].1.request(&key, Message::Add(100)).send().await;
    let reply = reply.unwrap();
    assert_eq!((reply.value, reply.epoch.0, reply.revision.0), (111, 3, 3));
}

#[tokio::test(start_paused = true)]
async fn an_owner_hears_that_it_is_none_any_more_once_the_other_node_is_back() {
    let cluster = Cluster::new();
    let [mine, theirs] = cluster.start_pair(Duration::from_secs(3)).await;
    let key = key_on(&theirs.1, &mine.0).await;
    mine.1.call(&key, Message::Add(1)).await.unwrap();
    let (a, b) = (mine.0.incarnation(), theirs.0.incarnation());
    cluster.network.cut(a, b);
    met(&mine.0, 1).await;
    met(&theirs.0, 1).await;
    assert_eq!(theirs.1.call(&key, Message::Add(10)).await.unwrap(), 11);
    // Nobody calls the former owner, by which it would find out.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(mine.1.stats().await.unwrap().total, 1);
    cluster.network.heal(a, b);
    met(&mine.0, 2).await;
    while mine.1.stats().await.unwrap().total > 1 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let reply = mine.1.request(&key, Message::Get).send().await.unwrap();
    assert_eq!((reply.value, reply.owner), (11, theirs.0.me().name));
}

#[tokio::test]
async fn after_lease_a_key_moves_when_the_lease_has_run_out_and_not_before() {
    let cluster = Cluster::new();
    let ttl = Duration::from_millis(1_500);
    let mut nodes = Vec::new();
    for name in ["n1", "n2"] {
        let node = cluster.node(name).lease_ttl(ttl).start().await.unwrap();
        let manager = cluster.manager().takeover(Takeover::AfterLease);
        let handle = manager.start(&node).await.unwrap();
        nodes.push((node, handle));
    }
    met(&nodes[0].0, 2).await;
    let key = key_on(&nodes[0].1, &nodes[1].0).await;
    nodes[0].1.call(&key, Message::Add(3)).await.unwrap();
    cluster.network.disconnect(nodes[1].0.incarnation());
    met(&nodes[0].0, 1).await;
    // The old owner's lease goes on as long as it renews.
    let early = nodes[0]
        .1
        .call_timeout(&key, Message::Get, ttl * 2)
        .await
        .unwrap_err();
    assert_eq!(early.kind(), ErrorKind::Timeout);
    assert_eq!(early.executed(), jido_cluster::Executed::No);
    nodes[1].0.halt().await;
    assert_eq!(nodes[0].1.call(&key, Message::Get).await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn keys_that_run_stay_where_they_are_when_a_node_joins() {
    let cluster = Cluster::new();
    let two = cluster.start_many(2).await;
    for i in 0..60 {
        two[0]
            .1
            .call(format!("key-{i}"), Message::Add(1))
            .await
            .unwrap();
    }
    let (node, third) = cluster.start("n3").await;
    met(&two[0].0, 3).await;
    met(&two[1].0, 3).await;
    met(&node, 3).await;
    let mut placed_on_third = 0;
    for i in 0..60 {
        let key = format!("key-{i}");
        for handle in [&third, &two[0].1, &two[1].1] {
            let reply = handle.request(&key, Message::Add(1)).send().await.unwrap();
            assert_eq!(reply.epoch.0, 1, "the activation is the one from before");
        }
        let ownership = third.owner(&key).await.unwrap();
        assert_ne!(ownership.owner.as_ref(), Some(&node.me().name));
        placed_on_third += usize::from(ownership.placed.as_ref() == Some(&node.me().name));
    }
    assert!(placed_on_third > 0);
    assert_eq!(third.stats().await.unwrap().total, 60);

    // Hibernated, a key goes where it is placed, whatever others remember.
    for i in 0..60 {
        let key = format!("key-{i}");
        assert!(third.stop(&key).await.unwrap());
        let reply = two[i % 2]
            .1
            .request(&key, Message::Get)
            .send()
            .await
            .unwrap();
        assert_eq!(reply.value, 4);
        assert_eq!(Some(reply.owner), third.owner(&key).await.unwrap().placed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_draining_node_hands_everything_over_without_a_failed_call() {
    let cluster = Cluster::new();
    let nodes = cluster.start_many(3).await;
    for i in 0..90 {
        nodes[0]
            .1
            .call(format!("key-{i}"), Message::Add(1))
            .await
            .unwrap();
    }
    let done = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..3)
        .map(|n| {
            let (handle, done) = (nodes[n].1.clone(), done.clone());
            tokio::spawn(async move {
                let mut calls = 0u64;
                // The draining node itself passes calls on until it has ended.
                while !done.load(Ordering::Relaxed) && (n != 1 || calls < 50) {
                    let key = format!("key-{}", calls % 90);
                    handle.call(&key, Message::Add(1)).await.unwrap();
                    calls += 1;
                    // A pause, for the paused clock to go on.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                calls
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(5)).await;
    nodes[1].0.drain().await;
    assert!(!nodes[1].0.ended().await, "it ended because it was told to");
    met(&nodes[0].0, 2).await;
    done.store(true, Ordering::Relaxed);
    let mut acknowledged = 90;
    for caller in callers {
        acknowledged += caller.await.unwrap() as i64;
    }
    let mut sum = 0;
    for i in 0..90 {
        let reply = nodes[0]
            .1
            .request(&format!("key-{i}"), Message::Get)
            .send()
            .await
            .unwrap();
        assert_ne!(reply.owner, nodes[1].0.me().name);
        sum += reply.value;
    }
    assert_eq!(sum, acknowledged);
    assert_eq!(nodes[0].1.stats().await.unwrap().total, 90);
}

#[tokio::test(start_paused = true)]
async fn with_hibernate_a_drain_saves_what_came_since() {
    let cluster = Cluster::new();
    let mut handles = Vec::new();
    for name in ["n1", "n2"] {
        let node = cluster.node(name).start().await.unwrap();
        let manager = cluster.manager().durability(Durability::Hibernate);
        let handle = manager.start(&node).await.unwrap();
        handles.push((node, handle));
    }
    met(&handles[0].0, 2).await;
    let key = key_on(&handles[0].1, &handles[1].0).await;
    let reply = handles[0]
        .1
        .request(&key, Message::Add(4))
        .send()
        .await
        .unwrap();
    assert_eq!(reply.revision.0, 0);
    handles[1].0.drain().await;
    eventually(|| handles[0].0.members().len() == 1).await;
    let reply = handles[0]
        .1
        .request(&key, Message::Get)
        .send()
        .await
        .unwrap();
    assert_eq!((reply.value, reply.revision.0), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn a_reference_still_works_after_its_agent_has_moved() {
    let cluster = Cluster::new();
    let nodes = cluster.start_many(2).await;
    let key = key_on(&nodes[0].1, &nodes[1].0).await;
    let agent = nodes[0].1.get(&key).await.unwrap();
    agent.call(Message::Add(1)).await.unwrap();
    nodes[1].0.drain().await;
    assert_eq!(agent.call(Message::Add(1)).await.unwrap(), 2);
    agent.send_message(Message::Add(1)).unwrap();
    assert_eq!(agent.call(Message::Get).await.unwrap(), 3);
}
