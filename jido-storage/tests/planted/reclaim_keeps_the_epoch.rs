//! A claim by the owner itself is answered with the epoch that it has.

use async_trait::async_trait;
use jido_storage::conformance::Rule;
use jido_storage::{ClaimOutcome, ClaimRequest, Error, Storage};

use crate::double::{Flaw, Rows};
use crate::verdict::is_caught;

#[derive(Debug)]
struct ReclaimKeepsTheEpoch {
    on: bool,
}

#[async_trait]
impl Flaw for ReclaimKeepsTheEpoch {
    async fn claim(&self, rows: &Rows, claim: ClaimRequest) -> Result<ClaimOutcome, Error> {
        let head = rows.head(&claim.id).await?;
        let own = head.filter(|head| self.on && head.owner == Some(claim.claimant));
        match own {
            Some(head) => Ok(ClaimOutcome::Claimed(head.epoch)),
            None => rows.claim(claim).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    is_caught(|on| ReclaimKeepsTheEpoch { on }, &[Rule::Claim]).await;
}
