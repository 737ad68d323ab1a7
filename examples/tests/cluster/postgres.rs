//! Nodes on Postgres: the owner is killed, the server is stopped, and what was
//! acknowledged is there.

use std::collections::BTreeMap;

use jido_testkit::postgres::{Shutdown, TemporaryPostgres};
use jido_testkit::process::ProcessCluster;

use crate::{PROGRAM, all_joined, inc_until_success};

#[tokio::test]
async fn a_killed_node_and_a_crashed_server_lose_no_acknowledged_increment() {
    let mut postgres = TemporaryPostgres::builder().own().start().await.unwrap();
    let builder = ProcessCluster::builder(PROGRAM)
        .nodes(3)
        .storage(postgres.url())
        .args(["--takeover", "on-disconnect", "--lease-ttl", "5s"]);
    let mut cluster = builder.start().await.unwrap();
    all_joined(&cluster).await;
    let n1 = cluster.client("n1").unwrap();
    let mut before = BTreeMap::new();
    for number in 0..12 {
        let key = format!("kept-{number}");
        for _ in 0..=number % 3 {
            before.insert(key.clone(), n1.inc(&key).await.unwrap());
        }
    }
    let owned = before.values().filter(|reply| reply.owner == "n2").count();
    assert!(owned > 0, "{before:?}");

    cluster.kill("n2").await.unwrap();
    let n3 = cluster.client("n3").unwrap();
    let mut then = BTreeMap::new();
    for (key, before) in &before {
        let (after, unknown) = inc_until_success(&n3, key).await;
        let added = after.value - before.value;
        assert!(
            (1..=1 + unknown).contains(&added),
            "{before:?}, then {after:?}"
        );
        assert_ne!(after.owner, "n2");
        then.insert(key.clone(), after);
    }

    postgres.stop(Shutdown::Immediate).await.unwrap();
    postgres.start_again().await.unwrap();
    for (key, before) in &then {
        let (after, unknown) = inc_until_success(&n3, key).await;
        let added = after.value - before.value;
        assert!(
            (1..=1 + unknown).contains(&added),
            "{before:?}, then {after:?}"
        );
    }
    assert_eq!(n3.stats().await.unwrap().total, before.len() as u64);
    let password = postgres.url().split([':', '@']).nth(2).unwrap();
    for node in cluster.nodes() {
        let log = node.log().text().unwrap();
        assert!(!log.contains(password), "{log}");
    }
}
