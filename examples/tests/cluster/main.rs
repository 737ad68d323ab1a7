//! Counter nodes in processes of their own, poked at over HTTP.

#![allow(
    clippy::disallowed_methods,
    reason = "real processes live by the real clock"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of this crate is a test"
)]

mod activation;
mod drain;
mod failover;
mod input;
mod membership;
mod metrics;
mod paused;
mod postgres;
mod rebalancing;
mod reminders;
mod startup;
mod strangers;
mod zones;

use std::time::{Duration, Instant};

use jido_cluster::Executed;
use jido_testkit::Error;
use jido_testkit::process::{CounterReply, DemoClient, ProcessCluster, ProcessClusterBuilder};

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_counter-node");

/// Long enough for anything on two busy cores, where a fault would last for ever.
const LIMIT: Duration = Duration::from_secs(30);

/// Nodes over one LMDB folder, with takeover as soon as a session is gone. A lease of
/// 5 s isn't missed by a process that waits for its turn on a busy machine.
fn cluster() -> ProcessClusterBuilder {
    ProcessCluster::builder(PROGRAM).shared_lmdb().args([
        "--takeover",
        "on-disconnect",
        "--lease-ttl",
        "5s",
    ])
}

/// Asks until the answer is what it should be.
async fn eventually<T>(what: &str, ask: impl AsyncFnMut() -> Result<T, String>) -> T {
    within(LIMIT, what, ask).await
}

/// Asks until the answer is what it should be, for a time of the test's own.
async fn within<T>(
    limit: Duration,
    what: &str,
    mut ask: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let mut last = String::new();
    let asking = async {
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(not_yet) => last = not_yet,
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let outcome = tokio::time::timeout(limit, asking).await;
    outcome.unwrap_or_else(|_| panic!("{what}: not in {limit:?}; the last answer: {last}"))
}

/// Waits until every node that runs sees all those that run.
async fn all_joined(cluster: &ProcessCluster) {
    cluster.wait_joined().await.unwrap();
}

/// Increments until that succeeds, and also gives how many attempts may have been
/// executed without an answer.
async fn inc_until_success(client: &DemoClient, key: &str) -> (CounterReply, i64) {
    let deadline = Instant::now() + LIMIT;
    let mut unknown = 0;
    loop {
        match client.inc(key).await {
            Ok(reply) => return (reply, unknown),
            Err(error) => {
                assert!(error.is_retryable(), "{key}: {error}");
                assert!(
                    Instant::now() < deadline,
                    "{key}: not in {LIMIT:?}: {error}"
                );
                unknown += i64::from(error.executed() != Executed::No);
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A key whose name begins with `prefix` and that is placed on `node`.
async fn key_on(node: &str, prefix: &str, client: &DemoClient) -> Result<String, Error> {
    for number in 0.. {
        let key = format!("{prefix}-{number}");
        if client.owner(&key).await?.placed.as_deref() == Some(node) {
            return Ok(key);
        }
    }
    unreachable!("there are keys enough")
}
