//! Times as long as one can say them, which are as good as never.

use std::time::Duration;

use jido_cluster::ErrorKind;

use crate::harness::{Cluster, Message};

#[tokio::test(start_paused = true)]
async fn whatever_is_not_refused_may_be_as_long_as_one_can_say() {
    let cluster = Cluster::new();
    let node = cluster.node("n1").start().await.unwrap();
    let manager = cluster
        .manager()
        .idle_timeout(Duration::MAX)
        .park_after(Duration::MAX)
        .wake_every(Duration::MAX)
        .rebalance_interval(Duration::MAX)
        .request_window(8, Duration::MAX);
    let handle = manager.start(&node).await.unwrap();
    assert_eq!(handle.call("a", Message::Add(1)).await.unwrap(), 1);
    let guard = handle.attach("b").await.unwrap();
    tokio::time::sleep(Duration::from_secs(3 * 60 * 60)).await;
    let stats = handle.stats().await.unwrap();
    assert_eq!((stats.total, stats.parked), (2, 0));
    assert_eq!(handle.call("a", Message::Add(1)).await.unwrap(), 2);
    handle.rebalance(Duration::MAX).await.unwrap();
    drop(guard);

    let add = Message::Add(1);
    let error = handle.call_timeout("a", add, Duration::MAX).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
    let error = cluster.node("n2").lease_ttl(Duration::MAX).start().await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
}
