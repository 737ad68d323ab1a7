//! The limit is found out part by part: what came before the part that is too large is
//! written, and the commit is refused.

use async_trait::async_trait;
use jido_storage::conformance::Rule;
use jido_storage::{AppendOutcome, Commit, ErrorKind, Storage};

use crate::double::{Flaw, Rows};
use crate::verdict::is_caught;

#[derive(Debug)]
struct HalfWritten {
    on: bool,
}

#[async_trait]
impl Flaw for HalfWritten {
    async fn append(&self, rows: &Rows, commit: Commit) -> AppendOutcome {
        let mut entries = commit.clone();
        entries.checkpoint = None;
        entries.requests.clear();
        entries.release = false;
        let outcome = rows.append(commit).await;
        if let AppendOutcome::Failed(error) = &outcome
            && error.kind() == ErrorKind::TooLarge
            && self.on
        {
            let _half = rows.append(entries).await;
        }
        outcome
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    is_caught(|on| HalfWritten { on }, &[Rule::Limit]).await;
}
