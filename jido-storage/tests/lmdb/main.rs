//! The LMDB adapter keeps the rules, alone and among processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "this is test code: what goes wrong ends the test, and it starts tasks and processes"
)]

mod child;
mod durable;
mod growth;
mod kill;
mod locks;
mod race;
mod waiting;

use std::sync::{Arc, Mutex};

use jido_storage::{LmdbStorage, Storage, conformance};
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conformance() {
    let folders: Mutex<Vec<TempDir>> = Mutex::default();
    conformance::run(|| async {
        let folder = tempfile::tempdir().unwrap();
        let storage = LmdbStorage::open(folder.path()).unwrap();
        folders.lock().unwrap().push(folder);
        Arc::new(storage) as Arc<dyn Storage>
    })
    .await;
}
