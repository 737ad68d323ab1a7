//! Many agents that wake at once, and many callers that wait for one.

use std::time::Duration;

use futures_util::future::join_all;

use crate::counting::counting;
use crate::harness::{Cluster, Message};

#[tokio::test(start_paused = true)]
async fn many_callers_of_one_key_wait_for_one_load() {
    let (storage, counts) = counting();
    let cluster = Cluster::on(storage);
    let nodes = cluster.start_many(2).await;
    let calls = (0..500).map(|i| nodes[i % 2].1.call("a", Message::Add(1)));
    let mut values: Vec<i64> = join_all(calls)
        .await
        .into_iter()
        .map(|value| value.unwrap())
        .collect();
    values.sort_unstable();
    assert_eq!(values, (1..=500).collect::<Vec<_>>());
    assert_eq!(counts.of(|c| &c.claims), 1);
    assert_eq!(counts.of(|c| &c.loads), 1);
}

#[tokio::test(start_paused = true)]
async fn thousands_that_wake_at_once_come_to_storage_a_bounded_number_at_a_time() {
    const AGENTS: usize = 5_000;
    const AT_ONCE: usize = 16;
    let (storage, counts) = counting();
    let cluster = Cluster::on(storage);
    let node = cluster.node("n1").start().await.unwrap();
    let manager = cluster.manager().concurrent_activations(AT_ONCE);
    let handle = manager.start(&node).await.unwrap();
    for round in 1..=2 {
        let calls = (0..AGENTS * 3).map(|i| {
            let (handle, key) = (handle.clone(), format!("key-{}", i % AGENTS));
            async move {
                let time = Duration::from_secs(60);
                handle.call_timeout(&key, Message::Add(1), time).await
            }
        });
        for value in join_all(calls).await {
            assert!(value.unwrap() <= 3 * round);
        }
        assert_eq!(counts.of(|c| &c.loads), AGENTS * round as usize);
        assert_eq!(counts.of(|c| &c.claims), AGENTS * round as usize);
        assert_eq!(counts.of(|c| &c.most_loading), AT_ONCE);
        assert_eq!(handle.stats().await.unwrap().total, AGENTS as u64);
        for i in 0..AGENTS {
            assert!(handle.stop(format!("key-{i}")).await.unwrap());
        }
    }
}
