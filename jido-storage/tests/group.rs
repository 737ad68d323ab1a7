//! A group committer in front of an adapter keeps the rules as the adapter does.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "this is test code: what goes wrong ends the test, and it starts the drivers"
)]

use std::sync::{Arc, Mutex};

use jido_storage::{
    GroupCommitter, GroupOptions, LmdbStorage, MemoryStorage, Storage, conformance,
};
use tempfile::TempDir;

fn grouped(adapter: Arc<dyn Storage>, options: &GroupOptions) -> Arc<dyn Storage> {
    let (group, drivers) = GroupCommitter::new(adapter, options).unwrap();
    for driver in drivers {
        tokio::spawn(driver.run());
    }
    Arc::new(group)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conformance_over_memory() {
    for options in [
        GroupOptions::new(),
        GroupOptions::new().lanes(4).max_batch(3),
    ] {
        conformance::run(|| async { grouped(Arc::new(MemoryStorage::new()), &options) }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conformance_over_lmdb() {
    let folders: Mutex<Vec<TempDir>> = Mutex::default();
    conformance::run(|| async {
        let folder = tempfile::tempdir().unwrap();
        let storage = LmdbStorage::open(folder.path()).unwrap();
        folders.lock().unwrap().push(folder);
        grouped(Arc::new(storage), &GroupOptions::new().lanes(2))
    })
    .await;
}
