//! The Postgres adapter keeps the rules, on real servers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "this is test code: what goes wrong ends the test, and it starts tasks and processes"
)]

mod errors;
mod fixture;
mod heads;
mod lost;
mod race;
mod roles;
mod schema;
mod secrets;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jido_storage::{PostgresOptions, PostgresStorage, Storage, conformance};
use jido_testkit::postgres::TemporaryPostgres;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conformance() {
    let builder = TemporaryPostgres::builder().fsync_off();
    let server = builder.start().await.unwrap();
    let url = server.fresh_database().await.unwrap();
    let cases = AtomicUsize::new(0);
    conformance::run(|| async {
        let schema = format!("case_{}", cases.fetch_add(1, Ordering::Relaxed));
        let options = PostgresOptions::new(&url).unwrap().schema(&schema).unwrap();
        Arc::new(PostgresStorage::connect(options).await.unwrap()) as Arc<dyn Storage>
    })
    .await;
}
