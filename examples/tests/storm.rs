//! Thirty seconds of kills and restarts under load, and nothing acknowledged is lost.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jido_testkit::counters::Verdict;
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
    let start = |name: &str, idempotent| {
        let nodes = cluster.nodes();
        let options = LoadOptions {
            nodes: nodes.iter().map(|node| node.client().clone()).collect(),
            clients: 8,
            keys: (0..20).map(|number| format!("{name}-{number}")).collect(),
            seed: 42,
            patience: Duration::from_secs(30),
            idempotent,
        };
        Load::start(options).unwrap()
    };
    let loads = [start("plain", false), start("once", true)];
    let acknowledged = || -> u64 { loads.iter().map(|load| load.counts().acknowledged).sum() };

    let (started, mut rng, mut kills) = (now(), fastrand::Rng::with_seed(42), 0);
    while started.elapsed() < STORM {
        // The pauses are the storm's own rhythm; nothing is waited for by them.
        tokio::time::sleep(Duration::from_millis(rng.u64(1_500..3_000))).await;
        let victim = format!("n{}", rng.u32(1..=3));
        let before = acknowledged();
        cluster.kill(&victim).await.unwrap();
        kills += 1;
        tokio::time::sleep(Duration::from_millis(rng.u64(200..2_000))).await;
        cluster.restart(&victim).await.unwrap();
        println!(
            "{:?}: {victim} was down, {} acknowledged meanwhile",
            started.elapsed(),
            acknowledged() - before
        );
    }

    assert!(kills >= 4, "the storm had only {kills} kills");
    let client = cluster.client("n1").unwrap();
    let [plain, once] = loads;
    check(plain, &client).await;
    let verdict = check(once, &client).await;
    // Under an id each, every increment was acknowledged, and took effect once.
    assert_eq!(verdict.unknown + verdict.applied, 0, "{verdict}");
    assert_eq!(u64::try_from(verdict.stored).unwrap(), verdict.acknowledged);
}

/// Stops a load and holds its history against what is stored.
#[allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and tells its figures"
)]
async fn check(load: Load, client: &DemoClient) -> Verdict {
    let LoadReport {
        history,
        counts,
        errors,
    } = load.stop().await.unwrap();
    let mut stored = BTreeMap::new();
    for key in history.keys() {
        stored.insert(key.to_owned(), read(client, key).await);
    }
    let verdict = history.check(&stored);
    println!("{counts:?}: {verdict}\n{errors:#?}");
    assert!(verdict.is_good(), "{verdict}\n{errors:#?}");
    // Whatever was not executed was taken by another node in time.
    assert_eq!(
        counts.failed,
        verdict.unknown + verdict.applied,
        "{errors:#?}"
    );
    assert_eq!(verdict.keys, 20);
    assert!(verdict.acknowledged > 500, "{verdict}\n{errors:#?}");
    verdict
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
