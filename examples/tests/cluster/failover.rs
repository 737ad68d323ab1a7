//! The owner is killed, and what it acknowledged is still there.

use std::collections::BTreeMap;
use std::time::Duration;

use jido_testkit::process::ProcessCluster;
use jido_testkit::process::ProcessClusterBuilder;

use crate::{PROGRAM, all_joined, cluster, inc_until_success};

#[tokio::test]
async fn the_next_call_finds_every_acknowledged_increment_once_the_session_is_gone() {
    the_owner_is_killed(cluster()).await;
}

#[tokio::test]
async fn the_next_call_finds_every_acknowledged_increment_once_the_lease_has_run_out() {
    the_owner_is_killed(ProcessCluster::builder(PROGRAM).shared_lmdb().args([
        "--takeover",
        "after-lease",
        "--lease-ttl",
        "5s",
    ]))
    .await;
}

async fn the_owner_is_killed(builder: ProcessClusterBuilder) {
    let mut cluster = builder.nodes(3).start().await.unwrap();
    all_joined(&cluster).await;
    let n1 = cluster.client("n1").unwrap();
    let mut before = BTreeMap::new();
    for number in 0..30 {
        let key = format!("failed-over-{number}");
        for _ in 0..=number % 5 {
            before.insert(key.clone(), n1.inc(&key).await.unwrap());
        }
    }
    let owned = before.values().filter(|reply| reply.owner == "n2").count();
    assert!(owned > 0, "{before:?}");

    cluster.kill("n2").await.unwrap();
    let n3 = cluster.client("n3").unwrap();
    for (key, before) in &before {
        let (after, unknown) = inc_until_success(&n3, key).await;
        let added = after.value - before.value;
        assert!(
            (1..=1 + unknown).contains(&added),
            "{before:?}, then {after:?}"
        );
        assert_ne!(after.owner, "n2");
        if before.owner == "n2" {
            assert!(after.epoch > before.epoch, "{before:?}, then {after:?}");
        }
    }
    assert_eq!(n3.stats().await.unwrap().total, before.len() as u64);
}

#[tokio::test]
async fn a_killed_node_comes_back_under_its_name() {
    let mut cluster = cluster().nodes(2).start().await.unwrap();
    all_joined(&cluster).await;
    let n1 = cluster.client("n1").unwrap();
    n1.inc("kept").await.unwrap();
    for _life in 0..3 {
        cluster.kill("n2").await.unwrap();
        cluster.restart("n2").await.unwrap();
        all_joined(&cluster).await;
        let n2 = cluster
            .client("n2")
            .unwrap()
            .with_timeout(Duration::from_secs(10));
        let before = n1.get("kept").await.unwrap();
        let (after, unknown) = inc_until_success(&n2, "kept").await;
        assert!((1..=1 + unknown).contains(&(after.value - before.value)));
    }
}
