//! The contract that every adapter keeps.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use async_trait::async_trait;
use jido_core::{AgentId, ClusterName, Entry, Epoch, Incarnation, RequestId, Seq, Timestamp};

use crate::{
    AgentRecord, AppendOutcome, BatchWatcher, ClaimOutcome, ClaimRequest, Commit, CommittedRequest,
    DirectoryPage, DirectoryQuery, Due, DueQuery, Error, Loaded, NodeRecord, NodeRegistration,
    Registration, Renewal,
};

/// How far the same records are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sharing {
    /// By this process alone.
    Process,
    /// By the processes of one machine.
    Host,
    /// By every node of the cluster.
    Cluster,
}

/// Who makes batches of the commits that come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batching {
    /// The adapter itself, or there is nothing to be gained: commits go straight
    /// to [`Storage::append`].
    Itself,
    /// A [`GroupCommitter`](crate::GroupCommitter) in front of it, with so many
    /// batches in flight at once.
    Lanes(NonZeroUsize),
}

/// What an adapter can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// How far its records are seen. Agents move between nodes only where both see them.
    pub sharing: Sharing,
    /// Whether what it acknowledged survives the end of the process and of the machine.
    pub durable: bool,
    /// The largest commit that it takes, in bytes of payload
    /// ([`Commit::payload_len`]).
    pub max_commit_bytes: usize,
    /// Who makes batches of the commits that come at once.
    pub batching: Batching,
}

/// Claims, revision-checked append, load, node leases and directory.
///
/// # Rules
///
/// 1. **A claim is a compare-and-set.** It succeeds when the agent has no owner,
///    when its owner is dead (or has no record) or is the claimant, or when the
///    owner is the one that [`ClaimRequest::take_from`] names; and only for a
///    claimant that is up. It gives a larger epoch than every claim before, also
///    across deletions. Load comes after it, as a second step: done in one, an
///    entry that commits in between can be missed.
/// 2. **An append checks epoch and revision** in the same transaction that
///    writes its entries, checkpoint and request records, and it does so on the
///    agent's own record, so that of two that race one sees the other. The
///    epoch is checked first. An agent without an owner fences every append.
///    What the commit erases ([`Commit::erase`]) goes before what it writes. A request
///    that has a record already keeps it: the first reply stands.
/// 3. **Acknowledged means durable** where [`Capabilities::durable`] says so.
/// 4. **An outcome that can't be known is [`AppendOutcome::Unknown`]**, never an
///    error and never a guess. Once the claimant holds a larger epoch, an append
///    of a smaller one can no longer take effect. An append goes on when the
///    future that waits for it is dropped.
/// 5. **A release** ([`Commit::release`]) gives the claim back in the transaction
///    of the last checkpoint.
/// 6. **Bytes beyond a limit, a corrupt record, a full disk or map, a foreign
///    schema** are errors that name which, with nothing half written. An adapter
///    never panics on what it reads.
/// 7. **Dead is final**: a node that is dead neither renews nor claims, and what
///    it still commits is held back only once its agents are claimed by others.
///
/// All methods may be called at once from many tasks. Times are kept for people
/// and decide nothing.
#[async_trait]
pub trait Storage: fmt::Debug + Send + Sync + 'static {
    /// What the adapter can do. It never changes.
    fn capabilities(&self) -> Capabilities;

    /// Registers a life of a node as up, unless another life of its name is up
    /// in that cluster. Registering the same life again while it is up is harmless;
    /// a life that is dead stays dead and is answered with its own record as
    /// [`Registration::NameTaken`]. Dead lives of the same name that own nothing
    /// may be forgotten.
    async fn register_node(&self, node: NodeRegistration) -> Result<Registration, Error>;

    /// Renews a node's lease: adds one to its beat, where it is up.
    async fn renew_node(
        &self,
        cluster: &ClusterName,
        incarnation: Incarnation,
    ) -> Result<Renewal, Error>;

    /// Declares a life of a node dead: for good, and only if its beat is still
    /// `observed`. A node that shuts down cleanly passes none and is declared
    /// dead whatever its beat. Answers whether it is dead now; a life without a
    /// record is.
    async fn declare_dead(
        &self,
        cluster: &ClusterName,
        incarnation: Incarnation,
        observed: Option<u64>,
    ) -> Result<bool, Error>;

    /// All lives of nodes of a cluster that have a record.
    async fn nodes(&self, cluster: &ClusterName) -> Result<Vec<NodeRecord>, Error>;

    /// Claims an agent for a node (rule 1). The agent's record is made if there is none.
    async fn claim(&self, claim: ClaimRequest) -> Result<ClaimOutcome, Error>;

    /// Loads an agent's record, checkpoint, thread metadata, reminders and window of requests; none when it was never claimed or
    /// is deleted and not claimed since.
    async fn load(&self, id: &AgentId) -> Result<Option<Loaded>, Error>;

    /// An agent's record without its state; none as for [`Storage::load`].
    async fn head(&self, id: &AgentId) -> Result<Option<AgentRecord>, Error>;

    /// The records of many agents, in the order asked for. None of them is older than
    /// the call. Adapters that read many at once do so; the default reads one after
    /// the other.
    async fn heads(&self, ids: &[AgentId]) -> Result<Vec<Option<AgentRecord>>, Error> {
        let mut heads = Vec::with_capacity(ids.len());
        for id in ids {
            heads.push(self.head(id).await?);
        }
        Ok(heads)
    }

    /// Reads up to `limit` entries of a thread from place `from` on, in order.
    /// Fewer come at the thread's end, or where the adapter bounds the bytes of a
    /// page; at least one comes where there is one and `limit` is not 0.
    async fn read_thread(&self, id: &AgentId, from: Seq, limit: usize)
    -> Result<Vec<Entry>, Error>;

    /// What was committed for a request, if its record is kept.
    async fn reply_of(
        &self,
        id: &AgentId,
        request: RequestId,
    ) -> Result<Option<CommittedRequest>, Error>;

    /// Appends many commits, each succeeding or failing alone, with an outcome
    /// each in the same order (rule 2). Commits of one agent in a batch take
    /// effect in the order given.
    async fn append_many(&self, commits: Vec<Commit>) -> Vec<AppendOutcome>;

    /// Appends one commit.
    async fn append(&self, commit: Commit) -> AppendOutcome {
        let mut outcomes = self.append_many(vec![commit]).await;
        outcomes.pop().unwrap_or_else(|| {
            AppendOutcome::Unknown(Error::new(
                crate::ErrorKind::Unavailable,
                "the adapter gave no outcome for a commit",
            ))
        })
    }

    /// Deletes an agent: entries, metadata, checkpoint, reminders, requests with their floor, and claim, checked like an
    /// append by epoch. Its epoch is kept, so that no activation of before can
    /// write to an agent of the same key that comes after; its revision goes on
    /// counting.
    async fn delete(&self, id: &AgentId, epoch: Epoch, at: Timestamp) -> AppendOutcome;

    /// A page of a manager's directory.
    async fn directory(&self, query: DirectoryQuery) -> Result<DirectoryPage, Error>;

    /// The agents of a manager that are to be woken by a time
    /// ([`Reminders::wake_at`](crate::Reminders::wake_at)), owned or not, by that time; those of
    /// one time in an order that the adapter keeps from page to page. Fewer than asked
    /// for come only at the end.
    async fn due(&self, query: DueQuery) -> Result<Vec<Due>, Error>;

    /// How many operations wait for a batch that this storage makes of them itself, by
    /// default 0: for who watches it.
    fn queued(&self) -> usize {
        0
    }

    /// Tells a watcher of every batch that this storage makes itself, for as long as whoever
    /// gave it keeps it; by default of none.
    fn watch_batches(&self, _watcher: &Arc<dyn BatchWatcher>) {}
}
