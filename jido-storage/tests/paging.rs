//! Long threads are read in little memory of the process. LMDB's map is not counted: it
//! is the machine's cache of the file.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "this is test code: what goes wrong ends the test, and it tells what it measured"
)]

#[path = "common/paging.rs"]
mod paging;

use jido_core::fuzz::PeakAlloc;
use jido_storage::{LmdbStorage, MemoryStorage};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// One test for all, since they measure the memory of the whole process.
#[tokio::test]
async fn a_thread_of_100_000_entries_is_read_in_the_memory_of_a_page() {
    paging::pages_take_the_memory_of_a_page(&MemoryStorage::new()).await;
    let folder = tempfile::tempdir().unwrap();
    let storage = LmdbStorage::open(folder.path()).unwrap();
    paging::pages_take_the_memory_of_a_page(&storage).await;
    #[cfg(feature = "postgres")]
    postgres().await;
}

#[cfg(feature = "postgres")]
async fn postgres() {
    use jido_storage::{PostgresOptions, PostgresStorage};
    let builder = jido_testkit::postgres::TemporaryPostgres::builder().fsync_off();
    let server = builder.start().await.unwrap();
    let url = server.fresh_database().await.unwrap();
    let options = PostgresOptions::new(&url).unwrap();
    let storage = PostgresStorage::connect(options).await.unwrap();
    paging::pages_take_the_memory_of_a_page(&storage).await;
}
