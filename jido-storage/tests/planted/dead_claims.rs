//! A claim asks whether its claimant has a record, and not whether it is up.

use jido_storage::conformance::Rule;

use crate::lives::{Lives, Look};
use crate::verdict::is_caught;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    let plant = |on| Lives::new(if on { Look::Never } else { Look::Meanwhile });
    is_caught(plant, &[Rule::Claim, Rule::Node]).await;
}
