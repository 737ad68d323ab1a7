//! Storages that change a part of what another does.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use jido_core::{AgentId, ClusterName, Entry, Epoch, Incarnation, RequestId, Seq, Timestamp};

use crate::{
    AgentRecord, AppendOutcome, BatchWatcher, Capabilities, ClaimOutcome, ClaimRequest, Commit,
    CommittedRequest, DirectoryPage, DirectoryQuery, Due, DueQuery, Error, Loaded, NodeRecord,
    NodeRegistration, Registration, Renewal, Storage,
};

/// A storage over another one: what it does not define, the inner one does. Whatever is a
/// layer is a [`Storage`]; what counts, delays or fails for a test is written so in few lines.
///
/// Name the trait by its path where it is implemented. Where both it and `Storage` are
/// imported, a call on the layer itself is ambiguous.
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use async_trait::async_trait;
/// use jido_storage::{AppendOutcome, Commit, MemoryStorage, Storage};
///
/// #[derive(Debug)]
/// struct Counted {
///     inner: MemoryStorage,
///     commits: AtomicUsize,
/// }
///
/// #[async_trait]
/// impl jido_storage::Layer for Counted {
///     fn inner(&self) -> &dyn Storage {
///         &self.inner
///     }
///
///     async fn append_many(&self, commits: Vec<Commit>) -> Vec<AppendOutcome> {
///         self.commits.fetch_add(commits.len(), Ordering::Relaxed);
///         self.inner.append_many(commits).await
///     }
/// }
/// # fn is_storage(_: &dyn Storage) {}
/// # is_storage(&Counted { inner: MemoryStorage::new(), commits: AtomicUsize::new(0) });
/// ```
///
/// A single [`Storage::append`] goes by [`append_many`](Layer::append_many) as well.
#[async_trait]
pub trait Layer: fmt::Debug + Send + Sync + 'static {
    /// The storage below.
    fn inner(&self) -> &dyn Storage;

    /// As [`Storage::capabilities`].
    fn capabilities(&self) -> Capabilities {
        self.inner().capabilities()
    }

    /// As [`Storage::register_node`].
    async fn register_node(&self, node: NodeRegistration) -> Result<Registration, Error> {
        self.inner().register_node(node).await
    }

    /// As [`Storage::renew_node`].
    async fn renew_node(&self, cluster: &ClusterName, life: Incarnation) -> Result<Renewal, Error> {
        self.inner().renew_node(cluster, life).await
    }

    /// As [`Storage::declare_dead`].
    async fn declare_dead(
        &self,
        cluster: &ClusterName,
        life: Incarnation,
        observed: Option<u64>,
    ) -> Result<bool, Error> {
        self.inner().declare_dead(cluster, life, observed).await
    }

    /// As [`Storage::nodes`].
    async fn nodes(&self, cluster: &ClusterName) -> Result<Vec<NodeRecord>, Error> {
        self.inner().nodes(cluster).await
    }

    /// As [`Storage::claim`].
    async fn claim(&self, claim: ClaimRequest) -> Result<ClaimOutcome, Error> {
        self.inner().claim(claim).await
    }

    /// As [`Storage::load`].
    async fn load(&self, id: &AgentId) -> Result<Option<Loaded>, Error> {
        self.inner().load(id).await
    }

    /// As [`Storage::head`].
    async fn head(&self, id: &AgentId) -> Result<Option<AgentRecord>, Error> {
        self.inner().head(id).await
    }

    /// As [`Storage::heads`].
    async fn heads(&self, ids: &[AgentId]) -> Result<Vec<Option<AgentRecord>>, Error> {
        self.inner().heads(ids).await
    }

    /// As [`Storage::read_thread`].
    async fn read_thread(
        &self,
        id: &AgentId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        self.inner().read_thread(id, from, limit).await
    }

    /// As [`Storage::reply_of`].
    async fn reply_of(
        &self,
        id: &AgentId,
        request: RequestId,
    ) -> Result<Option<CommittedRequest>, Error> {
        self.inner().reply_of(id, request).await
    }

    /// As [`Storage::append_many`].
    async fn append_many(&self, commits: Vec<Commit>) -> Vec<AppendOutcome> {
        self.inner().append_many(commits).await
    }

    /// As [`Storage::delete`].
    async fn delete(&self, id: &AgentId, epoch: Epoch, at: Timestamp) -> AppendOutcome {
        self.inner().delete(id, epoch, at).await
    }

    /// As [`Storage::directory`].
    async fn directory(&self, query: DirectoryQuery) -> Result<DirectoryPage, Error> {
        self.inner().directory(query).await
    }

    /// As [`Storage::due`].
    async fn due(&self, query: DueQuery) -> Result<Vec<Due>, Error> {
        self.inner().due(query).await
    }

    /// As [`Storage::queued`].
    fn queued(&self) -> usize {
        self.inner().queued()
    }

    /// As [`Storage::watch_batches`].
    fn watch_batches(&self, watcher: &Arc<dyn BatchWatcher>) {
        self.inner().watch_batches(watcher);
    }
}

#[async_trait]
impl<L: Layer> Storage for L {
    fn capabilities(&self) -> Capabilities {
        Layer::capabilities(self)
    }

    async fn register_node(&self, node: NodeRegistration) -> Result<Registration, Error> {
        Layer::register_node(self, node).await
    }

    async fn renew_node(&self, cluster: &ClusterName, life: Incarnation) -> Result<Renewal, Error> {
        Layer::renew_node(self, cluster, life).await
    }

    async fn declare_dead(
        &self,
        cluster: &ClusterName,
        life: Incarnation,
        observed: Option<u64>,
    ) -> Result<bool, Error> {
        Layer::declare_dead(self, cluster, life, observed).await
    }

    async fn nodes(&self, cluster: &ClusterName) -> Result<Vec<NodeRecord>, Error> {
        Layer::nodes(self, cluster).await
    }

    async fn claim(&self, claim: ClaimRequest) -> Result<ClaimOutcome, Error> {
        Layer::claim(self, claim).await
    }

    async fn load(&self, id: &AgentId) -> Result<Option<Loaded>, Error> {
        Layer::load(self, id).await
    }

    async fn head(&self, id: &AgentId) -> Result<Option<AgentRecord>, Error> {
        Layer::head(self, id).await
    }

    async fn heads(&self, ids: &[AgentId]) -> Result<Vec<Option<AgentRecord>>, Error> {
        Layer::heads(self, ids).await
    }

    async fn read_thread(
        &self,
        id: &AgentId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        Layer::read_thread(self, id, from, limit).await
    }

    async fn reply_of(
        &self,
        id: &AgentId,
        request: RequestId,
    ) -> Result<Option<CommittedRequest>, Error> {
        Layer::reply_of(self, id, request).await
    }

    async fn append_many(&self, commits: Vec<Commit>) -> Vec<AppendOutcome> {
        Layer::append_many(self, commits).await
    }

    async fn delete(&self, id: &AgentId, epoch: Epoch, at: Timestamp) -> AppendOutcome {
        Layer::delete(self, id, epoch, at).await
    }

    async fn directory(&self, query: DirectoryQuery) -> Result<DirectoryPage, Error> {
        Layer::directory(self, query).await
    }

    async fn due(&self, query: DueQuery) -> Result<Vec<Due>, Error> {
        Layer::due(self, query).await
    }

    fn queued(&self) -> usize {
        Layer::queued(self)
    }

    fn watch_batches(&self, watcher: &Arc<dyn BatchWatcher>) {
        Layer::watch_batches(self, watcher);
    }
}
