//! Starting nodes and managers, and refusing to.

use std::time::Duration;

use jido_cluster::storage::MemoryStorage;
use jido_cluster::{ErrorKind, InstanceManager, Labels};

use crate::harness::{Cluster, Counter, Message, eventually, met};

#[tokio::test]
async fn a_second_node_of_a_name_that_is_up_is_refused() {
    let cluster = Cluster::new();
    let ttl = Duration::from_millis(1_500);
    let first = cluster.node("n1").lease_ttl(ttl).start().await.unwrap();
    let handle = cluster.manager().start(&first).await.unwrap();
    let second = cluster.node("n1").lease_ttl(ttl).start().await.unwrap();
    let error = cluster.manager().start(&second).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Startup);
    assert!(error.to_string().contains("n1 is up already"), "{error}");
    second.halt().await;
    assert_eq!(handle.call("a", Message::Add(1)).await.unwrap(), 1);

    // Its former life over, the name is free again: at once when it was drained.
    first.drain().await;
    let third = cluster
        .node("n1")
        .lease_ttl(Duration::from_secs(600))
        .start()
        .await
        .unwrap();
    let handle = cluster.manager().start(&third).await.unwrap();
    assert_eq!(handle.call("a", Message::Get).await.unwrap(), 1);
}

#[tokio::test]
async fn a_node_that_crashed_comes_back_when_its_former_lease_has_run_out() {
    let cluster = Cluster::new();
    let ttl = Duration::from_millis(300);
    let node = cluster.node("n1").lease_ttl(ttl).start().await.unwrap();
    let handle = cluster.manager().start(&node).await.unwrap();
    handle.call("a", Message::Add(1)).await.unwrap();
    node.halt().await;
    let again = cluster.node("n1").lease_ttl(ttl).start().await.unwrap();
    let handle = cluster.manager().start(&again).await.unwrap();
    assert_eq!(handle.call("a", Message::Add(1)).await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn values_that_are_refused_name_the_field_and_the_limit() {
    let cluster = Cluster::new();
    for (builder, word) in [
        (cluster.node(""), "node name"),
        (cluster.node("a b"), "node name"),
        (cluster.node("n1").cluster(""), "cluster name"),
        (
            cluster.node("n1").lease_ttl(Duration::from_millis(1)),
            "lease_ttl",
        ),
        (cluster.node("n1").zone("a b"), "zone \"a b\""),
        (
            cluster.node("n1").region(""),
            "region has 0 bytes: it has 1 to 128",
        ),
        (cluster.node("n1").version("1/2"), "version"),
        (
            cluster.node("n1").weight(0),
            "weight is 0: it is 1 to 10000",
        ),
    ] {
        let error = builder.start().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(word), "{error}");
    }
    let node = cluster.node("n1").start().await.unwrap();
    for (manager, word) in [
        (InstanceManager::<Counter>::builder("counters"), "storage"),
        (
            InstanceManager::<Counter>::builder("/").storage(MemoryStorage::new()),
            "manager name",
        ),
        (cluster.manager().mailbox_limit(0), "mailbox_limit"),
        (
            cluster.manager().concurrent_activations(0),
            "concurrent_activations",
        ),
        (
            cluster.manager().idle_timeout(Duration::ZERO),
            "idle_timeout",
        ),
        (
            cluster.manager().park_after(Duration::from_secs(15 * 60)),
            "park_after is no less than idle_timeout",
        ),
    ] {
        let error = manager.start(&node).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(word), "{error}");
    }
    let any = cluster.manager().concurrent_activations(usize::MAX);
    any.start(&node).await.unwrap();
    let error = cluster.manager().start(&node).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Startup);
    assert!(error.to_string().contains("counters already"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_node_gets_keys_when_its_manager_has_started_and_not_before() {
    let cluster = Cluster::new();
    let (node, handle) = cluster.start("n1").await;
    let bare = cluster.node("n2").start().await.unwrap();
    eventually(|| node.members().len() == 2).await;
    for i in 0..50 {
        let reply = handle
            .request(&format!("early-{i}"), Message::Add(1))
            .send()
            .await
            .unwrap();
        assert_eq!(reply.owner, node.me().name);
    }
    cluster.manager().start(&bare).await.unwrap();
    met(&node, 2).await;
    let mut elsewhere = 0;
    for i in 0..50 {
        let reply = handle
            .request(&format!("late-{i}"), Message::Add(1))
            .send()
            .await
            .unwrap();
        elsewhere += usize::from(reply.owner == bare.me().name);
    }
    assert!(elsewhere > 0);
}

#[tokio::test(start_paused = true)]
async fn storage_that_is_not_shared_keeps_a_key_on_the_node_that_runs_it() {
    let cluster = Cluster::new();
    let mut nodes = Vec::new();
    for name in ["n1", "n2"] {
        let node = cluster.node(name).start().await.unwrap();
        let manager = InstanceManager::<Counter>::builder("counters").storage(MemoryStorage::new());
        let handle = manager.start(&node).await.unwrap();
        nodes.push((node, handle));
    }
    met(&nodes[0].0, 2).await;
    met(&nodes[1].0, 2).await;
    for i in 0..30 {
        nodes[i % 2]
            .1
            .call(format!("key-{i}"), Message::Add(1))
            .await
            .unwrap();
    }
    let node = cluster.node("n3").start().await.unwrap();
    let manager = InstanceManager::<Counter>::builder("counters").storage(MemoryStorage::new());
    let third = manager.start(&node).await.unwrap();
    met(&node, 3).await;
    met(&nodes[0].0, 3).await;
    for i in 0..30 {
        let key = format!("key-{i}");
        assert_eq!(third.call(&key, Message::Get).await.unwrap(), 1);
        assert_eq!(nodes[0].1.call(&key, Message::Add(1)).await.unwrap(), 2);
    }
    assert_eq!(third.stats().await.unwrap().by_node[&node.me().name], 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_node_says_about_itself_is_seen_by_others_and_stands_in_its_record() {
    let cluster = Cluster::new();
    let plain = cluster.start("n1").await;
    let node = cluster.node("n2").zone("z1").region("eu").version("1.2.3");
    let node = node.weight(250).start().await.unwrap();
    let _handle = cluster.manager().start(&node).await.unwrap();
    met(&plain.0, 2).await;
    met(&node, 2).await;
    let mine = node.me().labels;
    assert_eq!(mine.zone(), Some("z1"));
    assert_eq!((mine.region(), mine.version()), (Some("eu"), Some("1.2.3")));
    assert_eq!(mine.weight(), 250);
    for seen in [plain.0.members(), node.members()] {
        assert_eq!(seen[0].labels, Labels::default());
        assert_eq!(seen[1].labels, mine);
    }
    let records = cluster.storage.nodes(plain.0.cluster()).await.unwrap();
    let record = records.iter().find(|record| record.name.as_str() == "n2");
    let metadata = &record.unwrap().metadata;
    let said = ["zone", "region", "version", "weight"].map(|name| metadata[name].as_str());
    assert_eq!(said, ["z1", "eu", "1.2.3", "250"]);
}
