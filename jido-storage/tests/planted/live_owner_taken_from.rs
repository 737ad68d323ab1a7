//! A claim succeeds although a live node owns the agent.

use async_trait::async_trait;
use jido_storage::conformance::Rule;
use jido_storage::{ClaimOutcome, ClaimRequest, Error, Storage};

use crate::double::{Flaw, Rows};
use crate::verdict::is_caught;

#[derive(Debug)]
struct LiveOwnerTakenFrom {
    on: bool,
}

#[async_trait]
impl Flaw for LiveOwnerTakenFrom {
    async fn claim(&self, rows: &Rows, mut claim: ClaimRequest) -> Result<ClaimOutcome, Error> {
        let owner = rows.head(&claim.id).await?.and_then(|head| head.owner);
        if self.on {
            claim.take_from = owner;
        }
        rows.claim(claim).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    is_caught(|on| LiveOwnerTakenFrom { on }, &[Rule::Claim, Rule::Whole]).await;
}
