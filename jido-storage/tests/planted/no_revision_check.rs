//! An append is written whatever revision it builds on.

use async_trait::async_trait;
use jido_storage::conformance::Rule;
use jido_storage::{AppendOutcome, Commit, Storage};

use crate::double::{Flaw, Rows};
use crate::verdict::is_caught;

#[derive(Debug)]
struct NoRevisionCheck {
    on: bool,
}

#[async_trait]
impl Flaw for NoRevisionCheck {
    async fn append(&self, rows: &Rows, mut commit: Commit) -> AppendOutcome {
        if let Some(head) = rows.head(&commit.id).await.unwrap()
            && self.on
        {
            commit.expected = head.revision;
        }
        rows.append(commit).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    let rules = [Rule::Append, Rule::Batch, Rule::Whole];
    is_caught(|on| NoRevisionCheck { on }, &rules).await;
}
