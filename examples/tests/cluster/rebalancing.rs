//! Counters that run elsewhere than they are placed are moved.

use jido_testkit::process::{DemoClient, ProcessCluster};

use crate::{all_joined, cluster, eventually};

const KEYS: usize = 40;

/// Two nodes with counters, and a third that has joined then.
async fn grown(args: &[&str]) -> ProcessCluster {
    let builder = cluster().args(args.iter().copied());
    let mut cluster = builder.nodes(2).start().await.unwrap();
    all_joined(&cluster).await;
    let n1 = cluster.client("n1").unwrap();
    for number in 0..KEYS {
        assert_eq!(n1.inc(&format!("moved-{number}")).await.unwrap().value, 1);
    }
    cluster.add().await.unwrap();
    all_joined(&cluster).await;
    cluster
}

/// Waits until no counter runs elsewhere than it is placed, and looks that none was lost.
async fn all_are_placed(client: &DemoClient) {
    eventually("all counters run where they are placed", || async {
        let plan = client.rebalance_plan().await.map_err(|e| e.to_string())?;
        match plan.moves.is_empty() && plan.unanswered.is_empty() {
            true => Ok(()),
            false => Err(format!("{plan:?}")),
        }
    })
    .await;
    for number in 0..KEYS {
        let reply = client.get(&format!("moved-{number}")).await.unwrap();
        assert_eq!(reply.value, 1);
        let owner = client.owner(&reply.key).await.unwrap();
        assert_eq!(Some(reply.owner), owner.placed);
    }
    let stats = client.stats().await.unwrap();
    assert_eq!(stats.total, KEYS as u64);
    assert!(stats.by_node["n3"] > 0, "{stats:?}");
}

#[tokio::test]
async fn counters_move_to_a_node_that_joins_by_themselves() {
    let cluster = grown(&["--rebalance-interval", "100ms", "--max-migrations", "3"]).await;
    all_are_placed(&cluster.client("n2").unwrap()).await;
}

#[tokio::test]
async fn what_would_move_is_told_and_moves_when_it_is_asked_for() {
    let cluster = grown(&["--rebalance-interval", "1d", "--max-migrations", "1000"]).await;
    let n2 = cluster.client("n2").unwrap();
    let plan = eventually("the third node is known to run counters", || async {
        let plan = n2.rebalance_plan().await.map_err(|e| e.to_string())?;
        let to_third = plan.moves.iter().all(|one| one.to == "n3");
        match !plan.moves.is_empty() && to_third && !plan.more {
            true => Ok(plan),
            false => Err(format!("{plan:?}")),
        }
    })
    .await;
    let done = n2.rebalance().await.unwrap();
    assert_eq!(done.by, "n1");
    let ends = (done.succeeded, done.failed, done.skipped);
    assert_eq!(ends, (plan.moves.len() as u64, 0, 0), "{done:?}");
    all_are_placed(&n2).await;
}

#[tokio::test]
async fn nodes_say_their_zones() {
    let builder = cluster().args(["--zone", "z-7"]).nodes(2);
    let cluster = builder.start().await.unwrap();
    all_joined(&cluster).await;
    let n1 = cluster.client("n1").unwrap();
    eventually("both say their zone", || async {
        let members = n1.members().await.map_err(|e| e.to_string())?;
        let zones = members.iter().filter(|m| m.zone.as_deref() == Some("z-7"));
        match zones.count() {
            2 => Ok(()),
            _ => Err(format!("{members:?}")),
        }
    })
    .await;
}
