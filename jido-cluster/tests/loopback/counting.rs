//! A storage that counts what it is asked, and takes its time to load.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jido_cluster::storage::{
    AgentRecord, AppendOutcome, Capabilities, ClaimOutcome, ClaimRequest, Commit, CommittedRequest,
    DirectoryPage, DirectoryQuery, Due, DueQuery, Error, Loaded, MemoryStorage, NodeRecord,
    NodeRegistration, Registration, Renewal, Storage,
};
use jido_cluster::{AgentId, ClusterName, Entry, Epoch, Incarnation, RequestId, Seq, Timestamp};

/// How long a load takes.
const LOAD: Duration = Duration::from_millis(2);

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) claims: AtomicUsize,
    pub(crate) loads: AtomicUsize,
    /// Loads under way.
    loading: AtomicUsize,
    /// The most loads that were under way at a time.
    pub(crate) most_loading: AtomicUsize,
    pub(crate) commits: AtomicUsize,
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
impl Storage for Counting {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn register_node(&self, node: NodeRegistration) -> Result<Registration, Error> {
        self.inner.register_node(node).await
    }

    async fn renew_node(&self, cluster: &ClusterName, life: Incarnation) -> Result<Renewal, Error> {
        self.inner.renew_node(cluster, life).await
    }

    async fn declare_dead(
        &self,
        cluster: &ClusterName,
        life: Incarnation,
        observed: Option<u64>,
    ) -> Result<bool, Error> {
        self.inner.declare_dead(cluster, life, observed).await
    }

    async fn nodes(&self, cluster: &ClusterName) -> Result<Vec<NodeRecord>, Error> {
        self.inner.nodes(cluster).await
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

    async fn head(&self, id: &AgentId) -> Result<Option<AgentRecord>, Error> {
        self.inner.head(id).await
    }

    async fn read_thread(&self, id: &AgentId, from: Seq, n: usize) -> Result<Vec<Entry>, Error> {
        self.counts.pages.fetch_add(1, Ordering::SeqCst);
        self.inner.read_thread(id, from, n).await
    }

    async fn reply_of(
        &self,
        id: &AgentId,
        request: RequestId,
    ) -> Result<Option<CommittedRequest>, Error> {
        self.inner.reply_of(id, request).await
    }

    async fn append_many(&self, commits: Vec<Commit>) -> Vec<AppendOutcome> {
        self.counts
            .commits
            .fetch_add(commits.len(), Ordering::SeqCst);
        self.inner.append_many(commits).await
    }

    async fn delete(&self, id: &AgentId, epoch: Epoch, at: Timestamp) -> AppendOutcome {
        self.inner.delete(id, epoch, at).await
    }

    async fn directory(&self, query: DirectoryQuery) -> Result<DirectoryPage, Error> {
        self.inner.directory(query).await
    }

    async fn due(&self, query: DueQuery) -> Result<Vec<Due>, Error> {
        self.inner.due(query).await
    }
}
