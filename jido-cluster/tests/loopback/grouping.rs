//! Commits of many agents share batches, where the storage asks for it.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use jido_cluster::storage::{
    AppendOutcome, Batching, Capabilities, Commit, DirectoryQuery, GroupOptions, MemoryStorage,
    Storage,
};
use jido_cluster::{Durability, ErrorKind, Executed, InstanceManager, ManagerName, Revision};
use tokio::sync::Semaphore;

use crate::harness::{Cluster, Counter, Message, eventually};

/// The memory adapter as one that has to be given batches. Each takes its time.
#[derive(Debug)]
struct Batched {
    inner: MemoryStorage,
    batches: Mutex<Vec<Vec<String>>>,
    gate: Semaphore,
}

impl Batched {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryStorage::shared(),
            batches: Mutex::default(),
            gate: Semaphore::new(1_000),
        })
    }

    fn batches(&self) -> Vec<Vec<String>> {
        std::mem::take(&mut self.batches.lock().unwrap())
    }
}

#[async_trait]
impl jido_cluster::storage::Layer for Batched {
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
        let keys = commits.iter().map(|c| c.id.key.to_string()).collect();
        self.batches.lock().unwrap().push(keys);
        self.gate.acquire().await.unwrap().forget();
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.inner.append_many(commits).await
    }
}

/// Two managers of one node on one storage: forty agents each, awake, then each
/// called at once. Gives the batches of that.
async fn forty_each() -> Vec<Vec<String>> {
    let storage = Batched::new();
    let cluster = Cluster::on(storage.clone());
    let (node, counters) = cluster.start("n1").await;
    let others = InstanceManager::<Counter>::builder("others")
        .shared_storage(storage.clone())
        .durability(Durability::Command)
        .start(&node)
        .await
        .unwrap();
    let keys: Vec<_> = (0..40).map(|n| format!("k{n}")).collect();
    for key in &keys {
        counters.get(key).await.unwrap();
        others.get(key).await.unwrap();
    }
    storage.batches();
    let calls = keys.iter().flat_map(|key| {
        [&counters, &others].map(|handle| handle.call(key.as_str(), Message::Add(1)))
    });
    for reply in join_all(calls).await {
        assert_eq!(reply.unwrap(), 1);
    }
    let batches = storage.batches();
    // Hibernating takes its way through the queue too: nothing is left behind.
    node.drain().await;
    let query = DirectoryQuery {
        cluster: node.cluster().clone(),
        manager: ManagerName::new("others").unwrap(),
        after: None,
        limit: 100,
    };
    let kept = storage.directory(query).await.unwrap().agents;
    assert_eq!(kept.len(), 40);
    assert!(kept.iter().all(|agent| agent.owner.is_none()), "{kept:?}");
    assert!(
        kept.iter().all(|agent| agent.revision == Revision(1)),
        "{kept:?}"
    );
    batches
}

#[tokio::test(start_paused = true)]
async fn agents_of_all_managers_of_a_storage_share_batches() {
    let batches = forty_each().await;
    let commits: usize = batches.iter().map(Vec::len).sum();
    assert_eq!(commits, 80, "{batches:?}");
    // The first goes out alone; what came while it was in flight goes together.
    assert!(batches.len() <= 3, "{batches:?}");
    // And the same run gives the same batches.
    assert_eq!(batches, forty_each().await);
}

#[tokio::test(start_paused = true)]
async fn beyond_the_bounds_a_call_is_refused_at_once_and_leaves_no_trace() {
    let storage = &Batched::new();
    let cluster = Cluster::on(storage.clone());
    let options = GroupOptions::new().max_queued(1);
    let node = cluster.node("n1").group_commit(options);
    let node = node.start().await.unwrap();
    let handle = &cluster.manager().start(&node).await.unwrap();
    for key in ["a", "b", "c"] {
        handle.get(key).await.unwrap();
    }
    // Nothing gets through the storage, and one commit fills the queue before it.
    storage.gate.forget_permits(1_000);
    let first = handle.call("a", Message::Add(1));
    let rest = async {
        eventually(|| !storage.batches.lock().unwrap().is_empty()).await;
        join_all(["b", "c"].map(|key| async move {
            let reply = handle.call(key, Message::Add(1)).await;
            if reply.is_err() {
                storage.gate.add_permits(1_000);
            }
            (key, reply)
        }))
        .await
    };
    let (first, rest) = tokio::join!(first, rest);
    assert_eq!(first.unwrap(), 1);
    let (taken, refused): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(_, r)| r.is_ok());
    assert_eq!((taken.len(), refused.len()), (1, 1), "{refused:?}");
    for (key, reply) in refused {
        let error = reply.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
        assert_eq!(error.executed(), Executed::No);
        assert_eq!(handle.call(key, Message::Add(1)).await.unwrap(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn options_out_of_range_are_refused_when_a_manager_starts() {
    let cluster = Cluster::on(Batched::new());
    let node = cluster
        .node("n1")
        .group_commit(GroupOptions::new().lanes(0));
    let node = node.start().await.unwrap();
    let error = cluster.manager().start(&node).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("lanes is 0"), "{error}");
}
