//! A claim is given back by whoever asks, also under an epoch that is over.

use async_trait::async_trait;
use jido_storage::conformance::Rule;
use jido_storage::{AppendOutcome, Commit, Storage};

use crate::double::{Flaw, Rows};
use crate::verdict::is_caught;

#[derive(Debug)]
struct ReleaseUnchecked {
    on: bool,
}

#[async_trait]
impl Flaw for ReleaseUnchecked {
    async fn append(&self, rows: &Rows, commit: Commit) -> AppendOutcome {
        let (id, release, at) = (commit.id.clone(), commit.release, commit.at);
        let outcome = rows.append(commit).await;
        if let (true, AppendOutcome::Fenced { epoch }) = (self.on && release, &outcome)
            && let Some(head) = rows.head(&id).await.unwrap()
        {
            let mut free = Commit::new(id, *epoch, head.revision, at);
            free.release = true;
            // It may be free already.
            let _freed = rows.append(free).await;
        }
        outcome
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    is_caught(|on| ReleaseUnchecked { on }, &[Rule::Release]).await;
}
