//! A lease that ended unseen, since the whole process stood still, is counted all the same.

use std::time::Duration;

use metrics_util::debugging::DebuggingRecorder;

use super::read::Read;
use crate::harness::{Cluster, Message, TokioClock};

const TTL: Duration = Duration::from_secs(9);

#[tokio::test(start_paused = true)]
async fn each_lapse_is_counted_whatever_the_lease_was_doing() {
    let recorder = DebuggingRecorder::new();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let mut read = Read::new(&recorder);
    let mut lapses = || {
        read.read();
        read.sum("jido_lease_lapses_total", &[])
    };
    let cluster = Cluster::new();
    let node = cluster.node("n1").environment(TokioClock::new());
    let node = node.lease_ttl(TTL).start().await.unwrap();
    let handle = cluster.manager().start(&node).await.unwrap();
    // At every place between two renewals, more than once.
    for place in 0..27 {
        tokio::time::sleep(TTL / 27 * place).await;
        assert_eq!(lapses(), f64::from(place), "at place {place}");
        tokio::time::advance(2 * TTL).await;
        tokio::time::sleep(TTL / 2).await;
        assert_eq!(lapses(), f64::from(place + 1), "at place {place}");
        handle.call("a", Message::Add(1)).await.unwrap();
    }
}
