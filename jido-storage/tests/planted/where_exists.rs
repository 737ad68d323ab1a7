//! `insert .. where exists (select .. epoch = mine)`: the check reads the snapshot of when
//! the statement began, the write comes later and locks nothing that the check read.

use async_trait::async_trait;
use jido_storage::conformance::Rule;
use jido_storage::{AppendOutcome, Commit, Storage};

use crate::double::{Flaw, Rows, pause};
use crate::verdict::is_caught;

#[derive(Debug)]
struct WhereExists {
    on: bool,
}

#[async_trait]
impl Flaw for WhereExists {
    async fn append(&self, rows: &Rows, mut commit: Commit) -> AppendOutcome {
        let snapshot = rows.head(&commit.id).await.unwrap();
        let Some(snapshot) = snapshot else {
            return rows.append(commit).await;
        };
        if snapshot.epoch != commit.epoch || snapshot.owner.is_none() {
            return AppendOutcome::Fenced {
                epoch: snapshot.epoch,
            };
        }
        pause().await;
        // The row goes in: what would have kept it out is not looked at again. Its place
        // in the thread is a primary key, so that a second one of a place is refused.
        let now = rows.head(&commit.id).await.unwrap();
        if let Some(now) = now.filter(|_| self.on) {
            commit.epoch = now.epoch;
        }
        rows.append(commit).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    // Those of rule 4 see it nearly always, and by chance; the one that races for long always.
    is_caught(|on| WhereExists { on }, &[Rule::Whole]).await;
}
