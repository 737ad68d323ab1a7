//! The reference adapter keeps the rules.

use std::sync::Arc;

use jido_storage::{MemoryStorage, Storage, conformance};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conformance() {
    conformance::run(|| async { Arc::new(MemoryStorage::new()) as Arc<dyn Storage> }).await;
}
