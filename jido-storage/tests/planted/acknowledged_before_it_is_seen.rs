//! A commit is acknowledged once it is sure to succeed, and takes effect a moment later.

use std::time::Duration;

use async_trait::async_trait;
use jido_storage::conformance::Rule;
use jido_storage::{AppendOutcome, Commit, Storage};

use crate::double::{Flaw, Rows};
use crate::foresee::Foreseen;
use crate::verdict::is_caught;

/// Longer than whoever was told takes to look.
const A_MOMENT: Duration = Duration::from_millis(50);

#[derive(Debug)]
struct AcknowledgedBeforeItIsSeen {
    on: bool,
}

#[async_trait]
impl Flaw for AcknowledgedBeforeItIsSeen {
    async fn append(&self, rows: &Rows, commit: Commit) -> AppendOutcome {
        let foreseen = Foreseen::default().outcome(rows, &commit).await;
        if !self.on || !matches!(foreseen, AppendOutcome::Committed(_)) {
            return rows.append(commit).await;
        }
        let rows = rows.clone();
        tokio::spawn(async move {
            tokio::time::sleep(A_MOMENT).await;
            rows.append(commit).await
        });
        foreseen
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    let rules = [Rule::Append, Rule::Batch, Rule::Whole];
    is_caught(|on| AcknowledgedBeforeItIsSeen { on }, &rules).await;
}
