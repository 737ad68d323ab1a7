//! SIGTERM.

use std::time::{Duration, Instant};

use jido_testkit::Error;
use jido_testkit::process::{Load, LoadOptions, ProcessCluster};

use crate::{all_joined, cluster, eventually};

#[tokio::test]
async fn sigterm_drains_without_a_failed_call_and_exits_with_0() {
    let mut cluster = cluster().nodes(3).start().await.unwrap();
    all_joined(&cluster).await;
    let load = Load::start(LoadOptions {
        nodes: cluster.clients(),
        clients: 8,
        keys: Vec::new(),
        plain_keys: (0..60).map(|number| format!("drained-{number}")).collect(),
        reads: 0,
        seed: 7,
        patience: Duration::from_secs(10),
    })
    .unwrap();
    acknowledges(&load, 500).await;

    let asked = Instant::now();
    let status = cluster
        .terminate("n2", Duration::from_secs(15))
        .await
        .unwrap();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(asked.elapsed() < Duration::from_secs(15));
    acknowledges(&load, 500).await;

    let report = load.stop().await.unwrap();
    assert_eq!(report.counts.failed, 0, "{:#?}", report.errors);
    let n1 = cluster.client("n1").unwrap();
    let verdict = report.judge(&n1).await.unwrap();
    assert!(verdict.is_good(), "{verdict}");
    let stats = n1.stats().await.unwrap();
    assert_eq!(
        stats.by_node.get("n2").copied().unwrap_or(0),
        0,
        "{stats:?}"
    );
    assert_eq!(
        stats.total,
        report.history.by_key().len() as u64,
        "{stats:?}"
    );
}

#[tokio::test]
async fn the_last_node_drains_too_and_its_counters_are_there_for_the_next() {
    let mut cluster = cluster().nodes(1).start().await.unwrap();
    let n1 = cluster.client("n1").unwrap();
    assert_eq!(n1.inc("last").await.unwrap().value, 1);
    let status = cluster
        .terminate("n1", Duration::from_secs(15))
        .await
        .unwrap();
    assert_eq!(status.code(), Some(0), "{status}");
    cluster.restart("n1").await.unwrap();
    assert_eq!(n1.inc("last").await.unwrap().value, 2);
}

#[tokio::test]
async fn a_node_that_drains_says_that_it_is_not_ready() {
    let mut cluster: ProcessCluster = cluster().nodes(1).start().await.unwrap();
    let mut error = told_while_it_drains(&mut cluster).await;
    // It says so for half a second, which a machine with much else to do may miss now and then,
    // but not always: then nobody listens any more.
    for _ in 0..3 {
        if error.status().is_some() {
            break;
        }
        cluster.restart("n1").await.unwrap();
        error = told_while_it_drains(&mut cluster).await;
    }
    assert_eq!(
        (error.status(), error.code()),
        (Some(503), Some("not_ready")),
        "{error}"
    );
}

/// The first thing but "ready" that comes of asking a node that is told to end.
async fn told_while_it_drains(cluster: &mut ProcessCluster) -> Error {
    let probe = cluster.client("n1").unwrap();
    let not_ready = async {
        loop {
            if let Err(error) = probe.ready().await {
                return error;
            }
        }
    };
    let (error, status) = tokio::join!(not_ready, cluster.terminate("n1", Duration::from_secs(15)));
    assert_eq!(status.unwrap().code(), Some(0));
    error
}

/// Waits for so many more acknowledged increments.
pub(crate) async fn acknowledges(load: &Load, more: u64) {
    let target = load.counts().acknowledged + more;
    eventually("the load goes on", || async {
        let counts = load.counts();
        if counts.acknowledged >= target {
            Ok(())
        } else {
            Err(format!("{counts:?}, {:?}", load.errors()))
        }
    })
    .await;
}
