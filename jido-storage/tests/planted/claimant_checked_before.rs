//! A claim looks whether its claimant is up, then waits for its turn, and writes although
//! the claimant was declared dead meanwhile.

use jido_storage::conformance::Rule;

use crate::lives::{Lives, Look};
use crate::verdict::is_caught;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    let plant = |on| Lives::new(if on { Look::Before } else { Look::Meanwhile });
    is_caught(plant, &[Rule::Node]).await;
}
