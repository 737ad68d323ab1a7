//! Nodes that join.

use jido_testkit::process::{DemoClient, ProcessCluster, Stats};

use crate::{all_joined, cluster, eventually};

async fn inc_all(client: &DemoClient, keys: std::ops::Range<u32>) {
    for number in keys {
        client.inc(&format!("joined-{number}")).await.unwrap();
    }
}

/// The answer that all nodes agree on, once they do.
async fn agreed_stats(cluster: &ProcessCluster) -> Stats {
    eventually("all nodes count the same", || async {
        let mut all = Vec::new();
        for node in cluster.nodes() {
            all.push(
                node.client()
                    .stats()
                    .await
                    .map_err(|error| error.to_string())?,
            );
        }
        let first = all[0].clone();
        if all.iter().all(|stats| *stats == first) {
            Ok(first)
        } else {
            Err(format!("{all:?}"))
        }
    })
    .await
}

#[tokio::test]
async fn a_third_node_joins_and_stats_stay_right() {
    let mut cluster = cluster().nodes(2).start().await.unwrap();
    all_joined(&cluster).await;
    let n1 = cluster.client("n1").unwrap();
    inc_all(&n1, 0..30).await;
    let stats = agreed_stats(&cluster).await;
    assert_eq!(
        (stats.total, stats.by_node.values().sum()),
        (30, 30),
        "{stats:?}"
    );

    let name = cluster.add().await.unwrap();
    assert_eq!(name, "n3");
    all_joined(&cluster).await;
    assert_eq!(agreed_stats(&cluster).await.total, 30);

    // The keys of before go on counting from where they were, also through the new
    // node, and new ones are placed on it.
    let n3 = cluster.client("n3").unwrap();
    for number in 0..30 {
        assert_eq!(n3.inc(&format!("joined-{number}")).await.unwrap().value, 2);
    }
    inc_all(&n3, 30..90).await;
    let stats = agreed_stats(&cluster).await;
    assert_eq!(
        (stats.total, stats.by_node.values().sum()),
        (90, 90),
        "{stats:?}"
    );
    assert!(stats.by_node["n3"] > 0, "{stats:?}");
}
