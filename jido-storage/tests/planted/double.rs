//! The memory adapter with hooks, each of which a flaw may replace.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use jido_core::{AgentId, ClusterName, Entry, Epoch, Incarnation, RequestId, Seq, Timestamp};
use jido_storage::{
    AgentRecord, AppendOutcome, Capabilities, ClaimOutcome, ClaimRequest, Commit, CommittedRequest,
    DirectoryPage, DirectoryQuery, Due, DueQuery, Error, Loaded, MemoryStorage, NodeRecord,
    NodeRegistration, Registration, Renewal, Storage,
};

/// What is stored, soundly.
pub(crate) type Rows = Arc<MemoryStorage>;

/// A flaw: it replaces what it breaks. Each takes a switch, and with the switch off
/// does the same by the rules.
#[async_trait]
pub(crate) trait Flaw: fmt::Debug + Send + Sync + 'static {
    async fn register_node(
        &self,
        rows: &Rows,
        node: NodeRegistration,
    ) -> Result<Registration, Error> {
        rows.register_node(node).await
    }

    async fn renew_node(
        &self,
        rows: &Rows,
        cluster: &ClusterName,
        life: Incarnation,
    ) -> Result<Renewal, Error> {
        rows.renew_node(cluster, life).await
    }

    async fn declare_dead(
        &self,
        rows: &Rows,
        cluster: &ClusterName,
        life: Incarnation,
        observed: Option<u64>,
    ) -> Result<bool, Error> {
        rows.declare_dead(cluster, life, observed).await
    }

    async fn nodes(&self, rows: &Rows, cluster: &ClusterName) -> Result<Vec<NodeRecord>, Error> {
        rows.nodes(cluster).await
    }

    async fn claim(&self, rows: &Rows, claim: ClaimRequest) -> Result<ClaimOutcome, Error> {
        rows.claim(claim).await
    }

    async fn load(&self, rows: &Rows, id: &AgentId) -> Result<Option<Loaded>, Error> {
        rows.load(id).await
    }

    async fn head(&self, rows: &Rows, id: &AgentId) -> Result<Option<AgentRecord>, Error> {
        rows.head(id).await
    }

    async fn heads(&self, rows: &Rows, ids: &[AgentId]) -> Result<Vec<Option<AgentRecord>>, Error> {
        // By way of `head`, so that a flaw there shows here too.
        let mut heads = Vec::with_capacity(ids.len());
        for id in ids {
            heads.push(self.head(rows, id).await?);
        }
        Ok(heads)
    }

    async fn read_thread(
        &self,
        rows: &Rows,
        id: &AgentId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        rows.read_thread(id, from, limit).await
    }

    async fn reply_of(
        &self,
        rows: &Rows,
        id: &AgentId,
        request: RequestId,
    ) -> Result<Option<CommittedRequest>, Error> {
        rows.reply_of(id, request).await
    }

    /// Whether appends go on when nobody waits for them any more, as they have to.
    fn outlives_its_caller(&self) -> bool {
        true
    }

    async fn append(&self, rows: &Rows, commit: Commit) -> AppendOutcome {
        rows.append(commit).await
    }

    async fn append_many(&self, rows: &Rows, commits: Vec<Commit>) -> Vec<AppendOutcome> {
        let mut outcomes = Vec::with_capacity(commits.len());
        for commit in commits {
            outcomes.push(self.append(rows, commit).await);
        }
        outcomes
    }

    async fn delete(
        &self,
        rows: &Rows,
        id: &AgentId,
        epoch: Epoch,
        at: Timestamp,
    ) -> AppendOutcome {
        rows.delete(id, epoch, at).await
    }

    async fn directory(&self, rows: &Rows, query: DirectoryQuery) -> Result<DirectoryPage, Error> {
        rows.directory(query).await
    }

    async fn due(&self, rows: &Rows, query: DueQuery) -> Result<Vec<Due>, Error> {
        rows.due(query).await
    }
}

/// An adapter with a flaw in it.
#[derive(Debug)]
pub(crate) struct Planted<F> {
    rows: Rows,
    flaw: Arc<F>,
}

impl<F> Planted<F> {
    pub(crate) fn new(flaw: F) -> Self {
        Self {
            rows: Arc::default(),
            flaw: Arc::new(flaw),
        }
    }
}

/// Lets others come in between, as a statement on its way to a server does.
pub(crate) async fn pause() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[async_trait]
impl<F: Flaw> Storage for Planted<F> {
    fn capabilities(&self) -> Capabilities {
        self.rows.capabilities()
    }

    async fn register_node(&self, node: NodeRegistration) -> Result<Registration, Error> {
        self.flaw.register_node(&self.rows, node).await
    }

    async fn renew_node(
        &self,
        cluster: &ClusterName,
        incarnation: Incarnation,
    ) -> Result<Renewal, Error> {
        self.flaw.renew_node(&self.rows, cluster, incarnation).await
    }

    async fn declare_dead(
        &self,
        cluster: &ClusterName,
        incarnation: Incarnation,
        observed: Option<u64>,
    ) -> Result<bool, Error> {
        self.flaw
            .declare_dead(&self.rows, cluster, incarnation, observed)
            .await
    }

    async fn nodes(&self, cluster: &ClusterName) -> Result<Vec<NodeRecord>, Error> {
        self.flaw.nodes(&self.rows, cluster).await
    }

    async fn claim(&self, claim: ClaimRequest) -> Result<ClaimOutcome, Error> {
        self.flaw.claim(&self.rows, claim).await
    }

    async fn load(&self, id: &AgentId) -> Result<Option<Loaded>, Error> {
        self.flaw.load(&self.rows, id).await
    }

    async fn head(&self, id: &AgentId) -> Result<Option<AgentRecord>, Error> {
        self.flaw.head(&self.rows, id).await
    }

    async fn heads(&self, ids: &[AgentId]) -> Result<Vec<Option<AgentRecord>>, Error> {
        self.flaw.heads(&self.rows, ids).await
    }

    async fn read_thread(
        &self,
        id: &AgentId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        self.flaw.read_thread(&self.rows, id, from, limit).await
    }

    async fn reply_of(
        &self,
        id: &AgentId,
        request: RequestId,
    ) -> Result<Option<CommittedRequest>, Error> {
        self.flaw.reply_of(&self.rows, id, request).await
    }

    async fn append_many(&self, commits: Vec<Commit>) -> Vec<AppendOutcome> {
        if !self.flaw.outlives_its_caller() {
            return self.flaw.append_many(&self.rows, commits).await;
        }
        let (rows, flaw) = (self.rows.clone(), self.flaw.clone());
        tokio::spawn(async move { flaw.append_many(&rows, commits).await })
            .await
            .unwrap()
    }

    async fn delete(&self, id: &AgentId, epoch: Epoch, at: Timestamp) -> AppendOutcome {
        self.flaw.delete(&self.rows, id, epoch, at).await
    }

    async fn directory(&self, query: DirectoryQuery) -> Result<DirectoryPage, Error> {
        self.flaw.directory(&self.rows, query).await
    }

    async fn due(&self, query: DueQuery) -> Result<Vec<Due>, Error> {
        self.flaw.due(&self.rows, query).await
    }
}
