//! Agents of nodes that aren't well by their own signals.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jido_cluster::storage::MemoryStorage;
use jido_cluster::{Handle, ManagerBuilder, Node};

use super::duplicates::apart;
use super::{EVERY, WITHIN, all_met, asked, astray};
use crate::harness::{Cluster, Counter, Message, TokioClock, eventually, met};

const KEYS: usize = 20;

/// Nodes that a test makes ill.
#[derive(Default)]
struct Ward {
    nodes: Vec<(Node, Handle<Counter>)>,
    ill: Vec<Arc<AtomicBool>>,
}

impl Ward {
    /// Two nodes that have met, and all agents.
    async fn of_two(
        cluster: &Cluster,
        set: impl Fn(ManagerBuilder<Counter>) -> ManagerBuilder<Counter>,
    ) -> Self {
        let mut ward = Self::default();
        for _ in 0..2 {
            ward.start(cluster, &set).await;
        }
        all_met(&ward.nodes).await;
        ward.run_all(0).await;
        ward
    }

    /// The next node, whose agents are moved as it is said.
    async fn start(
        &mut self,
        cluster: &Cluster,
        set: impl FnOnce(ManagerBuilder<Counter>) -> ManagerBuilder<Counter>,
    ) {
        let ill = Arc::new(AtomicBool::new(false));
        let look = ill.clone();
        let check = move || match look.load(Ordering::Relaxed) {
            true => Err("the disk is full".to_owned()),
            false => Ok(()),
        };
        let name = format!("n{}", self.nodes.len() + 1);
        let node = cluster.node(&name).environment(TokioClock::new());
        let node = node.health(check).start().await.unwrap();
        let handle = set(cluster.manager()).start(&node).await.unwrap();
        self.nodes.push((node, handle));
        self.ill.push(ill);
    }

    /// Makes a node ill, or well again, and waits until all have heard of it.
    async fn set(&self, which: usize, ill: bool) {
        self.ill[which].store(ill, Ordering::Relaxed);
        let me = self.nodes[which].0.incarnation();
        for (node, _) in &self.nodes {
            let hears = || {
                let members = node.members();
                members
                    .iter()
                    .any(|one| one.incarnation == me && one.healthy != ill)
            };
            eventually(hears).await;
        }
    }

    async fn run_all(&self, by: usize) {
        for i in 0..KEYS {
            let call = self.nodes[by].1.call(format!("key-{i}"), Message::Add(1));
            call.await.unwrap();
        }
    }

    /// How many agents each node runs, by name.
    async fn running(&self) -> Vec<u64> {
        let stats = self.nodes[0].1.stats().await.unwrap();
        stats.by_node.into_values().collect()
    }
}

#[tokio::test(start_paused = true)]
async fn agents_leave_a_node_that_is_not_well_and_come_back_once_it_is() {
    // The first leads while it is well.
    for which in [0, 1] {
        let cluster = Cluster::new();
        let ward = Ward::of_two(&cluster, asked).await;
        let before = ward.running().await;
        assert!(before.iter().all(|runs| *runs > 0), "{before:?}");
        let (ill, well) = (&ward.nodes[which], &ward.nodes[1 - which]);

        ward.set(which, true).await;
        for (_, handle) in &ward.nodes {
            assert_eq!(astray(handle).await as u64, before[which]);
        }
        // Whoever is asked, it is the one that is well that leads.
        let rebalanced = ill.1.rebalance(WITHIN).await.unwrap();
        assert_eq!(rebalanced.by, well.0.me().name);
        assert_eq!(rebalanced.migrations.succeeded, before[which]);
        assert_eq!(rebalanced.migrations.skipped, 0);
        let runs = ward.running().await;
        assert_eq!((runs[which], runs[1 - which]), (0, KEYS as u64));

        ward.set(which, false).await;
        let rebalanced = ill.1.rebalance(WITHIN).await.unwrap();
        assert_eq!(rebalanced.by.as_str(), "n1");
        assert_eq!(ward.running().await, before);
        for i in 0..KEYS {
            let key = format!("key-{i}");
            assert_eq!(well.1.call(&key, Message::Get).await.unwrap(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_has_to_ask_for_it() {
    let cluster = Cluster::new();
    let every = |manager: ManagerBuilder<Counter>| manager.rebalance_interval(EVERY);
    let ward = Ward::of_two(&cluster, every).await;
    ward.set(0, true).await;
    tokio::time::timeout(WITHIN, async {
        while ward.running().await != [0, KEYS as u64] {
            tokio::time::sleep(EVERY).await;
        }
    })
    .await
    .expect("agents stay on a node that is not well");
}

#[tokio::test(start_paused = true)]
async fn with_nobody_well_agents_stay_where_they_are() {
    let cluster = Cluster::new();
    let ward = Ward::of_two(&cluster, asked).await;
    ward.set(0, true).await;
    ward.set(1, true).await;
    assert_eq!(astray(&ward.nodes[1].1).await, 0);
}

/// Each node has records of its own, and the third, which has none, takes some of the keys.
#[tokio::test(start_paused = true)]
async fn of_duplicates_one_on_a_node_that_is_well_stays_before_one_that_is_not() {
    for both in [false, true] {
        let (one, other) = apart();
        let third = Cluster {
            storage: Arc::new(MemoryStorage::new()),
            ..one.clone()
        };
        let mut ward = Ward::default();
        ward.start(&one, asked).await;
        ward.start(&other, asked).await;
        all_met(&ward.nodes).await;
        let (a, b) = (ward.nodes[0].0.incarnation(), ward.nodes[1].0.incarnation());
        one.network.cut(a, b);
        for by in [0, 1] {
            met(&ward.nodes[by].0, 1).await;
            ward.run_all(by).await;
        }
        ward.start(&third, asked).await;
        one.network.heal(a, b);
        all_met(&ward.nodes).await;
        let all = KEYS as u64;
        assert_eq!(ward.running().await, [all, all, 0]);

        ward.set(0, true).await;
        ward.set(1, both).await;
        let rebalanced = ward.nodes[0].1.rebalance(WITHIN).await.unwrap();
        assert_eq!(rebalanced.migrations.duplicates, all, "{rebalanced:?}");
        // Of two that aren't well, the one of the smallest name.
        let kept = if both { [all, 0, 0] } else { [0, all, 0] };
        assert_eq!(ward.running().await, kept);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let again = ward.nodes[1].1.rebalance(WITHIN).await.unwrap();
        assert_eq!(again.migrations.duplicates, 0);
        assert_eq!(
            again.migrations.skipped,
            again.migrations.storage_not_shared
        );
        assert_eq!(ward.running().await, kept);
    }
}
