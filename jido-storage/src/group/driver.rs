//! What hands the batches of a lane to the adapter.

use std::fmt;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;

use futures_util::FutureExt;
use futures_util::future::{join, join_all};

use super::lane::{Batch, Deletion, Lane, Waiting, answer};
use crate::batches::BatchWatchers;
use crate::{Commit, Storage};

/// Drives one lane of a [`GroupCommitter`](crate::GroupCommitter).
///
/// When it is dropped before its end, its lane is closed, and nobody knows how
/// the batch in flight ends.
#[must_use = "commits wait until it is run"]
pub struct GroupDriver {
    storage: Arc<dyn Storage>,
    lane: Arc<Lane>,
    watchers: Arc<BatchWatchers>,
}

impl GroupDriver {
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        lane: Arc<Lane>,
        watchers: Arc<BatchWatchers>,
    ) -> Self {
        Self {
            storage,
            lane,
            watchers,
        }
    }

    /// Commits one batch after the other, until the committer is closed or dropped
    /// and the last batch has ended.
    pub async fn run(self) {
        while let Some(batch) = self.lane.next_batch().await {
            self.watchers.tell(batch.len());
            let Batch { commits, deletions } = batch;
            let deletions = deletions
                .into_iter()
                .map(|deletion| delete(&*self.storage, deletion));
            let work = join(append(&*self.storage, commits), join_all(deletions));
            // What the panic hit is lost with it, and its callers hear that nobody
            // knows. The adapter is shared, and would go on with any other caller too.
            if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                tracing::error!("the storage panicked within a batch of commits");
            }
            // The callers who have just been answered are ready to run, and many of
            // them commit again at once. Without their turn the next batch would be
            // the first of them alone, and all others waited for one more.
            let_others_run().await;
        }
    }
}

impl Drop for GroupDriver {
    fn drop(&mut self) {
        self.lane.close();
    }
}

impl fmt::Debug for GroupDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupDriver")
            .field("storage", &self.storage)
            .field("lane", &self.lane)
            .finish_non_exhaustive()
    }
}

async fn append(storage: &dyn Storage, commits: Vec<Waiting<Commit>>) {
    if commits.is_empty() {
        return;
    }
    let (commits, callers): (Vec<_>, Vec<_>) = commits
        .into_iter()
        .map(|waiting| (waiting.work, waiting.outcome))
        .unzip();
    // A caller for whom there is no outcome is dropped, and takes it for unknown.
    for (caller, outcome) in callers.into_iter().zip(storage.append_many(commits).await) {
        answer(caller, outcome);
    }
}

async fn delete(storage: &dyn Storage, deletion: Waiting<Deletion>) {
    let Deletion { id, epoch, at } = deletion.work;
    answer(deletion.outcome, storage.delete(&id, epoch, at).await);
}

/// Lets every task that is ready run first.
async fn let_others_run() {
    let mut was_polled = false;
    poll_fn(|context| {
        if std::mem::replace(&mut was_polled, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
