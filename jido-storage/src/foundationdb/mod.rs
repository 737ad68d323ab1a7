//! The adapter on FoundationDB: durable, shared by every node of a cluster.
//!
//! Everything but `client.rs`, `network.rs` and `options.rs` is without the client library,
//! and is tested over a database in memory.

mod agent_ops;
#[cfg(feature = "foundationdb")]
mod client;
mod database;
mod due;
mod fault;
mod lanes;
mod layout;
#[cfg(feature = "foundationdb")]
mod network;
mod node_ops;
#[cfg(feature = "foundationdb")]
mod options;
mod plan;
mod read;
mod rows;
mod schema;
#[cfg(test)]
mod tests;
mod transact;

use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;

use async_trait::async_trait;
use jido_core::{
    AgentId, ClusterName, Entry, Epoch, Incarnation, RequestId, Revision, Seq, Timestamp,
};
use tokio::runtime::Handle;

use self::agent_ops::{Append, Delete};
use self::database::Database;
use self::lanes::Lanes;
use self::layout::Layout;
use self::node_ops::{DeclareDead, Nodes, Renew};
#[cfg(feature = "foundationdb")]
pub use self::options::FoundationDbOptions;
use self::plan::{cost, first_batch};
use self::read::{
    HEADS, Heads, Load, NextAgents, PAGE_AGENTS, ReadThread, ReplyOf, agent_before, cursor,
};
use self::rows::AgentRow;
use self::schema::{CheckSchema, Sweep};
use self::transact::{Ended, Operation, Store, abandoned};
use crate::{
    AgentRecord, AppendOutcome, Batching, Capabilities, ClaimOutcome, ClaimRequest, Commit,
    CommittedRequest, DirectoryPage, DirectoryQuery, Due, DueQuery, Error, ErrorKind, Loaded,
    NodeRecord, NodeRegistration, Registration, Renewal, Sharing, Storage,
};

/// How many batches of commits are in flight at once.
const BATCHES: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// How large a commit may be unless the options say otherwise, in bytes of payload: with its keys
/// it then makes a transaction below 1 MB, beyond which the engine's makers advise against it.
const DEFAULT_MAX_COMMIT_BYTES: usize = 950_000;

/// How large a transaction grows by taking more commits in: with its marker it stays below 1 MB.
const BATCH_BYTES: usize = 990_000;

/// How large a transaction can be at all; the engine refuses 10 MB.
const MAX_TRANSACTION_BYTES: usize = 9_500_000;

/// Keeps everything in a FoundationDB cluster: durable, and shared by every node
/// that opens the same prefix or directory of it.
///
/// # How it works
///
/// A batch of commits is one transaction, as far as they fit into 1 MB. It reads who owns
/// each agent and how far that is, and writes the latter, so that two who commit for one agent conflict; the one that lost is
/// made again on what it then reads, until it has an outcome. A claim writes who owns the agent:
/// what the former owner has under way conflicts with it, and it with nothing of that owner's, however
/// busy it is. Transactions of different agents don't touch each other, and claims don't conflict with
/// renewals of leases. Values over 100 kB are cut into several.
///
/// When a commit's outcome is lost (a commit proxy failed, or the time was up), it
/// is found out by a marker that each transaction writes, and only if that fails as well
/// does the caller hear [`Unknown`](AppendOutcome::Unknown).
///
/// What writes runs in a task of its own on the tokio runtime of the caller, and goes on when the caller
/// stops waiting. All storages of a process share the client library's one network
/// thread, which is stopped when the process exits.
#[derive(Clone)]
#[cfg_attr(
    not(feature = "foundationdb"),
    allow(unreachable_pub, reason = "it is public with its feature")
)]
pub struct FoundationDbStorage {
    store: Arc<Store>,
    max_commit_bytes: usize,
}

impl fmt::Debug for FoundationDbStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FoundationDbStorage")
            .field("database", &self.store.database)
            .field("max_commit_bytes", &self.max_commit_bytes)
            .finish_non_exhaustive()
    }
}

impl FoundationDbStorage {
    /// Opens the storage behind a prefix of a database. `instance` is random.
    async fn over(
        database: Arc<dyn Database>,
        prefix: Vec<u8>,
        instance: u128,
        max_commit_bytes: usize,
    ) -> Result<Self, Error> {
        let store = Store {
            database,
            layout: Layout::new(prefix),
            lanes: Lanes::new(instance),
        };
        store.read(&CheckSchema).await?;
        // What could not be swept is swept another time.
        if let Err(error) = store.read(&Sweep { from: instance }).await {
            tracing::debug!(%error, "old markers were not swept");
        }
        Ok(Self {
            store: Arc::new(store),
            max_commit_bytes,
        })
    }

    /// Does an operation about a node, or a claim: all that simply may be made again.
    async fn write<O: Operation + 'static>(&self, operation: O) -> Result<O::Output, Error>
    where
        O::Output: 'static,
    {
        let name = operation.name();
        let store = self.store.clone();
        match detached(async move { store.transact(&operation).await })?.await {
            Some(Ok(output)) => Ok(output),
            Some(Err(Ended::Failed(error) | Ended::Unknown(error, _))) => Err(error),
            None => Err(abandoned(&name)),
        }
    }
}

/// Does something that writes in a task of its own, so that it goes on when
/// nobody waits. None comes of it when the runtime ends first.
///
/// # Errors
///
/// [`Unavailable`](ErrorKind::Unavailable) when there is no runtime; nothing is begun.
fn detached<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<impl Future<Output = Option<T>>, Error> {
    let runtime = Handle::try_current().map_err(|cause| {
        Error::new(
            ErrorKind::Unavailable,
            "there is no tokio runtime to work on",
        )
        .caused_by(cause)
    })?;
    let task = runtime.spawn(work);
    Ok(async move { task.await.ok() })
}

/// Why a commit is refused before anything is tried.
fn check(layout: &Layout, commit: &Commit, limit: usize) -> Result<(), Error> {
    commit.check(limit)?;
    let bytes = cost(layout, commit);
    if bytes > MAX_TRANSACTION_BYTES {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "commit of agent {} has so many records that it takes a transaction of {bytes} bytes: \
                 the limit is {MAX_TRANSACTION_BYTES}",
                commit.id
            ),
        ));
    }
    Ok(())
}

/// The outcome of each of some commits of which nothing was written.
fn failed(error: &Error, commits: usize) -> Vec<AppendOutcome> {
    (0..commits)
        .map(|_| AppendOutcome::Failed(error.copy()))
        .collect()
}

/// The outcomes of commits that shared a transaction.
fn outcomes_of(
    ended: Result<Vec<AppendOutcome>, Ended<Vec<AppendOutcome>>>,
    commits: usize,
) -> Vec<AppendOutcome> {
    match ended {
        Ok(outcomes) => outcomes,
        Err(Ended::Failed(error)) => failed(&error, commits),
        // What was refused wrote nothing in any case.
        Err(Ended::Unknown(error, would_be)) => would_be
            .into_iter()
            .map(|outcome| match outcome {
                AppendOutcome::Committed(_) => AppendOutcome::Unknown(error.copy()),
                refused => refused,
            })
            .collect(),
    }
}

/// Appends commits in order, in as few transactions as they fit into.
async fn append_all(store: Arc<Store>, commits: Vec<Commit>) -> Vec<AppendOutcome> {
    let mut outcomes = Vec::with_capacity(commits.len());
    let mut rest = &commits[..];
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(first_batch(&store.layout, rest, BATCH_BYTES));
        let append = Append {
            commits: batch.into(),
        };
        outcomes.extend(outcomes_of(store.transact(&append).await, batch.len()));
        rest = later;
    }
    outcomes
}

#[async_trait]
impl Storage for FoundationDbStorage {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            sharing: Sharing::Cluster,
            durable: true,
            max_commit_bytes: self.max_commit_bytes,
            // A few, so that one slow transaction doesn't hold all agents up.
            batching: Batching::Lanes(BATCHES),
        }
    }

    async fn register_node(&self, node: NodeRegistration) -> Result<Registration, Error> {
        node.check()?;
        self.write(node).await
    }

    async fn renew_node(
        &self,
        cluster: &ClusterName,
        incarnation: Incarnation,
    ) -> Result<Renewal, Error> {
        let cluster = cluster.clone();
        self.write(Renew {
            cluster,
            incarnation,
        })
        .await
    }

    async fn declare_dead(
        &self,
        cluster: &ClusterName,
        incarnation: Incarnation,
        observed: Option<u64>,
    ) -> Result<bool, Error> {
        let cluster = cluster.clone();
        self.write(DeclareDead {
            cluster,
            incarnation,
            observed,
        })
        .await
    }

    async fn nodes(&self, cluster: &ClusterName) -> Result<Vec<NodeRecord>, Error> {
        let cluster = cluster.clone();
        self.store.read(&Nodes { cluster }).await
    }

    async fn claim(&self, claim: ClaimRequest) -> Result<ClaimOutcome, Error> {
        self.write(claim).await
    }

    async fn load(&self, id: &AgentId) -> Result<Option<Loaded>, Error> {
        self.store.read(&Load(id)).await
    }

    async fn head(&self, id: &AgentId) -> Result<Option<AgentRecord>, Error> {
        let heads = self.heads(std::slice::from_ref(id)).await?;
        Ok(heads.into_iter().next().flatten())
    }

    async fn heads(&self, ids: &[AgentId]) -> Result<Vec<Option<AgentRecord>>, Error> {
        let mut heads = Vec::with_capacity(ids.len());
        for ids in ids.chunks(HEADS) {
            heads.extend(self.store.read(&Heads(ids)).await?);
        }
        Ok(heads)
    }

    async fn read_thread(
        &self,
        id: &AgentId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        self.store.read(&ReadThread { id, from, limit }).await
    }

    async fn reply_of(
        &self,
        id: &AgentId,
        request: RequestId,
    ) -> Result<Option<CommittedRequest>, Error> {
        self.store.read(&ReplyOf(id, request)).await
    }

    async fn append_many(&self, commits: Vec<Commit>) -> Vec<AppendOutcome> {
        let checked: Vec<Result<(), Error>> = commits
            .iter()
            .map(|commit| check(&self.store.layout, commit, self.max_commit_bytes))
            .collect();
        let accepted: Vec<Commit> = commits
            .into_iter()
            .zip(&checked)
            .filter_map(|(commit, checked)| checked.is_ok().then_some(commit))
            .collect();
        let appended = match detached(append_all(self.store.clone(), accepted)) {
            Ok(appended) => appended.await.unwrap_or_default(),
            Err(error) => failed(&error, checked.len()),
        };
        let mut appended = appended.into_iter();
        checked
            .into_iter()
            .map(|checked| match checked {
                Ok(()) => appended
                    .next()
                    .unwrap_or_else(|| AppendOutcome::Unknown(abandoned("a commit"))),
                Err(error) => AppendOutcome::Failed(error),
            })
            .collect()
    }

    async fn delete(&self, id: &AgentId, epoch: Epoch, at: Timestamp) -> AppendOutcome {
        let delete = Delete {
            id: id.clone(),
            epoch,
            at,
        };
        let name = delete.name();
        let store = self.store.clone();
        let deleted = match detached(async move { store.transact(&delete).await }) {
            Ok(deleted) => deleted.await,
            Err(error) => return AppendOutcome::Failed(error),
        };
        match deleted {
            Some(Ok(outcome)) => outcome,
            Some(Err(Ended::Failed(error))) => AppendOutcome::Failed(error),
            Some(Err(Ended::Unknown(error, _))) => AppendOutcome::Unknown(error),
            None => AppendOutcome::Unknown(abandoned(&name)),
        }
    }

    async fn directory(&self, query: DirectoryQuery) -> Result<DirectoryPage, Error> {
        let limit = query.limit.clamp(1, PAGE_AGENTS);
        let mut after = query.after.as_ref().map(agent_before).transpose()?;
        let mut page = DirectoryPage {
            agents: Vec::new(),
            next: None,
        };
        // A transaction for each step: however many deleted agents there are
        // between two others, none gets too old.
        loop {
            let next = NextAgents {
                cluster: &query.cluster,
                manager: &query.manager,
                after: after.take(),
                limit: limit + 1 - page.agents.len(),
            };
            let found = self.store.read(&next).await?;
            after = found.rows.last().map(|(key, _)| key.clone());
            for (key, row) in found.rows {
                let AgentRow { claim, state } = &row;
                if claim.deleted || (claim.owner.is_none() && state.revision == Revision::ZERO) {
                    continue;
                }
                if page.agents.len() == limit {
                    page.next = page.agents.last().map(|last| cursor(&last.id.key));
                    return Ok(page);
                }
                let id = AgentId::new(query.cluster.clone(), query.manager.clone(), key);
                page.agents.push(row.into_record(id));
            }
            if !found.more {
                return Ok(page);
            }
        }
    }

    async fn due(&self, query: DueQuery) -> Result<Vec<Due>, Error> {
        self.store.read(&query).await
    }
}
