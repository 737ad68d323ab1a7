//! A storage that counts what it is asked, and takes its time to load and to commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jido_cluster::storage::{
    AppendOutcome, ClaimOutcome, ClaimRequest, Commit, Error, Loaded, MemoryStorage, Storage,
};
use jido_cluster::{AgentId, Entry, Seq};

/// How long a load takes.
const LOAD: Duration = Duration::from_millis(2);

/// How long commits take, all that are made at a time.
const COMMIT: Duration = Duration::from_millis(2);

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) claims: AtomicUsize,
    pub(crate) loads: AtomicUsize,
    /// Loads under way.
    loading: AtomicUsize,
    /// The most loads that were under way at a time.
    pub(crate) most_loading: AtomicUsize,
    pub(crate) commits: AtomicUsize,
    /// Commits under way.
    committing: AtomicUsize,
    /// The most commits that were under way at a time.
    pub(crate) most_committing: AtomicUsize,
    pub(crate) pages: AtomicUsize,
}

impl Counts {
    pub(crate) fn of(&self, what: fn(&Self) -> &AtomicUsize) -> usize {
        what(self).load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
pub(crate) struct Counting {
    inner: MemoryStorage,
    pub(crate) counts: Arc<Counts>,
}

/// A shared storage, and what it counts.
pub(crate) fn counting() -> (Arc<dyn Storage>, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let storage = Counting {
        inner: MemoryStorage::shared(),
        counts: counts.clone(),
    };
    (Arc::new(storage), counts)
}

#[async_trait]
impl jido_cluster::storage::Layer for Counting {
    fn inner(&self) -> &dyn Storage {
        &self.inner
    }

    async fn claim(&self, claim: ClaimRequest) -> Result<ClaimOutcome, Error> {
        self.counts.claims.fetch_add(1, Ordering::SeqCst);
        self.inner.claim(claim).await
    }

    async fn load(&self, id: &AgentId) -> Result<Option<Loaded>, Error> {
        self.counts.loads.fetch_add(1, Ordering::SeqCst);
        let now = self.counts.loading.fetch_add(1, Ordering::SeqCst) + 1;
        self.counts.most_loading.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(LOAD).await;
        self.counts.loading.fetch_sub(1, Ordering::SeqCst);
        self.inner.load(id).await
    }

    async fn read_thread(&self, id: &AgentId, from: Seq, n: usize) -> Result<Vec<Entry>, Error> {
        self.counts.pages.fetch_add(1, Ordering::SeqCst);
        self.inner.read_thread(id, from, n).await
    }

    async fn append_many(&self, commits: Vec<Commit>) -> Vec<AppendOutcome> {
        self.counts
            .commits
            .fetch_add(commits.len(), Ordering::SeqCst);
        let many = commits.len();
        let now = self.counts.committing.fetch_add(many, Ordering::SeqCst) + many;
        self.counts.most_committing.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(COMMIT).await;
        self.counts.committing.fetch_sub(many, Ordering::SeqCst);
        self.inner.append_many(commits).await
    }
}
