//! Checkpoints and threads by themselves, for tools, migrations and tests.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jido_core::{
    AgentId, Checkpoint, ClusterName, Entry, Epoch, Incarnation, NewEntry, NodeName, Seq, Timestamp,
};

use crate::{
    AppendOutcome, ClaimOutcome, ClaimRequest, Commit, Error, ErrorKind, Loaded, NodeRegistration,
    Registration, Renewal, Storage,
};

/// Entries that are read at once.
const PAGE: usize = 1_000;

/// How often a thread that changes while it is read is read anew.
const READS: usize = 16;

/// How an append to a thread ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadAppend {
    /// It is written, and durable where the storage is.
    Appended {
        /// How many entries the thread has now.
        len: Seq,
    },
    /// Nothing was written: the thread has another length than the expected. Load it, and
    /// decide anew.
    Conflict {
        /// How many entries it has.
        actual: Seq,
    },
}

/// An agent's thread, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// Its entries, in order; their number is what the next append expects.
    pub entries: Vec<Entry>,
    /// What it says about itself, from the append that began it.
    pub metadata: BTreeMap<String, String>,
}

/// Checkpoints and threads of agents that no node runs: get, put and delete a
/// checkpoint; load, append to and delete a thread.
///
/// It is a node among others, that runs nothing: each call that writes claims the agent, writes
/// in one commit under that claim, and gives it back in the same commit. So it never writes
/// beside a live owner ([`Held`](ErrorKind::Held)), and nodes may go on meanwhile. It reads without
/// a claim. States and payloads are the bytes that are stored, in whatever form the
/// agent's code gives them.
///
/// Use a name and a life of its own, never those of a node that runs agents: what
/// that life owns, this one takes. A call that is dropped half-way may leave its claim until
/// the next call for that agent, or until [`Journal::close`].
///
/// The record of its life stays in the storage when it has ended, like that of a node, and all
/// nodes of the cluster read those records again and again. So open one for a batch of work, and
/// not for each agent. `docs/postgres.md` tells how to remove records there; the other
/// adapters keep them.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::Arc;
/// use jido_core::{AgentId, AgentKey, ClusterName, Incarnation, ManagerName, NewEntry, NodeName};
/// use jido_core::{Seq, Timestamp};
/// use jido_storage::{Journal, MemoryStorage, ThreadAppend};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let storage = Arc::new(MemoryStorage::new());
/// let cluster = ClusterName::new("main")?;
/// let id = AgentId::new(cluster.clone(), ManagerName::new("rooms")?, AgentKey::new("lobby")?);
/// let at = Timestamp(1_700_000_000_000);
///
/// let journal = Journal::open(storage, cluster, NodeName::new("import")?, Incarnation(42), at).await?;
/// let entry = NewEntry::new("said", at, "hello".into())?;
/// let title = BTreeMap::from([("title".to_owned(), "The lobby".to_owned())]);
/// let first = journal.append_thread(&id, Some(Seq(0)), vec![entry.clone()], title, at).await?;
/// assert_eq!(first, ThreadAppend::Appended { len: Seq(1) });
///
/// // Who expects another length is told the right one, and nothing is written.
/// let late = journal.append_thread(&id, Some(Seq(0)), vec![entry], BTreeMap::new(), at).await?;
/// assert_eq!(late, ThreadAppend::Conflict { actual: Seq(1) });
///
/// let thread = journal.load_thread(&id).await?.ok_or("it was appended to")?;
/// assert_eq!(thread.entries[0].payload, "hello");
/// assert_eq!(thread.metadata["title"], "The lobby");
/// journal.close().await?;
/// # Ok(()) }
/// ```
pub struct Journal {
    storage: Arc<dyn Storage>,
    cluster: ClusterName,
    life: Incarnation,
}

/// An agent that is claimed, as it was found.
struct Claimed {
    epoch: Epoch,
    loaded: Loaded,
}

impl Journal {
    /// Registers the journal as a node of a cluster. `life` is drawn at random by the
    /// caller and never used before; `at` is the caller's clock.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) when a node of that name is up: choose another;
    /// and those of the storage.
    pub async fn open(
        storage: Arc<dyn Storage>,
        cluster: ClusterName,
        name: NodeName,
        life: Incarnation,
        at: Timestamp,
    ) -> Result<Self, Error> {
        let node = NodeRegistration {
            cluster: cluster.clone(),
            name: name.clone(),
            incarnation: life,
            // Nobody reaches it.
            address: String::new(),
            metadata: BTreeMap::new(),
            at,
        };
        match storage.register_node(node).await? {
            Registration::Registered(_) => Ok(Self {
                storage,
                cluster,
                life,
            }),
            Registration::NameTaken(_) => Err(Error::new(
                ErrorKind::InvalidInput,
                format!("a node of the name {name} is up"),
            )),
        }
    }

    /// Tells other nodes that the journal goes on. A node that sees no renewal for the
    /// time-to-live of its leases may declare the journal dead; what takes longer renews it
    /// now and then.
    ///
    /// # Errors
    ///
    /// [`Closed`](ErrorKind::Closed), and those of the storage.
    pub async fn renew(&self) -> Result<(), Error> {
        match self.storage.renew_node(&self.cluster, self.life).await? {
            Renewal::Renewed(_) => Ok(()),
            Renewal::Dead => Err(closed()),
        }
    }

    /// Ends the journal: whatever it still holds may be claimed by nodes. One that is
    /// dropped instead holds on until a node declares it dead.
    ///
    /// # Errors
    ///
    /// Those of the storage: it is not ended.
    pub async fn close(self) -> Result<(), Error> {
        // Without a beat, it is dead whatever its beat.
        let dead = self.storage.declare_dead(&self.cluster, self.life, None);
        dead.await?;
        Ok(())
    }

    /// The stored checkpoint, if there is one.
    ///
    /// # Errors
    ///
    /// Those of the storage.
    pub async fn get_checkpoint(&self, id: &AgentId) -> Result<Option<Checkpoint>, Error> {
        let loaded = self.storage.load(id).await?;
        Ok(loaded.and_then(|loaded| loaded.checkpoint))
    }

    /// Puts a checkpoint in the place of the stored one. The agent is made if there is none.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) when it covers more than the thread has;
    /// [`TooLarge`](ErrorKind::TooLarge); [`Held`](ErrorKind::Held), [`Closed`](ErrorKind::Closed),
    /// [`Unknown`](ErrorKind::Unknown); and others of the storage.
    pub async fn put_checkpoint(
        &self,
        id: &AgentId,
        checkpoint: Checkpoint,
        at: Timestamp,
    ) -> Result<(), Error> {
        let claimed = self.claim(id, at).await?;
        let mut commit = claimed.commit(id, at);
        commit.checkpoint = Some(checkpoint);
        self.write(claimed, commit).await
    }

    /// Deletes the stored checkpoint; none is no error. Its thread stays.
    ///
    /// # Errors
    ///
    /// [`Held`](ErrorKind::Held), [`Closed`](ErrorKind::Closed), [`Unknown`](ErrorKind::Unknown),
    /// and those of the storage.
    pub async fn delete_checkpoint(&self, id: &AgentId, at: Timestamp) -> Result<(), Error> {
        let claimed = self.claim(id, at).await?;
        let mut commit = claimed.commit(id, at);
        commit.erase.checkpoint = claimed.loaded.checkpoint.is_some();
        self.write(claimed, commit).await
    }

    /// The whole thread as it was at one time; none of an agent that has no entry. It takes
    /// memory for all of it: [`Storage::read_thread`] gives it in pages.
    ///
    /// # Errors
    ///
    /// Those of the storage; [`Unavailable`](ErrorKind::Unavailable) also when the
    /// thread was erased again and again while it was read.
    pub async fn load_thread(&self, id: &AgentId) -> Result<Option<Thread>, Error> {
        for _ in 0..READS {
            let Some(loaded) = self.storage.load(id).await? else {
                return Ok(None);
            };
            if loaded.record.thread_len == Seq::ZERO {
                return Ok(None);
            }
            if let Some(entries) = self.entries(id, &loaded).await? {
                return Ok(Some(Thread {
                    entries,
                    metadata: loaded.thread_metadata,
                }));
            }
        }
        let why = format!("the thread of agent {id} was erased {READS} times while it was read");
        Err(Error::new(ErrorKind::Unavailable, why))
    }

    /// Appends entries, in order. `expected` is the
    /// length that it has to have before (jido's `expected_rev`); none takes any. The
    /// metadata is kept if these entries begin the thread, and left aside otherwise. The agent is
    /// made if there is none.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](ErrorKind::TooLarge), [`Held`](ErrorKind::Held), [`Closed`](ErrorKind::Closed),
    /// [`Unknown`](ErrorKind::Unknown), and those of the storage. Another length is no error.
    pub async fn append_thread(
        &self,
        id: &AgentId,
        expected: Option<Seq>,
        entries: Vec<NewEntry>,
        metadata: BTreeMap<String, String>,
        at: Timestamp,
    ) -> Result<ThreadAppend, Error> {
        let claimed = self.claim(id, at).await?;
        let actual = claimed.loaded.record.thread_len;
        let mut commit = claimed.commit(id, at);
        if expected.is_some_and(|expected| expected != actual) {
            self.write(claimed, commit).await?;
            return Ok(ThreadAppend::Conflict { actual });
        }
        commit.entries = entries;
        commit.thread_metadata = metadata;
        let len = commit.thread_len_after(actual);
        self.write(claimed, commit).await?;
        Ok(ThreadAppend::Appended { len })
    }

    /// Deletes the thread with its metadata; none is no error. The checkpoint stays, and
    /// covers no entry from then on.
    ///
    /// # Errors
    ///
    /// [`Held`](ErrorKind::Held), [`Closed`](ErrorKind::Closed), [`Unknown`](ErrorKind::Unknown),
    /// and those of the storage.
    pub async fn delete_thread(&self, id: &AgentId, at: Timestamp) -> Result<(), Error> {
        let claimed = self.claim(id, at).await?;
        let mut commit = claimed.commit(id, at);
        commit.erase.thread = claimed.loaded.record.thread_len > Seq::ZERO;
        self.write(claimed, commit).await
    }

    /// The entries that the record counts; none if the thread was erased while it was read.
    async fn entries(&self, id: &AgentId, loaded: &Loaded) -> Result<Option<Vec<Entry>>, Error> {
        let len = loaded.record.thread_len.0;
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let left = len.saturating_sub(entries.len() as u64);
            let limit = usize::try_from(left).unwrap_or(PAGE).min(PAGE);
            if limit == 0 {
                return Ok(Some(entries));
            }
            let from = Seq(entries.len() as u64);
            let page = self.storage.read_thread(id, from, limit).await?;
            // What came later is of a later commit.
            let newer = |entry: &Entry| entry.revision > loaded.record.revision;
            if page.is_empty() || page.iter().any(newer) {
                return Ok(None);
            }
            entries.extend(page);
        }
    }

    /// Claims the agent, then loads it.
    async fn claim(&self, id: &AgentId, at: Timestamp) -> Result<Claimed, Error> {
        let claim = ClaimRequest {
            id: id.clone(),
            claimant: self.life,
            take_from: None,
            at,
        };
        let epoch = match self.storage.claim(claim).await? {
            ClaimOutcome::Claimed(epoch) => epoch,
            ClaimOutcome::Held { owner, epoch } => {
                return Err(Error::new(
                    ErrorKind::Held,
                    format!("agent {id} is held by node {owner} under epoch {epoch}"),
                ));
            }
            ClaimOutcome::ClaimantDead => return Err(closed()),
        };
        match self.storage.load(id).await? {
            Some(loaded) if loaded.record.epoch == epoch => Ok(Claimed { epoch, loaded }),
            Some(loaded) => Err(taken(id, loaded.record.epoch)),
            // Claimed and deleted by another since.
            None => Err(taken(id, epoch.next())),
        }
    }

    /// Writes a commit that gives the claim back; if it is refused, gives it back by itself.
    async fn write(&self, claimed: Claimed, commit: Commit) -> Result<(), Error> {
        let free = claimed.commit(&commit.id, commit.at);
        match self.storage.append(commit).await {
            AppendOutcome::Committed(_) => Ok(()),
            AppendOutcome::Fenced { epoch } => Err(taken(&free.id, epoch)),
            // Under the claim nobody else commits but another call with the same claim.
            AppendOutcome::Conflict { .. } => Err(taken(&free.id, claimed.epoch)),
            AppendOutcome::Unknown(error) => Err(Error::new(
                ErrorKind::Unknown,
                format!("whether it is written to agent {} is not known", free.id),
            )
            .caused_by(error)),
            AppendOutcome::Failed(error) => {
                // If this fails too, the claim goes with the next call or with the journal.
                let _freed = self.storage.append(free).await;
                Err(error)
            }
        }
    }
}

fn closed() -> Error {
    let why = "the journal was closed, or declared dead for want of renewals";
    Error::new(ErrorKind::Closed, why)
}

fn taken(id: &AgentId, epoch: Epoch) -> Error {
    let why = format!("agent {id} was claimed meanwhile, under epoch {epoch}");
    Error::new(ErrorKind::Held, why)
}

impl Claimed {
    /// A commit that gives the claim back, and writes nothing yet.
    fn commit(&self, id: &AgentId, at: Timestamp) -> Commit {
        let mut commit = Commit::new(id.clone(), self.epoch, self.loaded.record.revision, at);
        commit.release = true;
        commit
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("storage", &self.storage)
            .field("cluster", &self.cluster)
            .field("life", &self.life)
            .finish()
    }
}
