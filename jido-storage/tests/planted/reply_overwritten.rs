//! `on conflict do update`: a retry's reply takes the place of the first one.

use async_trait::async_trait;
use jido_storage::conformance::Rule;
use jido_storage::{AppendOutcome, Commit, Storage};

use crate::double::{Flaw, Rows};
use crate::verdict::is_caught;

#[derive(Debug)]
struct ReplyOverwritten {
    on: bool,
}

#[async_trait]
impl Flaw for ReplyOverwritten {
    async fn append(&self, rows: &Rows, mut commit: Commit) -> AppendOutcome {
        if self.on {
            let requests = commit.requests.iter();
            let again = requests.map(|record| record.request);
            commit.forget.extend(again);
        }
        rows.append(commit).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    is_caught(|on| ReplyOverwritten { on }, &[Rule::Request, Rule::Whole]).await;
}
