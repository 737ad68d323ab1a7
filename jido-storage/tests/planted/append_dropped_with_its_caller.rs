//! An append is carried out by the future of its caller: when that is dropped, a batch
//! stays where it is.

use async_trait::async_trait;
use jido_storage::conformance::Rule;
use jido_storage::{AppendOutcome, Commit, Storage};

use crate::double::{Flaw, Rows, pause};
use crate::verdict::is_caught;

#[derive(Debug)]
struct DroppedWithItsCaller {
    on: bool,
}

#[async_trait]
impl Flaw for DroppedWithItsCaller {
    fn outlives_its_caller(&self) -> bool {
        !self.on
    }

    async fn append(&self, rows: &Rows, commit: Commit) -> AppendOutcome {
        pause().await;
        rows.append(commit).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    is_caught(|on| DroppedWithItsCaller { on }, &[Rule::Settled]).await;
}
