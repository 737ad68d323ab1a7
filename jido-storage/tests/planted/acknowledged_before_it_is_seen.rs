//! A commit is acknowledged once it is sure to succeed, and takes effect a moment later.

use async_trait::async_trait;
use jido_storage::conformance::Rule;
use jido_storage::{AppendOutcome, Commit, Storage};

use crate::double::{Flaw, Rows, pause};
use crate::foresee::Foreseen;
use crate::verdict::is_caught;

#[derive(Debug)]
struct AcknowledgedBeforeItIsSeen {
    on: bool,
}

#[async_trait]
impl Flaw for AcknowledgedBeforeItIsSeen {
    async fn append(&self, rows: &Rows, commit: Commit) -> AppendOutcome {
        let foreseen = Foreseen::default().outcome(rows, &commit).await;
        let writing = {
            let (rows, on) = (rows.clone(), self.on);
            tokio::spawn(async move {
                if on {
                    pause().await;
                }
                rows.append(commit).await
            })
        };
        if self.on && matches!(foreseen, AppendOutcome::Committed(_)) {
            return foreseen;
        }
        writing.await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    let rules = [Rule::Append, Rule::Batch, Rule::Whole];
    is_caught(|on| AcknowledgedBeforeItIsSeen { on }, &rules).await;
}
