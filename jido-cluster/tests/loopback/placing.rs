//! Keys are placed as the managers' policy says.

use std::collections::BTreeMap;

use jido_cluster::placement::{Candidate, Placement, PlacementPolicy, ZoneAware};
use jido_cluster::{Handle, Node};

use crate::harness::{Cluster, Counter, Message, met};

/// Three nodes in zones `a`, `b` and `b`.
async fn zoned(
    cluster: &Cluster,
    policy: impl PlacementPolicy + Clone,
) -> Vec<(Node, Handle<Counter>)> {
    let mut nodes = Vec::new();
    for (name, zone, weight) in [("n1", "a", 100), ("n2", "b", 100), ("n3", "b", 400)] {
        let node = cluster.node(name).zone(zone).weight(weight);
        let node = node.start().await.unwrap();
        let manager = cluster.manager().placement(policy.clone());
        let handle = manager.start(&node).await.unwrap();
        nodes.push((node, handle));
    }
    for (node, _) in &nodes {
        met(node, 3).await;
    }
    nodes
}

/// How many of 100 keys run where.
async fn spread(handles: &[&Handle<Counter>]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for i in 0..100 {
        let handle = handles[i % handles.len()];
        let key = format!("key-{i}");
        let reply = handle.request(&key, Message::Add(1)).send().await.unwrap();
        assert_eq!(
            handle.owner(&key).await.unwrap().placed.as_ref(),
            Some(&reply.owner)
        );
        *counts.entry(reply.owner.as_str().to_owned()).or_insert(0) += 1;
    }
    counts
}

#[tokio::test(start_paused = true)]
async fn keys_go_to_the_zone_that_is_preferred_by_weight_and_elsewhere_without_it() {
    let cluster = Cluster::new();
    let mut nodes = zoned(&cluster, ZoneAware::in_order(["b"])).await;
    let counts = spread(&[&nodes[0].1, &nodes[1].1, &nodes[2].1]).await;
    assert_eq!(counts.get("n1"), None);
    // 80 of 100 are expected on n3, with a standard deviation of 4.
    assert!((60..95).contains(&counts["n3"]), "{counts:?}");
    for (node, _) in nodes.drain(1..) {
        node.drain().await;
    }
    met(&nodes[0].0, 1).await;
    assert_eq!(
        spread(&[&nodes[0].1]).await,
        [("n1".to_owned(), 100)].into()
    );
}

/// Panics for some keys, and names a candidate that there is not for others.
#[derive(Debug, Clone)]
struct Careless;

impl PlacementPolicy for Careless {
    fn among(&self, _candidates: &[Candidate]) -> Box<dyn Placement> {
        Box::new(|key: &str, _| match key.len() {
            5 => panic!("as asked"),
            _ => 1_000,
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_fails_takes_no_node_down_and_no_key_away() {
    let cluster = Cluster::new();
    let nodes = zoned(&cluster, Careless).await;
    let counts = spread(&[&nodes[0].1, &nodes[1].1, &nodes[2].1]).await;
    assert_eq!(counts.values().sum::<u64>(), 100);
    assert_eq!(counts.len(), 3);
    assert_eq!(nodes[0].1.stats().await.unwrap().total, 100);
}
