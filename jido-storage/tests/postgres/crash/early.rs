//! A planted bug: commits are acknowledged before they are made.

use async_trait::async_trait;
use jido_storage::{AppendOutcome, Commit, PostgresStorage, Storage};
use tokio::sync::mpsc;

/// Says that all went well, then does it, a batch after the other.
#[derive(Debug)]
pub(crate) struct Early {
    inner: PostgresStorage,
    later: mpsc::UnboundedSender<Vec<Commit>>,
}

impl Early {
    pub(crate) fn new(inner: PostgresStorage) -> Self {
        let (later, mut batches) = mpsc::unbounded_channel::<Vec<Commit>>();
        let storage = inner.clone();
        tokio::spawn(async move {
            while let Some(batch) = batches.recv().await {
                drop(storage.append_many(batch).await);
            }
        });
        Self { inner, later }
    }
}

#[async_trait]
impl jido_storage::Layer for Early {
    fn inner(&self) -> &dyn Storage {
        &self.inner
    }

    async fn append_many(&self, commits: Vec<Commit>) -> Vec<AppendOutcome> {
        // No faster than the database, so that the load does not fill the memory.
        let _busy = self.inner.head(&commits[0].id).await;
        let outcomes = commits
            .iter()
            .map(|commit| AppendOutcome::Committed(commit.expected.next()))
            .collect();
        self.later.send(commits).unwrap();
        outcomes
    }
}
