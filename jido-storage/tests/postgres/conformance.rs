//! The whole suite, with schemas that are opened again and by other processes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jido_storage::{PostgresOptions, PostgresStorage, Storage, conformance};

use crate::fixture::server;

/// Opens a place: the URL of a database, and a schema.
async fn open(place: String) -> Arc<dyn Storage> {
    let (url, schema) = place.split_once(' ').unwrap();
    let options = PostgresOptions::new(url).unwrap().schema(schema).unwrap();
    Arc::new(PostgresStorage::connect(options).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_keeps_every_rule() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let places = AtomicUsize::new(0);
    let place = || format!("{url} case_{}", places.fetch_add(1, Ordering::Relaxed));
    let suite = conformance::Suite::at(place, open).processes("conformance::child");
    let report = suite.run().await;
    assert_eq!(report.passed(), conformance::cases().count(), "{report}");
}

/// A part of the one above when it is started by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    conformance::child(open).await;
}
