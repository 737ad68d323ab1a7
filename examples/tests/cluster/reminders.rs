//! Counters that are all to be reminded at one time, while a node is killed: each reminder is
//! applied once. Four hundred of them, with `JIDO_LONG=1` ten thousand.
#![allow(clippy::print_stdout, reason = "it tells its figures")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jido_cluster::storage::{
    DirectoryQuery, DueQuery, LmdbStorage, PostgresOptions, PostgresStorage, Storage,
};
use jido_cluster::{ClusterName, ManagerName, Timestamp};
use jido_core::decode_state;
use jido_examples::counter_node::counter::Counter;
use jido_testkit::Error;
use jido_testkit::postgres::TemporaryPostgres;
use jido_testkit::process::{DemoClient, ProcessCluster};
use tokio::task::JoinSet;

use crate::{PROGRAM, within};

/// Long enough for anything on two busy cores, where a fault would last for ever.
const LIMIT: Duration = Duration::from_secs(180);

/// How many requests are made at a time.
const AT_ONCE: usize = 32;

/// How much is read of storage at a time.
const PAGE: usize = 1_000;

/// How long before they are due the reminders are set, beyond three times what that takes.
const LEAD: Duration = Duration::from_secs(3);

fn count() -> usize {
    match std::env::var("JIDO_LONG").is_ok_and(|long| long == "1") {
        true => 10_000,
        false => 400,
    }
}

fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(since.as_millis() as u64)
}

fn key(number: usize) -> String {
    format!("reminded-{number}")
}

/// Storage as it is, read past all nodes.
struct Stored {
    storage: Arc<dyn Storage>,
    cluster: ClusterName,
    manager: ManagerName,
}

impl Stored {
    fn new(storage: Arc<dyn Storage>) -> Self {
        Self {
            storage,
            cluster: ClusterName::new("demo").unwrap(),
            manager: ManagerName::new("counters").unwrap(),
        }
    }

    /// How many counters are due at a time or before.
    async fn due(&self, until: Timestamp) -> usize {
        let (mut due, mut after) = (0, None);
        loop {
            let query = DueQuery {
                cluster: self.cluster.clone(),
                manager: self.manager.clone(),
                until,
                after,
                limit: PAGE,
            };
            let page = self.storage.due(query).await.unwrap();
            due += page.len();
            if page.len() < PAGE {
                return due;
            }
            after = page.last().cloned();
        }
    }

    async fn counts(&self) -> BTreeMap<String, i64> {
        let (mut counts, mut after) = (BTreeMap::new(), None);
        loop {
            let query = DirectoryQuery {
                cluster: self.cluster.clone(),
                manager: self.manager.clone(),
                after,
                limit: PAGE,
            };
            let page = self.storage.directory(query).await.unwrap();
            for agent in page.agents {
                let loaded = self.storage.load(&agent.id).await.unwrap().unwrap();
                let state = loaded.checkpoint.unwrap().state;
                let counter: Counter = decode_state(&state).unwrap();
                counts.insert(agent.id.key.as_str().to_owned(), counter.count);
            }
            after = page.next;
            if after.is_none() {
                return counts;
            }
        }
    }
}

/// Does something with each key, on the nodes in turn.
async fn each_key<F>(
    cluster: &ProcessCluster,
    keys: Vec<String>,
    ask: impl Fn(DemoClient, String) -> F,
) where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let clients = cluster.clients();
    let mut asked: JoinSet<Result<(), Error>> = JoinSet::new();
    for (client, key) in clients.iter().cycle().zip(keys) {
        if asked.len() >= AT_ONCE {
            asked.join_next().await.unwrap().unwrap().unwrap();
        }
        asked.spawn(ask(client.clone(), key));
    }
    while let Some(done) = asked.join_next().await {
        done.unwrap().unwrap();
    }
}

/// Has all counters reminded at one time: a quarter of them runs then, the others sleep.
async fn set(cluster: &ProcessCluster, due: Timestamp) {
    let all = (0..count()).map(key).collect();
    each_key(cluster, all, move |client, key| async move {
        client.remind(&key, due.0).await.map(drop)
    })
    .await;
    let asleep = (0..count()).filter(|number| number % 4 > 0).map(key);
    each_key(cluster, asleep.collect(), |client, key| async move {
        client.stop(&key).await.map(drop)
    })
    .await;
}

async fn each_is_applied_once(what: &str, mut cluster: ProcessCluster, stored: Stored) {
    let count = count();
    cluster.wait_joined().await.unwrap();
    // Once for a time that never comes, to see how long it takes.
    let began = Instant::now();
    set(&cluster, Timestamp(wall().0 + 24 * 3_600_000)).await;
    let lead = 3 * began.elapsed() + LEAD;
    println!(
        "{what}: {count} set, most asleep, in {:.1?}",
        began.elapsed()
    );
    let due = Timestamp(wall().0 + lead.as_millis() as u64);
    set(&cluster, due).await;
    assert!(wall() < due, "it took more than {lead:.1?} to set them");
    assert_eq!(stored.due(due).await, count);

    let deadline = Instant::now() + lead + LIMIT;
    let left = loop {
        let left = stored.due(due).await;
        if left < count - count / 4 {
            break left;
        }
        assert!(Instant::now() < deadline, "{left} of {count} are due still");
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    cluster.kill("n2").await.unwrap();
    let late = wall().0.saturating_sub(due.0);
    let left_then = stored.due(due).await;
    println!(
        "{what}: n2 was killed {late} ms after they were due, with {left} of {count} left, and \
         {left_then} once it had ended"
    );
    assert!(left_then > 0, "all were applied before the node was killed");
    let in_time = deadline.saturating_duration_since(Instant::now());
    within(in_time, "all are applied", async || {
        match stored.due(due).await {
            0 => Ok(()),
            left => Err(format!("{left} of {count} are due")),
        }
    })
    .await;
    let late = wall().0.saturating_sub(due.0);
    println!("{what}: all {count} were applied {late} ms after they were due");
    let counts = stored.counts().await;
    assert_eq!(counts.len(), count);
    let wrong: Vec<_> = counts.iter().filter(|(_, count)| **count != 1).collect();
    assert!(
        wrong.is_empty(),
        "{} were not applied once: {wrong:?}",
        wrong.len()
    );
}

#[tokio::test]
async fn on_lmdb() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let cluster = ProcessCluster::builder(PROGRAM)
        .storage(format!("lmdb:{}", data.display()))
        .args(["--takeover", "after-lease", "--lease-ttl", "5s"])
        .start()
        .await
        .unwrap();
    let stored = Stored::new(Arc::new(LmdbStorage::open(&data).unwrap()));
    each_is_applied_once("lmdb", cluster, stored).await;
}

#[tokio::test]
async fn on_postgres() {
    let postgres = TemporaryPostgres::builder().own().start().await.unwrap();
    let cluster = ProcessCluster::builder(PROGRAM)
        .storage(postgres.url())
        .args(["--takeover", "after-lease", "--lease-ttl", "5s"])
        .start()
        .await
        .unwrap();
    let options = PostgresOptions::new(postgres.url()).unwrap();
    let storage = PostgresStorage::connect(options).await.unwrap();
    each_is_applied_once("postgres", cluster, Stored::new(Arc::new(storage))).await;
}
