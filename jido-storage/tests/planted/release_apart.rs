//! The last checkpoint is committed first, and the claim is given back in a transaction
//! of its own: whoever comes in between finds an owner that has gone.

use std::time::Duration;

use async_trait::async_trait;
use jido_storage::conformance::Rule;
use jido_storage::{AppendOutcome, Commit, Storage};

use crate::double::{Flaw, Rows};
use crate::verdict::is_caught;

const ROUND_TRIP: Duration = Duration::from_millis(2);

#[derive(Debug)]
struct ReleaseApart {
    on: bool,
}

#[async_trait]
impl Flaw for ReleaseApart {
    async fn append(&self, rows: &Rows, mut commit: Commit) -> AppendOutcome {
        if !commit.release || !self.on {
            return rows.append(commit).await;
        }
        commit.release = false;
        let (id, epoch, at) = (commit.id.clone(), commit.epoch, commit.at);
        let outcome = rows.append(commit).await;
        if let AppendOutcome::Committed(revision) = outcome {
            // The way to a server and back.
            tokio::time::sleep(ROUND_TRIP).await;
            let mut release = Commit::new(id, epoch, revision, at);
            release.release = true;
            let _released = rows.append(release).await;
        }
        outcome
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    is_caught(|on| ReleaseApart { on }, &[Rule::Release]).await;
}
