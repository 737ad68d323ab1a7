//! Every metric moves when what it tells of happens, and the page that lists them is right.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use jido_cluster::storage::{
    AppendOutcome, Batching, Capabilities, ClaimRequest, Commit, Error, ErrorKind, MemoryStorage,
    Renewal, Storage,
};
use jido_cluster::telemetry::{METRICS, Metric, MetricKind};
use jido_cluster::{
    AgentId, AgentKey, ClusterName, Handle, Incarnation, ManagerName, Node, Timestamp,
};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tokio::sync::Semaphore;

use super::read::Read;
use super::{Message, SECRET, Told, keys_on, start, start_many};
use crate::harness::{Cluster, eventually};

/// A storage that is given batches, can be held up, and can refuse to renew leases.
#[derive(Debug)]
struct Held {
    inner: MemoryStorage,
    gate: Semaphore,
    refuses: AtomicBool,
    /// How many batches came.
    came: AtomicUsize,
}

impl Held {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryStorage::shared(),
            gate: Semaphore::new(1),
            refuses: AtomicBool::new(false),
            came: AtomicUsize::new(0),
        })
    }
}

#[async_trait]
impl jido_cluster::storage::Layer for Held {
    fn inner(&self) -> &dyn Storage {
        &self.inner
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            batching: Batching::Lanes(NonZeroUsize::MIN),
            ..self.inner.capabilities()
        }
    }

    async fn append_many(&self, commits: Vec<Commit>) -> Vec<AppendOutcome> {
        self.came.fetch_add(1, Ordering::Relaxed);
        let _passed = self.gate.acquire().await.unwrap();
        self.inner.append_many(commits).await
    }

    async fn renew_node(&self, cluster: &ClusterName, life: Incarnation) -> Result<Renewal, Error> {
        match self.refuses.load(Ordering::Relaxed) {
            true => Err(Error::new(ErrorKind::Unavailable, "as the test wants it")),
            false => self.inner.renew_node(cluster, life).await,
        }
    }
}

async fn publish(nodes: &[(Node, Handle<Told>)], read: &mut Read) {
    for (node, _) in nodes {
        node.publish_metrics().await;
    }
    read.read();
}

/// What a loopback has nothing of.
fn is_of_network(metric: &Metric) -> bool {
    ["jido_connections_", "jido_sessions_", "jido_heartbeats_"]
        .iter()
        .any(|prefix| metric.name.starts_with(prefix))
}

#[tokio::test(start_paused = true)]
async fn all_that_happens_in_a_cluster_moves_its_metric_and_names_no_key() {
    let recorder = DebuggingRecorder::new();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let mut read = Read::new(&recorder);
    let storage = Held::new();
    let cluster = Cluster::on(storage.clone());
    let mut nodes = start_many(&cluster, 2).await;
    let (n1, h1) = nodes[0].clone();
    let mine = keys_on(&h1, &n1, 9).await;
    let others = keys_on(&h1, &nodes[1].0, 40).await;

    // Calls, by how they end.
    for key in mine.iter().chain(&others) {
        assert_eq!(h1.call(key, Message::Add).await.unwrap(), 1);
    }
    h1.cast(&mine[0], Message::Add).await.unwrap();
    h1.call(&others[0], Message::Fail).await.unwrap_err();
    h1.call(&others[0], Message::Panic).await.unwrap_err();
    h1.call("", Message::Add).await.unwrap_err();
    read.read();
    let calls = |read: &Read, operation: &str, outcome: &str| {
        let labels = [
            ("node", "n1"),
            ("operation", operation),
            ("outcome", outcome),
        ];
        read.sum("jido_calls_total", &labels)
    };
    assert_eq!(calls(&read, "call", "ok"), 49.0);
    assert_eq!(calls(&read, "call", "agent"), 2.0);
    assert_eq!(calls(&read, "call", "invalid_input"), 1.0);
    assert_eq!(calls(&read, "cast", "ok"), 1.0);
    assert_eq!(read.sum("jido_calls_total", &[]), 53.0, "{:?}", read.told);
    assert_eq!(read.sum("jido_call_seconds", &[("node", "n1")]), 52.0);
    let handled = |read: &Read, node: &str, outcome: &str| {
        read.sum(
            "jido_messages_total",
            &[("node", node), ("outcome", outcome)],
        )
    };
    assert_eq!(handled(&read, "n2", "ok"), 40.0);
    assert_eq!(handled(&read, "n2", "failed"), 1.0);
    assert_eq!(handled(&read, "n2", "panicked"), 1.0);
    let committed = [("node", "n2"), ("outcome", "committed")];
    assert_eq!(read.sum("jido_commits_total", &committed), 40.0);
    assert_eq!(read.sum("jido_commit_seconds", &[("node", "n2")]), 40.0);
    assert_eq!(
        read.sum(
            "jido_activations_total",
            &[("node", "n2"), ("outcome", "claimed")]
        ),
        40.0
    );
    assert!(read.sum("jido_commit_batch_size", &[("node", "n2")]) > 0.0);

    // What is under way, while storage is held up.
    let held = storage.gate.acquire().await.unwrap();
    let before = storage.came.load(Ordering::Relaxed);
    let first = h1.call(&others[0], Message::Add);
    let further = async {
        // While its commit is in flight, those of all others wait.
        eventually(|| storage.came.load(Ordering::Relaxed) > before).await;
        join_all(others[1..].iter().map(|key| h1.call(key, Message::Add))).await
    };
    let slow = join_all((0..5).map(|_| h1.call(&mine[1], Message::Slow(1_000))));
    let looking = async {
        while read.sum("jido_commit_queue", &[("node", "n2")]) < 39.0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            publish(&nodes, &mut read).await;
        }
        drop(held);
    };
    let (first, further, slow, ()) = tokio::join!(first, further, slow, looking);
    assert_eq!(first.unwrap(), 2);
    assert!(further.iter().chain(&slow).all(Result::is_ok));
    assert_eq!(read.sum("jido_asks_open", &[("node", "n1")]), 40.0);
    assert!(read.sum("jido_asks_open_bytes", &[("node", "n1")]) >= 40.0);
    assert_eq!(read.sum("jido_asks_unanswered", &[("node", "n2")]), 40.0);
    assert_eq!(read.sum("jido_mailbox_messages", &[("node", "n1")]), 4.0);
    let agents = |read: &Read, state: &str| read.sum("jido_agents", &[("state", state)]);
    assert_eq!(agents(&read, "hot"), 49.0);
    assert!(read.sum("jido_agent_bytes", &[]) > 49.0);
    assert_eq!(read.sum("jido_members", &[("node", "n2")]), 2.0);

    // Agents end in one way or the other, and are woken.
    h1.call(&mine[2], Message::Remind(60_000)).await.unwrap();
    h1.call(&mine[3], Message::RemindToFail(60_000))
        .await
        .unwrap();
    assert!(h1.stop(&mine[2]).await.unwrap());
    h1.delete(&mine[4]).await.unwrap();
    let reminded =
        |read: &Read, outcome: &str| read.sum("jido_reminders_total", &[("outcome", outcome)]);
    while reminded(&read, "ok") < 1.0 || reminded(&read, "failed") < 1.0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        read.read();
    }
    assert_eq!(
        read.sum("jido_reminders_woken_total", &[("node", "n1")]),
        1.0
    );
    let ended = |read: &Read, reason: &str| {
        read.sum(
            "jido_deactivations_total",
            &[("node", "n1"), ("reason", reason)],
        )
    };
    assert_eq!(
        (ended(&read, "hibernated"), ended(&read, "deleted")),
        (1.0, 1.0)
    );

    // Another takes an agent from under its owner.
    let id = AgentId::new(
        n1.cluster().clone(),
        ManagerName::new("told").unwrap(),
        AgentKey::new(mine[5].as_str()).unwrap(),
    );
    let claim = ClaimRequest {
        id,
        claimant: nodes[1].0.incarnation(),
        take_from: Some(n1.incarnation()),
        at: Timestamp(0),
    };
    cluster.storage.claim(claim).await.unwrap();
    h1.call(&mine[5], Message::Add).await.unwrap();
    read.read();
    assert_eq!(read.sum("jido_fences_total", &[("node", "n1")]), 1.0);
    assert_eq!(ended(&read, "fenced"), 1.0);
    // Its further try was asked for where it is placed, and where it is owned.
    assert!(read.sum("jido_call_retries_total", &[("reason", "not_owner")]) >= 1.0);

    // A node comes, and agents are moved to it; it goes without a word.
    nodes.push(start(&cluster, "n3").await);
    for (node, _) in &nodes {
        crate::harness::met(node, 3).await;
    }
    let moved = h1.rebalance(Duration::from_secs(60)).await.unwrap();
    publish(&nodes, &mut read).await;
    let succeeded = [("node", "n1"), ("outcome", "succeeded")];
    assert_eq!(
        read.sum("jido_migrations_total", &succeeded),
        moved.migrations.succeeded as f64
    );
    assert_eq!(moved.migrations.succeeded, 1);
    assert_eq!(read.sum("jido_members", &[("node", "n2")]), 3.0);
    let (n3, _) = nodes.pop().unwrap();
    n3.halt().await;
    while read.sum("jido_leases_expired_total", &[]) == 0.0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        read.read();
    }

    // A lease that can't be renewed is no longer sure, long before it has run out.
    assert_eq!(read.sum("jido_lease_lapses_total", &[]), 0.0);
    storage.refuses.store(true, Ordering::Relaxed);
    while read.sum("jido_lease_lapses_total", &[]) == 0.0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        read.read();
    }
    storage.refuses.store(false, Ordering::Relaxed);
    let renewals = |outcome: &str| read.sum("jido_lease_renewals_total", &[("outcome", outcome)]);
    assert!(renewals("renewed") > 0.0 && renewals("failed") > 0.0);

    for metric in METRICS {
        assert!(
            is_of_network(metric) || read.sum(metric.name, &[]) > 0.0,
            "nothing has moved {}",
            metric.name
        );
    }
    for (name, labels) in read.told.keys() {
        let metric = METRICS.iter().find(|metric| metric.name == name);
        let metric = metric.unwrap_or_else(|| panic!("{name} is not listed"));
        let names: BTreeSet<&str> = labels.keys().map(String::as_str).collect();
        assert_eq!(names, metric.labels.iter().copied().collect(), "{name}");
        assert!(
            labels.values().all(|value| !value.contains(SECRET)),
            "{labels:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn parked_agents_are_counted_apart() {
    let recorder = DebuggingRecorder::new();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let mut read = Read::new(&recorder);
    let cluster = Cluster::new();
    let node = cluster.node("n1").start().await.unwrap();
    let manager = super::manager(&cluster.storage, &super::Peers::default());
    let handle = manager
        .park_after(Duration::from_millis(1))
        .start(&node)
        .await
        .unwrap();
    for key in 0..3 {
        handle.call(format!("k{key}"), Message::Add).await.unwrap();
    }
    let parked = |read: &Read| read.sum("jido_deactivations_total", &[("reason", "parked")]);
    while parked(&read) < 3.0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        read.read();
    }
    node.publish_metrics().await;
    read.read();
    let agents = |state| read.sum("jido_agents", &[("state", state)]);
    assert_eq!((agents("hot"), agents("parked")), (0.0, 3.0));
    assert_eq!(handle.call("k0", Message::Add).await.unwrap(), 2);
    read.read();
    let resumed = read.sum("jido_activations_total", &[("outcome", "resumed")]);
    assert_eq!(resumed, 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_metric_is_described_to_the_recorder() {
    let recorder = DebuggingRecorder::new();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let cluster = Cluster::new();
    let (node, _) = start(&cluster, "n1").await;
    eventually(|| node.members().len() == 1).await;
    let told = recorder.snapshotter().snapshot().into_vec();
    for metric in METRICS {
        let (_, unit, meaning, value) = told
            .iter()
            .find(|(key, ..)| key.key().name() == metric.name)
            .unwrap_or_else(|| panic!("{} is not there from the start", metric.name));
        let kind = match value {
            DebugValue::Counter(_) => MetricKind::Counter,
            DebugValue::Gauge(_) => MetricKind::Gauge,
            DebugValue::Histogram(_) => MetricKind::Histogram,
        };
        assert_eq!(kind, metric.kind, "{}", metric.name);
        assert_eq!(
            unit.map(|unit| unit.as_str().to_owned()),
            Some(metric.unit.to_string())
        );
        assert_eq!(meaning.as_deref(), Some(metric.meaning));
    }
}

#[test]
fn the_page_lists_what_there_is() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/telemetry.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `jido_"));
    let listed: Vec<&str> = rows.collect();
    let expected: Vec<String> = METRICS
        .iter()
        .map(|metric| {
            let labels = metric.labels.iter().map(|label| format!("`{label}`"));
            let labels = labels.collect::<Vec<_>>().join(", ");
            let Metric {
                name,
                kind,
                unit,
                meaning,
                ..
            } = metric;
            format!("| `{name}` | {kind} | {unit} | {labels} | {meaning} |")
        })
        .collect();
    assert_eq!(listed, expected, "docs/telemetry.md and METRICS differ");
}
