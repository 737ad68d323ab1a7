//! The whole suite, with folders that are opened again and by other processes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jido_storage::{LmdbStorage, Storage, conformance};

async fn open(place: String) -> Arc<dyn Storage> {
    Arc::new(LmdbStorage::open(Path::new(&place)).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_keeps_every_rule() {
    let folder = tempfile::tempdir().unwrap();
    let places = AtomicU64::new(0);
    let place = || {
        let place = places.fetch_add(1, Ordering::Relaxed).to_string();
        let place = folder.path().join(place);
        std::fs::create_dir(&place).unwrap();
        place.to_str().unwrap().to_owned()
    };
    let suite = conformance::Suite::at(place, open).processes("conformance::child");
    let report = suite.run().await;
    assert_eq!(report.passed(), conformance::cases().count(), "{report}");
}

/// A part of the one above when it is started by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    conformance::child(open).await;
}
