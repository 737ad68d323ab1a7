//! One activation a key, wherever it is called from.

use std::collections::{BTreeMap, BTreeSet};

use jido_testkit::process::Stats;
use tokio::task::JoinSet;

use crate::{all_joined, cluster, key_on};

#[tokio::test]
async fn nodes_that_race_to_create_a_key_get_one_activation() {
    let cluster = cluster().nodes(2).start().await.unwrap();
    all_joined(&cluster).await;
    const KEYS: usize = 20;
    const CALLS: i64 = 6;
    for number in 0..KEYS {
        let key = format!("raced-{number}");
        let mut calls = JoinSet::new();
        for call in 0..CALLS {
            let client = cluster.nodes()[call as usize % 2].client().clone();
            let key = key.clone();
            calls.spawn(async move { client.inc(&key).await });
        }
        let replies: Vec<_> = calls
            .join_all()
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let values: BTreeSet<i64> = replies.iter().map(|reply| reply.value).collect();
        assert_eq!(values, (1..=CALLS).collect(), "{replies:?}");
        let activations: BTreeSet<_> = replies
            .iter()
            .map(|reply| (reply.owner.clone(), reply.epoch))
            .collect();
        assert_eq!(activations.len(), 1, "{replies:?}");
    }
    for node in cluster.nodes() {
        let stats = node.client().stats().await.unwrap();
        assert_eq!(stats.total, KEYS as u64, "{stats:?}");
    }
}

#[tokio::test]
async fn calls_cross_nodes_and_all_see_one_counter() {
    let cluster = cluster().nodes(3).start().await.unwrap();
    all_joined(&cluster).await;
    let n1 = cluster.client("n1").unwrap();
    let key = key_on("n2", "crossed", &n1).await.unwrap();
    let mut count = 0;
    for _ in 0..5 {
        for node in cluster.nodes() {
            let reply = node.client().inc(&key).await.unwrap();
            count += 1;
            assert_eq!(
                (reply.value, reply.node.as_str()),
                (count, node.name()),
                "{reply:?}"
            );
            assert_eq!(reply.owner, "n2", "{reply:?}");
        }
    }
    for node in cluster.nodes() {
        assert_eq!(node.client().get(&key).await.unwrap().value, count);
    }
}

#[tokio::test]
async fn casts_cross_nodes_and_are_seen_by_the_next_call() {
    let cluster = cluster().nodes(3).start().await.unwrap();
    all_joined(&cluster).await;
    let n1 = cluster.client("n1").unwrap();
    let key = key_on("n3", "cast", &n1).await.unwrap();
    let path = format!("/demo/keys/{key}/cast");
    let mut count = 0;
    for round in 0..5 {
        for (at, node) in cluster.nodes().iter().enumerate() {
            let (status, body) = node.client().raw("POST", &path, None).await.unwrap();
            assert_eq!(status, 202, "{body}");
            count += 1;
            // It was taken, so that whoever calls then comes after it.
            let other = &cluster.nodes()[(at + round) % 3];
            let reply = other.client().get(&key).await.unwrap();
            assert_eq!(
                (reply.value, reply.owner.as_str()),
                (count, "n3"),
                "{reply:?}"
            );
        }
    }
    let (status, body) = n1.raw("POST", &format!("{path}?by=x"), None).await.unwrap();
    assert_eq!(status, 400, "{body}");
}

#[tokio::test]
async fn every_node_computes_the_same_owner() {
    let cluster = cluster().nodes(3).start().await.unwrap();
    all_joined(&cluster).await;
    let mut placed: BTreeMap<String, u32> = BTreeMap::new();
    for number in 0..60 {
        let key = format!("owned-{number}");
        let mut owners = BTreeSet::new();
        for node in cluster.nodes() {
            let owner = node.client().owner(&key).await.unwrap();
            assert_eq!(owner.node, node.name());
            assert_eq!(owner.placed.as_ref(), Some(&owner.owner));
            owners.insert(owner.owner);
        }
        assert_eq!(owners.len(), 1, "{key}: {owners:?}");
        *placed.entry(owners.pop_first().unwrap()).or_default() += 1;
    }
    // 20 each are to be expected; that one gets less than 6 has a chance of 1 in 50,000.
    assert!(
        placed.len() == 3 && placed.values().all(|keys| *keys >= 6),
        "{placed:?}"
    );
}

#[tokio::test]
async fn stop_hibernates_and_the_next_call_thaws() {
    let cluster = cluster().nodes(2).start().await.unwrap();
    all_joined(&cluster).await;
    let (n1, n2) = (cluster.client("n1").unwrap(), cluster.client("n2").unwrap());
    let key = key_on("n2", "slept", &n1).await.unwrap();
    for _ in 0..3 {
        n1.inc(&key).await.unwrap();
    }
    let before = n1.get(&key).await.unwrap();
    let running = |stats: Stats| (stats.total, stats.by_node.get("n2").copied().unwrap_or(0));
    assert_eq!(running(n1.stats().await.unwrap()), (1, 1));

    assert!(n1.stop(&key).await.unwrap());
    assert!(!n2.stop(&key).await.unwrap());
    assert_eq!(running(n1.stats().await.unwrap()), (0, 0));

    let after = n1.inc(&key).await.unwrap();
    assert_eq!(after.value, before.value + 1);
    assert!(
        after.epoch > before.epoch && after.revision > before.revision,
        "{after:?}"
    );
    assert_eq!(running(n2.stats().await.unwrap()), (1, 1));
}
