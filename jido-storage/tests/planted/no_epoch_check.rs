//! An append is written whatever its epoch.

use async_trait::async_trait;
use jido_storage::conformance::Rule;
use jido_storage::{AppendOutcome, Commit, Storage};

use crate::double::{Flaw, Rows};
use crate::verdict::is_caught;

#[derive(Debug)]
struct NoEpochCheck {
    on: bool,
}

#[async_trait]
impl Flaw for NoEpochCheck {
    async fn append(&self, rows: &Rows, mut commit: Commit) -> AppendOutcome {
        if let Some(head) = rows.head(&commit.id).await.unwrap()
            && self.on
        {
            commit.epoch = head.epoch;
        }
        rows.append(commit).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    let rules = [Rule::Claim, Rule::Append, Rule::Settled, Rule::Whole];
    is_caught(|on| NoEpochCheck { on }, &rules).await;
}
