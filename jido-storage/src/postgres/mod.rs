//! The adapter on Postgres: durable, shared by all nodes of a cluster.

mod append;
mod batch;
mod claims;
mod database;
mod due;
mod fault;
mod json;
mod lookup;
mod migrate;
mod needs;
mod nodes;
mod numbers;
mod options;
mod pool;
mod read;
mod row;
mod settings;
mod statement;

use std::fmt;
use std::num::NonZeroUsize;

use async_trait::async_trait;
use futures_util::future::join;
use jido_core::{AgentId, ClusterName, Entry, Epoch, Incarnation, RequestId, Seq, Timestamp};
use sqlx::postgres::{PgArguments, PgRow};

use self::append::Appender;
use self::database::{Database, spawn};
use self::fault::Fault;
use self::numbers::Numbers;
pub use self::options::PostgresOptions;
use crate::{
    AgentRecord, AppendOutcome, Batching, Capabilities, ClaimOutcome, ClaimRequest, Commit,
    CommittedRequest, DirectoryPage, DirectoryQuery, Due, DueQuery, Error, ErrorKind, Loaded,
    NodeRecord, NodeRegistration, Registration, Renewal, Sharing, Storage,
};

const MAX_COMMIT_BYTES: usize = 8 * 1024 * 1024;

/// Connections for leases: one is enough, and another while an abandoned one closes.
const LEASE_CONNECTIONS: u32 = 2;

/// Keeps everything in a schema of a Postgres database: durable, and shared by all
/// nodes that reach it. Postgres 13 or later.
///
/// # How it works
///
/// Each operation is one statement in a transaction of its own (a claim of an owned
/// agent is two), so no client that is paused or cut off holds a lock. An append updates
/// the agents' rows first, those whose epochs and revisions are what they have to be once
/// it has their locks, and writes what belongs to them; a batch of commits of different
/// agents shares a statement, its rows locked in the order of their ids. Why a commit was
/// refused is looked up afterwards. A commit that is at fault fails alone: a batch
/// that Postgres refuses because of one is tried again commit by commit.
///
/// `synchronous_commit` is `on` and the isolation `read committed`, whatever the
/// server's defaults; a new connection on which they are not is refused. That the server itself has `fsync` on is for its keeper to see
/// to; where it is off, connecting logs a warning.
///
/// # Failures
///
/// A server that can't be reached, is full or read-only is an error, and nothing was
/// written. A connection that breaks under a commit leaves it
/// [`Unknown`](AppendOutcome::Unknown). Connections come back by themselves when the
/// server does. What the server says is told by its code and message; the connection's
/// URL and the values of statements are in no error, log or `Debug`.
///
/// # The records
///
/// Tables `node`, `agent`, `entry` and `request`, readable with plain SQL; times are
/// in milliseconds since the Unix epoch, and those after the year 292 million are kept
/// as that. `docs/postgres.md` has examples, and how to run with a role that may not
/// change the schema, or behind a pooler such as PgBouncer.
///
/// ```no_run
/// use jido_storage::{PostgresOptions, PostgresStorage};
///
/// # async fn example() -> Result<(), jido_storage::Error> {
/// let options = PostgresOptions::new("postgres://jido@db.internal/app?sslmode=verify-full")?;
/// let storage = PostgresStorage::connect(options).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct PostgresStorage {
    appender: Appender,
    /// For nodes' records: renewals wait for no commit.
    leases: Database,
    options: PostgresOptions,
}

impl PostgresStorage {
    /// Connects, and makes the schema or brings it up to date unless the options say
    /// not to. Nodes that start at once take turns.
    ///
    /// # Errors
    ///
    /// - [`InvalidInput`](ErrorKind::InvalidInput) when the server refuses the user, the
    ///   password or the database, the user lacks rights, the server is not one that
    ///   `sslmode` allows, or a pooler in between left out what the connection is opened
    ///   with (later connections are refused likewise);
    /// - [`Schema`](ErrorKind::Schema) when the schema is of a newer build, or, without
    ///   migration, of an older one or not there;
    /// - [`Unavailable`](ErrorKind::Unavailable) when the server can't be reached, or a
    ///   migration takes too long ([`PostgresOptions::migration_timeout`]).
    pub async fn connect(options: PostgresOptions) -> Result<Self, Error> {
        migrate::prepare(&options).await?;
        let appender = Appender {
            database: Database::new(&options, options.max_connections)?,
            numbers: Numbers::new(),
            with_json: options.json_entries,
        };
        Ok(Self {
            appender,
            leases: Database::new(&options, LEASE_CONNECTIONS)?,
            options,
        })
    }

    /// Waits for the statements under way, and closes all connections; what is asked
    /// after that fails. Dropping the last handle closes them too, without waiting.
    pub async fn close(&self) {
        join(self.appender.database.close(), self.leases.close()).await;
    }

    async fn run(&self, sql: &'static str, arguments: PgArguments) -> Result<Vec<PgRow>, Fault> {
        self.appender.database.run(sql, arguments).await
    }
}

impl fmt::Debug for PostgresStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStorage")
            .field("options", &self.options)
            .field("closed", &self.appender.database.is_closed())
            .finish_non_exhaustive()
    }
}

/// The runtime ended before the task did.
fn unfinished() -> AppendOutcome {
    AppendOutcome::Unknown(Error::new(
        ErrorKind::Unavailable,
        "the runtime ended under a commit",
    ))
}

#[async_trait]
impl Storage for PostgresStorage {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            sharing: Sharing::Cluster,
            durable: true,
            max_commit_bytes: MAX_COMMIT_BYTES,
            // Half of the connections: claims, loads and renewals need some, too.
            batching: Batching::Lanes(
                NonZeroUsize::new(self.options.max_connections as usize / 2)
                    .unwrap_or(NonZeroUsize::MIN),
            ),
        }
    }

    async fn register_node(&self, node: NodeRegistration) -> Result<Registration, Error> {
        self.register(node).await
    }

    async fn renew_node(
        &self,
        cluster: &ClusterName,
        incarnation: Incarnation,
    ) -> Result<Renewal, Error> {
        self.renew(cluster, incarnation).await
    }

    async fn declare_dead(
        &self,
        cluster: &ClusterName,
        incarnation: Incarnation,
        observed: Option<u64>,
    ) -> Result<bool, Error> {
        self.declare(cluster, incarnation, observed).await
    }

    async fn nodes(&self, cluster: &ClusterName) -> Result<Vec<NodeRecord>, Error> {
        self.all_nodes(cluster).await
    }

    async fn claim(&self, claim: ClaimRequest) -> Result<ClaimOutcome, Error> {
        self.claim_agent(claim).await
    }

    async fn load(&self, id: &AgentId) -> Result<Option<Loaded>, Error> {
        self.load_agent(id).await
    }

    async fn head(&self, id: &AgentId) -> Result<Option<AgentRecord>, Error> {
        self.find(id).await
    }

    async fn heads(&self, ids: &[AgentId]) -> Result<Vec<Option<AgentRecord>>, Error> {
        self.find_all(ids).await
    }

    async fn read_thread(
        &self,
        id: &AgentId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        self.page_of_thread(id, from, limit).await
    }

    async fn reply_of(
        &self,
        id: &AgentId,
        request: RequestId,
    ) -> Result<Option<CommittedRequest>, Error> {
        self.committed(id, request).await
    }

    async fn append_many(&self, commits: Vec<Commit>) -> Vec<AppendOutcome> {
        let count = commits.len();
        let outcomes = spawn(self.appender.clone().append_many(commits)).await;
        outcomes.unwrap_or_else(|_| std::iter::repeat_with(unfinished).take(count).collect())
    }

    async fn delete(&self, id: &AgentId, epoch: Epoch, at: Timestamp) -> AppendOutcome {
        let database = self.appender.database.clone();
        let outcome = spawn(claims::delete(database, id.clone(), epoch, at)).await;
        self.appender.numbers.forget(id);
        outcome.unwrap_or_else(|_| unfinished())
    }

    async fn directory(&self, query: DirectoryQuery) -> Result<DirectoryPage, Error> {
        self.page_of_directory(query).await
    }

    async fn due(&self, query: DueQuery) -> Result<Vec<Due>, Error> {
        self.page_of_due(query).await
    }
}
