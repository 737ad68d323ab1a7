//! A new node that has claimed too early.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jido_cluster::storage::{ClaimOutcome, ClaimRequest, Error, Layer, MemoryStorage, Storage};

use super::{WITHIN, all_met, asked, run_all, start};
use crate::harness::{Cluster, Message};

/// How long it takes until who claims hears that another holds the agent: longer than that one
/// takes to give it back.
const LATE: Duration = Duration::from_millis(100);

/// A storage that tells late of claims that it refuses.
#[derive(Debug)]
struct Late {
    inner: MemoryStorage,
    refused: AtomicUsize,
}

#[async_trait]
impl Layer for Late {
    fn inner(&self) -> &dyn Storage {
        &self.inner
    }

    async fn claim(&self, claim: ClaimRequest) -> Result<ClaimOutcome, Error> {
        let outcome = self.inner.claim(claim).await;
        if matches!(outcome, Ok(ClaimOutcome::Held { .. })) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(LATE).await;
        }
        outcome
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_node_that_claimed_before_the_agent_was_given_back_gets_it_all_the_same() {
    let storage = Arc::new(Late {
        inner: MemoryStorage::shared(),
        refused: AtomicUsize::new(0),
    });
    let cluster = Cluster::on(storage.clone());
    let mut nodes = vec![start(&cluster, "n1", asked).await];
    run_all(&nodes[0].1).await;
    nodes.push(start(&cluster, "n2", asked).await);
    all_met(&nodes).await;
    let plan = nodes[0].1.rebalance_plan(10_000).await;
    assert!(plan.moves.len() > 10, "{plan}");
    // The new node takes its keys to be its own, and claims them at once.
    let calls: Vec<_> = plan
        .moves
        .iter()
        .map(|one| {
            let (handle, key) = (nodes[1].1.clone(), one.key.clone());
            tokio::spawn(async move { handle.call(key.as_str(), Message::Add(1)).await })
        })
        .collect();
    while storage.refused.load(Ordering::SeqCst) < plan.moves.len() {
        tokio::task::yield_now().await;
    }
    let rebalanced = nodes[0].1.rebalance(WITHIN).await.unwrap();
    let migrations = rebalanced.migrations;
    assert_eq!(migrations.succeeded, plan.moves.len() as u64);
    assert_eq!((migrations.failed, migrations.skipped), (0, 0));
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), 2);
    }
}
