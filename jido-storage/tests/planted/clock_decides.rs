//! An owner that has not committed for a while, by the claimant's clock, counts as dead.

use async_trait::async_trait;
use jido_storage::conformance::Rule;
use jido_storage::{ClaimOutcome, ClaimRequest, Error, Storage};

use crate::double::{Flaw, Rows};
use crate::verdict::is_caught;

const A_WHILE: u64 = 60_000;

#[derive(Debug)]
struct ClockDecides {
    on: bool,
}

#[async_trait]
impl Flaw for ClockDecides {
    async fn claim(&self, rows: &Rows, mut claim: ClaimRequest) -> Result<ClaimOutcome, Error> {
        if let Some(head) = rows.head(&claim.id).await?
            && self.on
            && claim.at.0 > head.updated_at.0.saturating_add(A_WHILE)
        {
            claim.take_from = head.owner;
        }
        rows.claim(claim).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    is_caught(|on| ClockDecides { on }, &[Rule::Limit]).await;
}
