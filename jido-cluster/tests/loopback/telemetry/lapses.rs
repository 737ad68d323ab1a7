//! A lease that ended unseen, since the whole process stood still, is counted all the same.

use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use crate::harness::{Cluster, Message, TokioClock};

const TTL: Duration = Duration::from_secs(9);

/// Lapses since they were last asked for.
fn lapses(snapshotter: &Snapshotter) -> u64 {
    let told = snapshotter.snapshot().into_vec().into_iter();
    let lapses = told.filter(|(key, ..)| key.key().name() == "jido_lease_lapses_total");
    lapses
        .map(|(_, _, _, value)| match value {
            DebugValue::Counter(count) => count,
            other => panic!("{other:?}"),
        })
        .sum()
}

#[tokio::test(start_paused = true)]
async fn each_lapse_is_counted_whatever_the_lease_was_doing() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let cluster = Cluster::new();
    let node = cluster.node("n1").environment(TokioClock::new());
    let node = node.lease_ttl(TTL).start().await.unwrap();
    let handle = cluster.manager().start(&node).await.unwrap();
    // At every place between two renewals, more than once.
    for place in 0..27 {
        tokio::time::sleep(TTL / 27 * place).await;
        assert_eq!(lapses(&snapshotter), 0, "at place {place}");
        tokio::time::advance(2 * TTL).await;
        tokio::time::sleep(TTL / 2).await;
        assert_eq!(lapses(&snapshotter), 1, "at place {place}");
        handle.call("a", Message::Add(1)).await.unwrap();
    }
}
