//! Thirty seconds of kills and restarts under load, and nothing acknowledged is lost.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jido_testkit::process::{DemoClient, Load, LoadOptions, LoadReport, ProcessCluster};

const PROGRAM: &str = env!("CARGO_BIN_EXE_counter-node");

const STORM: Duration = Duration::from_secs(30);

#[allow(
    clippy::disallowed_methods,
    reason = "real processes live by the real clock"
)]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_increment_outlives_the_storm() {
    let mut cluster = ProcessCluster::builder(PROGRAM)
        .nodes(3)
        .shared_lmdb()
        .args(["--takeover", "on-disconnect", "--lease-ttl", "3s"])
        .start()
        .await
        .unwrap();
    let load = Load::start(LoadOptions {
        nodes: cluster
            .nodes()
            .iter()
            .map(|node| node.client().clone())
            .collect(),
        clients: 16,
        keys: (0..40).map(|number| format!("storm-{number}")).collect(),
        seed: 42,
        patience: Duration::from_secs(30),
    })
    .unwrap();

    let (started, mut rng, mut kills) = (now(), fastrand::Rng::with_seed(42), 0);
    while started.elapsed() < STORM {
        // The pauses are the storm's own rhythm; nothing is waited for by them.
        tokio::time::sleep(Duration::from_millis(rng.u64(1_500..3_000))).await;
        let victim = format!("n{}", rng.u32(1..=3));
        let before = load.counts().acknowledged;
        cluster.kill(&victim).await.unwrap();
        kills += 1;
        tokio::time::sleep(Duration::from_millis(rng.u64(200..2_000))).await;
        cluster.restart(&victim).await.unwrap();
        println!(
            "{:?}: {victim} was down, {} acknowledged meanwhile",
            started.elapsed(),
            load.counts().acknowledged - before
        );
    }

    let LoadReport {
        history,
        counts,
        errors,
    } = load.stop().await.unwrap();
    let client = cluster.client("n1").unwrap();
    let mut stored = BTreeMap::new();
    for key in history.keys() {
        stored.insert(key.to_owned(), read(&client, key).await);
    }
    let verdict = history.check(&stored);
    println!("{kills} kills, {counts:?}: {verdict}\n{errors:#?}");
    assert!(verdict.is_good(), "{verdict}\n{errors:#?}");
    // Whatever was not executed was taken by another node in time.
    assert_eq!(
        counts.failed,
        verdict.unknown + verdict.applied,
        "{errors:#?}"
    );
    assert!(kills >= 4, "the storm had only {kills} kills");
    assert_eq!(verdict.keys, 40);
    assert!(verdict.acknowledged > 1_000, "{verdict}\n{errors:#?}");
}

/// The value of a key, once its owner has settled after the last kill.
async fn read(client: &DemoClient, key: &str) -> i64 {
    let deadline = now() + Duration::from_secs(30);
    loop {
        match client.get(key).await {
            Ok(reply) => return reply.value,
            Err(error) => assert!(error.is_retryable() && now() < deadline, "{key}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
