//! The reference adapter keeps the rules.

use std::sync::Arc;

use jido_storage::{MemoryStorage, Storage, conformance};

async fn alone() -> Arc<dyn Storage> {
    Arc::new(MemoryStorage::new())
}

async fn shared() -> Arc<dyn Storage> {
    Arc::new(MemoryStorage::shared())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conformance() {
    let report = conformance::run(alone).await;
    assert_eq!(report.not_run().count(), 0, "{report}");
    let reasons: Vec<&str> = report.not_applicable().map(|(_, why)| why).collect();
    assert!(reasons.contains(&"it is not durable"), "{reasons:?}");
    assert!(report.passed() + reasons.len() == conformance::cases().count());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conformance_of_one_that_nodes_of_a_process_share() {
    let report = conformance::run(shared).await;
    // Its nodes are of one process, so nothing can show it to others.
    let not_run: Vec<&str> = report.not_run().map(|(case, _)| case.name()).collect();
    assert_eq!(
        not_run,
        ["processes::every_revision_has_one_writer_among_processes"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_case_runs_alone() {
    let suite = conformance::Suite::new(alone);
    let outcome = suite.case("claims::a_live_owner_holds").await;
    assert_eq!(outcome, conformance::Outcome::Passed);
}
