//! A storage that makes batches itself tells of them as the group committer does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures_util::future::join_all;
use jido_cluster::storage::{
    Error, ErrorKind, LmdbStorage, MemoryStorage, NodeRegistration, Registration, Storage,
};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};

use super::read::Read;
use crate::harness::{Cluster, Message};

/// Five operations wait in it, and it can't be registered in at first.
#[derive(Debug)]
struct Waiting {
    inner: MemoryStorage,
    is_away: AtomicBool,
}

#[async_trait]
impl jido_cluster::storage::Layer for Waiting {
    fn inner(&self) -> &dyn Storage {
        &self.inner
    }

    async fn register_node(&self, node: NodeRegistration) -> Result<Registration, Error> {
        match self.is_away.swap(false, Ordering::Relaxed) {
            true => Err(Error::new(ErrorKind::Unavailable, "as the test wants it")),
            false => self.inner.register_node(node).await,
        }
    }

    fn queued(&self) -> usize {
        5
    }
}

#[tokio::test]
async fn what_waits_is_counted_once_whatever_a_start_came_to() {
    let recorder = DebuggingRecorder::new();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let cluster = Cluster::on(Arc::new(Waiting {
        inner: MemoryStorage::shared(),
        is_away: AtomicBool::new(true),
    }));
    let node = cluster.node("n1").start().await.unwrap();
    cluster.manager().start(&node).await.unwrap_err();
    let _handle = cluster.manager().start(&node).await.unwrap();
    node.publish_metrics().await;
    let mut read = Read::new(&recorder);
    read.read();
    assert_eq!(read.sum("jido_commit_queue", &[]), 5.0);
}

#[tokio::test]
async fn batches_of_lmdb_are_counted() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::on(Arc::new(LmdbStorage::open(folder.path()).unwrap()));
    let (node, handle) = cluster.start("n1").await;
    let keys: Vec<String> = (0..40).map(|n| format!("key-{n}")).collect();
    for _ in 0..3 {
        let adding = keys.iter().map(|key| handle.call(key, Message::Add(1)));
        assert!(join_all(adding).await.iter().all(Result::is_ok));
    }
    node.drain().await;
    let told = snapshotter.snapshot().into_vec().into_iter();
    let mut sizes = told.filter(|(key, ..)| key.key().name() == "jido_commit_batch_size");
    let Some((.., DebugValue::Histogram(sizes))) = sizes.next() else {
        panic!("no batch was told of");
    };
    // Every commit and every claim is in a batch, and those that came at once shared one.
    let operations: f64 = sizes.iter().map(|size| size.into_inner()).sum();
    assert!(operations >= 4.0 * 40.0, "{operations}");
    assert!((sizes.len() as f64) < operations, "{sizes:?}");
}
