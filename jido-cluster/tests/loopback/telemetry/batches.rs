//! A storage that makes batches itself tells of them as the group committer does.

use std::sync::Arc;

use futures_util::future::join_all;
use jido_cluster::storage::LmdbStorage;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};

use crate::harness::{Cluster, Message};

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
