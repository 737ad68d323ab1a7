//! A planted bug: commits are acknowledged before they are made.

use async_trait::async_trait;
use jido_core::{AgentId, ClusterName, Entry, Epoch, Incarnation, RequestId, Seq, Timestamp};
use jido_storage::{
    AgentRecord, AppendOutcome, Capabilities, ClaimOutcome, ClaimRequest, Commit, CommittedRequest,
    DirectoryPage, DirectoryQuery, Due, DueQuery, Error, Loaded, NodeRecord, NodeRegistration,
    PostgresStorage, Registration, Renewal, Storage,
};
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
impl Storage for Early {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn register_node(&self, node: NodeRegistration) -> Result<Registration, Error> {
        self.inner.register_node(node).await
    }

    async fn renew_node(&self, of: &ClusterName, life: Incarnation) -> Result<Renewal, Error> {
        self.inner.renew_node(of, life).await
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
        self.inner.claim(claim).await
    }

    async fn load(&self, id: &AgentId) -> Result<Option<Loaded>, Error> {
        self.inner.load(id).await
    }

    async fn head(&self, id: &AgentId) -> Result<Option<AgentRecord>, Error> {
        self.inner.head(id).await
    }

    async fn read_thread(&self, id: &AgentId, from: Seq, n: usize) -> Result<Vec<Entry>, Error> {
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
        // No faster than the database, so that the load does not fill the memory.
        let _busy = self.inner.head(&commits[0].id).await;
        let outcomes = commits
            .iter()
            .map(|commit| AppendOutcome::Committed(commit.expected.next()))
            .collect();
        self.later.send(commits).unwrap();
        outcomes
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
