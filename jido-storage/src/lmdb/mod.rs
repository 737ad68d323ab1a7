//! The adapter on LMDB: durable, shared by the processes of one machine.

mod append;
mod due;
mod env;
mod fault;
mod job;
mod node_ops;
mod ops;
mod options;
mod queue;
mod read;
mod schema;
mod tables;
#[cfg(test)]
mod tests;
mod turn;
mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use heed::RoTxn;
use jido_core::{AgentId, ClusterName, Entry, Epoch, Incarnation, RequestId, Seq, Timestamp};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use self::append::Append;
use self::env::{Environment, FOLLOWS};
use self::fault::{Fault, is_map_resized};
use self::job::{Operation, job};
use self::node_ops::{DeclareDead, Renew};
use self::ops::{Claim, Delete, Follow};
pub use self::options::LmdbOptions;
use self::queue::Queue;
use self::tables::Tables;
use crate::record_codec as codec;
use crate::{
    AgentRecord, AppendOutcome, BatchWatcher, Batching, Capabilities, ClaimOutcome, ClaimRequest,
    Commit, CommittedRequest, DirectoryPage, DirectoryQuery, Due, DueQuery, Error, ErrorKind,
    Loaded, NodeRecord, NodeRegistration, Registration, Renewal, Sharing, Storage,
};

const MAX_COMMIT_BYTES: usize = 8 * 1024 * 1024;

/// Keeps everything in an LMDB environment: durable, and shared by the
/// processes of one machine that open the same folder.
///
/// # How it works
///
/// One thread writes. It takes what has queued up while the transaction before
/// was on its way to the disk, and does it all in the next one: a group commit
/// without a timer. Every commit is on disk before it is answered. At most
/// 16,384 operations and 256 MiB wait; beyond that callers get
/// [`Overloaded`](ErrorKind::Overloaded). Operations on nodes' records go before all
/// others and have room of their own, so that leases are renewed under any load.
///
/// Reads run where they are awaited, without a thread or a queue between: a
/// read looks at memory, takes microseconds, and is bounded (1 MiB of a thread,
/// 1,024 agents of a directory, one checkpoint), so that waiting for it costs
/// less than handing it over would. It blocks only while the machine fetches
/// pages that are not in its memory.
///
/// # The folder
///
/// It is the adapter's alone, on a local file system: no other program may
/// change its files while they are open, and network file systems don't lock as
/// LMDB needs it. Opening it again in one process gives the same storage;
/// processes are told apart by their ids, so containers that share a folder
/// share their process namespace too. A process that is killed holds nobody up.
/// One that is stopped (`SIGSTOP`) while it writes does, until it goes on.
/// Up to 16,384 threads of all processes together may read; a thread that has
/// read counts until it ends. While a process of a build that lays out fewer has the
/// folder open, that number counts.
///
/// Dropping the last handle lets the thread finish what is queued and then
/// closes the environment.
///
/// ```
/// use jido_storage::{LmdbStorage, Storage};
///
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path().join("data");
/// let storage = LmdbStorage::open(folder)?;
/// assert!(storage.capabilities().durable);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct LmdbStorage {
    handle: Arc<Handle>,
}

/// What the handles of one folder share. The writer's thread ends after it.
struct Handle {
    env: Arc<Environment>,
    queue: Arc<Queue>,
    options: LmdbOptions,
    /// The last to be dropped: whoever opens the folder again may hold the list while it
    /// waits for the environment above to close.
    listed: Listed,
}

/// A folder's place in the list of those that are open.
struct Listed(PathBuf);

/// The folders that are open in this process. LMDB breaks when one process maps
/// a folder twice.
static OPEN: Mutex<BTreeMap<PathBuf, Weak<Handle>>> = Mutex::new(BTreeMap::new());

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut open = OPEN.lock();
        // It may have been opened again in the meantime.
        if open
            .get(&self.0)
            .is_some_and(|handle| handle.strong_count() == 0)
        {
            open.remove(&self.0);
        }
    }
}

impl LmdbStorage {
    /// Opens the storage in a folder with the usual options, see [`LmdbOptions`].
    ///
    /// It may wait for another process's commit, and for the end of a storage in
    /// the same folder that this process has just dropped.
    ///
    /// # Errors
    ///
    /// As [`LmdbOptions::open`].
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, Error> {
        LmdbOptions::new().open(folder)
    }

    fn open_with(folder: &Path, options: LmdbOptions) -> Result<Self, Error> {
        let unusable = |cause: std::io::Error| {
            let message = format!("folder {} can't be used: {cause}", folder.display());
            Error::new(ErrorKind::Unavailable, message).caused_by(cause)
        };
        std::fs::create_dir_all(folder).map_err(unusable)?;
        let folder = folder.canonicalize().map_err(unusable)?;
        let mut open = OPEN.lock();
        if let Some(handle) = open.get(&folder).and_then(Weak::upgrade) {
            let same = handle.options == options;
            // Released before the handle, whose drop may take it.
            drop(open);
            if !same {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!(
                        "{} is open in this process with {:?}: open it with the same, not {options:?}",
                        folder.display(),
                        handle.options,
                    ),
                ));
            }
            return Ok(Self { handle });
        }
        let env = Arc::new(Environment::open(&folder, &options)?);
        let queue = Arc::new(Queue::default());
        writer::start(env.clone(), queue.clone())?;
        let handle = Arc::new(Handle {
            env,
            queue,
            options,
            listed: Listed(folder.clone()),
        });
        open.insert(folder, Arc::downgrade(&handle));
        Ok(Self { handle })
    }

    /// How many write transactions this storage has committed since it was
    /// opened; many operations share one.
    pub fn transactions(&self) -> u64 {
        self.handle.env.transactions()
    }

    /// Hands an operation to the writer. It goes on when nobody waits.
    fn submit<O: Operation>(&self, operation: O) -> oneshot::Receiver<O::Outcome> {
        let (job, outcome) = job(operation);
        self.handle.queue.push([job]);
        outcome
    }

    /// Reads; follows a map that others have grown, which the writer alone may do.
    async fn read<T>(
        &self,
        work: impl Fn(&Tables, &RoTxn<'_>) -> Result<T, Fault>,
    ) -> Result<T, Error> {
        for _ in 0..FOLLOWS {
            match self.handle.env.read(&work) {
                Ok(value) => return Ok(value),
                Err(Fault::Engine(error)) if is_map_resized(&error) => {
                    outcome_of::<Follow>(self.submit(Follow)).await?;
                }
                Err(Fault::Engine(error)) => {
                    return Err(self.handle.env.definite(&error, "reading"));
                }
                Err(Fault::Refused(error)) => return Err(error),
            }
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            "the map is grown by others faster than it can be followed",
        ))
    }
}

/// Waits for an operation's outcome.
async fn outcome_of<O: Operation>(outcome: oneshot::Receiver<O::Outcome>) -> O::Outcome {
    outcome.await.unwrap_or_else(|_| {
        O::unknown(Error::new(
            ErrorKind::Unavailable,
            "the writer stopped without an answer",
        ))
    })
}

impl fmt::Debug for LmdbStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LmdbStorage")
            .field("folder", &self.handle.listed.0)
            .field("options", &self.handle.options)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Storage for LmdbStorage {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            sharing: Sharing::Host,
            durable: true,
            max_commit_bytes: MAX_COMMIT_BYTES,
            // Its writer's queue is one.
            batching: Batching::Itself,
        }
    }

    async fn register_node(&self, node: NodeRegistration) -> Result<Registration, Error> {
        node.check()?;
        outcome_of::<NodeRegistration>(self.submit(node)).await
    }

    async fn renew_node(
        &self,
        cluster: &ClusterName,
        incarnation: Incarnation,
    ) -> Result<Renewal, Error> {
        let cluster = cluster.clone();
        outcome_of::<Renew>(self.submit(Renew {
            cluster,
            incarnation,
        }))
        .await
    }

    async fn declare_dead(
        &self,
        cluster: &ClusterName,
        incarnation: Incarnation,
        observed: Option<u64>,
    ) -> Result<bool, Error> {
        let cluster = cluster.clone();
        outcome_of::<DeclareDead>(self.submit(DeclareDead {
            cluster,
            incarnation,
            observed,
        }))
        .await
    }

    async fn nodes(&self, cluster: &ClusterName) -> Result<Vec<NodeRecord>, Error> {
        self.read(|tables, txn| tables.cluster_nodes(txn, cluster))
            .await
    }

    async fn claim(&self, claim: ClaimRequest) -> Result<ClaimOutcome, Error> {
        outcome_of::<Claim>(self.submit(Claim::new(claim))).await
    }

    async fn load(&self, id: &AgentId) -> Result<Option<Loaded>, Error> {
        self.read(|tables, txn| tables.load(txn, id)).await
    }

    async fn head(&self, id: &AgentId) -> Result<Option<AgentRecord>, Error> {
        let row = self.read(|tables, txn| tables.live(txn, id)).await?;
        Ok(row.map(|row| row.into_record(id.clone())))
    }

    async fn heads(&self, ids: &[AgentId]) -> Result<Vec<Option<AgentRecord>>, Error> {
        self.read(|tables, txn| {
            ids.iter()
                .map(|id| {
                    let row = tables.live(txn, id)?;
                    Ok(row.map(|row| row.into_record(id.clone())))
                })
                .collect()
        })
        .await
    }

    async fn read_thread(
        &self,
        id: &AgentId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        self.read(|tables, txn| tables.thread(txn, id, from, limit))
            .await
    }

    async fn reply_of(
        &self,
        id: &AgentId,
        request: RequestId,
    ) -> Result<Option<CommittedRequest>, Error> {
        self.read(|tables, txn| tables.reply(txn, id, request))
            .await
    }

    async fn append(&self, commit: Commit) -> AppendOutcome {
        match Append::new(commit, MAX_COMMIT_BYTES) {
            Ok(append) => outcome_of::<Append>(self.submit(append)).await,
            Err(error) => AppendOutcome::Failed(error),
        }
    }

    async fn append_many(&self, commits: Vec<Commit>) -> Vec<AppendOutcome> {
        let mut jobs = Vec::with_capacity(commits.len());
        let mut waiting = Vec::with_capacity(commits.len());
        for commit in commits {
            waiting.push(Append::new(commit, MAX_COMMIT_BYTES).map(|append| {
                let (job, outcome) = job(append);
                jobs.push(job);
                outcome
            }));
        }
        self.handle.queue.push(jobs);
        let mut outcomes = Vec::with_capacity(waiting.len());
        for waits in waiting {
            outcomes.push(match waits {
                Ok(outcome) => outcome_of::<Append>(outcome).await,
                Err(error) => AppendOutcome::Failed(error),
            });
        }
        outcomes
    }

    async fn delete(&self, id: &AgentId, epoch: Epoch, at: Timestamp) -> AppendOutcome {
        outcome_of::<Delete>(self.submit(Delete::new(id.clone(), epoch, at))).await
    }

    async fn directory(&self, query: DirectoryQuery) -> Result<DirectoryPage, Error> {
        self.read(|tables, txn| tables.directory(txn, &query)).await
    }

    async fn due(&self, query: DueQuery) -> Result<Vec<Due>, Error> {
        self.read(|tables, txn| tables.due(txn, &query)).await
    }

    /// All that is written, of commits, claims and leases.
    fn queued(&self) -> usize {
        self.handle.queue.len()
    }

    /// The write transactions, with all that is written.
    fn watch_batches(&self, watcher: &Arc<dyn BatchWatcher>) {
        self.handle.queue.watchers.add(watcher);
    }
}
