//! The whole conformance suite over the database in memory.

use std::sync::atomic::{AtomicU64, Ordering};

use super::double::{Double, Faults, Handle};
use super::*;
use crate::conformance;

async fn run(max_commit_bytes: usize, faults: Faults) {
    let seed = AtomicU64::new(1);
    let doubles = parking_lot::Mutex::new(Vec::new());
    conformance::run(|| {
        let seed = seed.fetch_add(1, Ordering::Relaxed);
        let double = Double::faulty(seed, faults);
        doubles.lock().push(double.clone());
        async move {
            let storage = FoundationDbStorage::over(
                Arc::new(Handle(double)),
                PREFIX.to_vec(),
                u128::from(seed),
                max_commit_bytes,
            )
            .await
            .unwrap();
            Arc::new(storage) as Arc<dyn Storage>
        }
    })
    .await;
    let seen: Vec<_> = doubles.lock().iter().map(|double| double.seen()).collect();
    assert!(seen.iter().map(|seen| seen.conflicts).sum::<u64>() > 0);
    if faults.in_flight > 0 {
        assert!(seen.iter().map(|seen| seen.late_refused).sum::<u64>() > 0);
        assert!(seen.iter().map(|seen| seen.late_applied).sum::<u64>() > 0);
    }
    if max_commit_bytes <= DEFAULT_MAX_COMMIT_BYTES {
        let largest = seen.iter().map(|seen| seen.largest).max();
        assert!(
            largest < Some(1_000_000),
            "a transaction has {largest:?} bytes"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conformance() {
    run(DEFAULT_MAX_COMMIT_BYTES, Faults::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conformance_with_a_larger_limit() {
    run(4_000_000, Faults::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conformance_with_faults() {
    let faults = Faults {
        reads: 5,
        refused: 50,
        applied: 50,
        lost: 50,
        in_flight: 60,
    };
    run(DEFAULT_MAX_COMMIT_BYTES, faults).await;
}
