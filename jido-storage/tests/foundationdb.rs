//! The adapter keeps the rules on a FoundationDB server: the one that `FDB_CLUSTER_FILE` names.
//! Without that variable nothing is done but to say so.
//!
//! Every run has a prefix of its own, with one below it for each case, and clears
//! it when it ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "helpers of tests, which start tasks and look at the clock"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use foundationdb::options::TransactionOption;
use futures_util::FutureExt;
use jido_core::{
    AgentId, AgentKey, ClusterName, Epoch, Incarnation, ManagerName, NewEntry, NodeName, Revision,
    Timestamp,
};
use jido_storage::{
    AppendOutcome, ClaimOutcome, ClaimRequest, Commit, ErrorKind, FoundationDbOptions,
    FoundationDbStorage, NodeRegistration, Registration, Storage,
    conformance::{self, Suite},
};

/// Says something however the tests' output is captured.
fn say(text: &str) {
    let line = format!("{text}\n");
    // There is nobody to tell if that fails.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// The storage of a prefix.
async fn open(prefix: String) -> FoundationDbStorage {
    FoundationDbOptions::new()
        .prefix(prefix)
        .open()
        .await
        .expect("the server that FDB_CLUSTER_FILE names can't be opened")
}

/// A place of a run's own in the cluster, if there is one.
struct Place {
    prefix: String,
    opened: AtomicU64,
}

impl Place {
    /// None, and why, where no server is named.
    fn new(test: &str) -> Option<Self> {
        if std::env::var_os("FDB_CLUSTER_FILE").is_none_or(|file| file.is_empty()) {
            say(&format!("{test}: skipped: FDB_CLUSTER_FILE is not set"));
            return None;
        }
        let mut random = [0; 16];
        getrandom::fill(&mut random).unwrap();
        let mut prefix = format!("jido-test/{test}/");
        for byte in random {
            write!(prefix, "{byte:02x}").unwrap();
        }
        Some(Self {
            prefix,
            opened: AtomicU64::new(0),
        })
    }

    /// A prefix that has no keys yet.
    fn empty(&self) -> String {
        let case = self.opened.fetch_add(1, Ordering::Relaxed);
        format!("{}/{case}/", self.prefix)
    }

    /// An empty storage.
    async fn open(&self) -> FoundationDbStorage {
        open(self.empty()).await
    }

    /// Runs a test, clears the place, then ends as the test did.
    async fn with<F: Future<Output = ()>>(self, test: impl FnOnce(Arc<Self>) -> F) {
        let place = Arc::new(self);
        let outcome = AssertUnwindSafe(test(place.clone())).catch_unwind().await;
        place.clear().await;
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    }

    async fn clear(&self) {
        if self.opened.load(Ordering::Relaxed) == 0 {
            return;
        }
        let begin = format!("{}/", self.prefix).into_bytes();
        let end = format!("{}0", self.prefix).into_bytes();
        let database = foundationdb::Database::default().unwrap();
        let mut tx = database.create_trx().unwrap();
        tx.set_option(TransactionOption::Timeout(30_000)).unwrap();
        loop {
            tx.clear_range(&begin, &end);
            match tx.commit().await {
                Ok(_) => return,
                Err(failure) => {
                    tx = failure
                        .on_error()
                        .await
                        .expect("the test's keys are cleared")
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conformance() {
    let Some(place) = Place::new("conformance") else {
        return;
    };
    place
        .with(|place| async move {
            let begun = Instant::now();
            let open = |prefix| async { Arc::new(open(prefix).await) as Arc<dyn Storage> };
            let suite = Suite::at(|| place.empty(), open).processes("child");
            suite.run().await;
            let cases = place.opened.load(Ordering::Relaxed);
            say(&format!("{cases} cases passed in {:?}", begun.elapsed()));
        })
        .await;
}

/// In a process of its own a part of the suite; else it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn child() {
    conformance::child(|prefix| async { Arc::new(open(prefix).await) as Arc<dyn Storage> }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_directory_keeps_what_was_written() {
    let Some(place) = Place::new("directory") else {
        return;
    };
    let path = vec![place.prefix.clone(), "agents".to_owned()];
    let options = FoundationDbOptions::new().directory(path.clone());
    let storage = options.clone().open().await.unwrap();
    let id = agent(0);
    let epoch = claimed(&storage, &id).await;
    // Opened again, it is the same place.
    let again = options.open().await.unwrap();
    assert_eq!(again.head(&id).await.unwrap().unwrap().epoch, epoch);
    // One API version a process.
    let other = FoundationDbOptions::new().api_version(710).open().await;
    assert_eq!(other.unwrap_err().kind(), ErrorKind::InvalidInput);
    let database = foundationdb::Database::default().unwrap();
    let removed = database
        .run(|tx, _| {
            let top = path[..1].to_vec();
            async move {
                use foundationdb::directory::Directory;
                let layer = foundationdb::directory::DirectoryLayer::default();
                Ok(layer.remove(&tx, &top).await?)
            }
        })
        .await;
    assert!(removed.unwrap());
}

fn agent(n: usize) -> AgentId {
    AgentId::new(
        ClusterName::new("test").unwrap(),
        ManagerName::new("agents").unwrap(),
        AgentKey::new(format!("agent-{n}")).unwrap(),
    )
}

async fn claimed(storage: &FoundationDbStorage, id: &AgentId) -> Epoch {
    let node = NodeRegistration {
        cluster: id.cluster.clone(),
        name: NodeName::new("n1").unwrap(),
        incarnation: Incarnation(1),
        address: "here".into(),
        metadata: BTreeMap::new(),
        at: Timestamp(1),
    };
    let registered = storage.register_node(node).await.unwrap();
    assert!(matches!(registered, Registration::Registered(_)));
    let claim = ClaimRequest {
        id: id.clone(),
        claimant: Incarnation(1),
        take_from: None,
        at: Timestamp(1),
    };
    match storage.claim(claim).await.unwrap() {
        ClaimOutcome::Claimed(epoch) => epoch,
        other => panic!("not claimed: {other:?}"),
    }
}

fn append(id: &AgentId, epoch: Epoch, expected: u64) -> Commit {
    let mut commit = Commit::new(id.clone(), epoch, Revision(expected), Timestamp(2));
    let payload = Bytes::from(vec![7; 200]);
    let entry = NewEntry::new("noted", Timestamp(2), payload).unwrap();
    commit.entries.push(entry);
    commit
}

/// Appends of 200 bytes by so many agents at once, each in a transaction of its own or
/// all in one; gives how many there were in a second.
async fn rate(storage: &FoundationDbStorage, agents: usize, batched: bool) -> f64 {
    let mut epochs = Vec::new();
    for n in 0..agents {
        epochs.push(claimed(storage, &agent(n)).await);
    }
    let mut revisions = Vec::new();
    for n in 0..agents {
        let head = storage.head(&agent(n)).await.unwrap().unwrap();
        revisions.push(head.revision.0);
    }
    let (begun, mut done) = (Instant::now(), 0u64);
    while begun.elapsed() < Duration::from_secs(2) {
        let commits: Vec<_> = (0..agents)
            .map(|n| append(&agent(n), epochs[n], revisions[n]))
            .collect();
        let outcomes = if batched {
            storage.append_many(commits).await
        } else {
            let tasks: Vec<_> = commits
                .into_iter()
                .map(|commit| {
                    let storage = storage.clone();
                    tokio::spawn(async move { storage.append(commit).await })
                })
                .collect();
            let mut outcomes = Vec::new();
            for task in tasks {
                outcomes.push(task.await.unwrap());
            }
            outcomes
        };
        for (n, outcome) in outcomes.into_iter().enumerate() {
            let AppendOutcome::Committed(revision) = outcome else {
                panic!("agent {n}: {outcome:?}");
            };
            revisions[n] = revision.0;
            done += 1;
        }
    }
    done as f64 / begun.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn appends_are_measured() {
    let Some(place) = Place::new("appends") else {
        return;
    };
    place
        .with(|place| async move {
            let storage = place.open().await;
            for agents in [1, 16, 200] {
                let alone = rate(&storage, agents, false).await;
                let batched = rate(&storage, agents, true).await;
                say(&format!(
                    "appends of 200 bytes by {agents} agents: {alone:.0} a second, each in a transaction; \
                     {batched:.0} in batches"
                ));
            }
        })
        .await;
}
