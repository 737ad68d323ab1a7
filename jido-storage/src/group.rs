//! The group committer: commits that come at once share a batch.

mod driver;
mod lane;
mod options;
#[cfg(test)]
mod tests;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use async_trait::async_trait;
use jido_core::{AgentId, ClusterName, Entry, Epoch, Incarnation, RequestId, Seq, Timestamp};
use tokio::sync::oneshot;

pub use self::driver::GroupDriver;
use self::lane::{Deletion, Item, Lane, Waiting};
pub use self::options::GroupOptions;
use crate::batches::BatchWatchers;
use crate::{
    AgentRecord, AppendOutcome, BatchWatcher, Batching, Capabilities, ClaimOutcome, ClaimRequest,
    Commit, CommittedRequest, DirectoryPage, DirectoryQuery, Due, DueQuery, Error, ErrorKind,
    Loaded, NodeRecord, NodeRegistration, Registration, Renewal, Storage,
};

/// Stands in front of an adapter and makes commits that come at once share a
/// batch, and so a transaction.
///
/// # How it works
///
/// Commits and deletions wait in a queue. A driver hands what has queued up to
/// [`Storage::append_many`] of the adapter, and while that is in flight the next
/// batch queues up. There is no timer: a commit that finds nothing in flight
/// goes out at once, alone. All other calls pass straight through.
///
/// - Each commit in a batch succeeds or fails alone, as the adapter says.
/// - Those of one agent take effect in the order in which they were handed in.
/// - A commit that was handed in goes on when the future that waits for it is
///   dropped.
/// - The queue is bounded ([`GroupOptions`]): what does not fit fails at once
///   with [`Overloaded`](ErrorKind::Overloaded), and nothing of it is written.
/// - When the committer is closed or dropped, what is in flight ends as the
///   adapter says, and what still waits in the queue fails with
///   [`Unavailable`](ErrorKind::Unavailable), not written. It is the same when a
///   driver is dropped, but that then nobody knows how its batch in flight ends:
///   those are [`Unknown`](AppendOutcome::Unknown). So are the commits of a batch
///   in which the adapter panics; the driver goes on with the next one.
///
/// A queue of its own only pays where the adapter has none: whether it belongs
/// in front of one says [`Capabilities::batching`].
///
/// ```
/// use std::sync::Arc;
/// use jido_storage::{GroupCommitter, GroupOptions, MemoryStorage};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), jido_storage::Error> {
/// let adapter = Arc::new(MemoryStorage::new());
/// let (storage, drivers) = GroupCommitter::new(adapter, &GroupOptions::new())?;
/// for driver in drivers {
///     tokio::spawn(driver.run());
/// }
/// # drop(storage);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct GroupCommitter {
    storage: Arc<dyn Storage>,
    lanes: Vec<Arc<Lane>>,
    watchers: Arc<BatchWatchers>,
}

impl GroupCommitter {
    /// Makes one in front of an adapter, and a driver for each of its lanes. Each
    /// driver is to be run, in a task of its own; without one the commits of its
    /// lane wait.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) when an option is out of its
    /// range, with the option and the range.
    pub fn new(
        storage: Arc<dyn Storage>,
        options: &GroupOptions,
    ) -> Result<(Self, Vec<GroupDriver>), Error> {
        let capabilities = storage.capabilities();
        let limits = options.limits(&capabilities)?;
        let lanes: Vec<_> = (0..options.lanes_for(&capabilities)?)
            .map(|_| Arc::new(Lane::new(limits)))
            .collect();
        let watchers = Arc::<BatchWatchers>::default();
        let drivers = lanes
            .iter()
            .map(|lane| GroupDriver::new(storage.clone(), lane.clone(), watchers.clone()))
            .collect();
        let group = Self {
            storage,
            lanes,
            watchers,
        };
        Ok((group, drivers))
    }

    /// Takes no more commits and deletions: those that wait, and all that come,
    /// fail with [`Unavailable`](ErrorKind::Unavailable). What is in flight ends
    /// as it would have, and then the drivers end.
    pub fn close(&self) {
        for lane in &self.lanes {
            lane.close();
        }
    }

    /// The lane of an agent, always the same one, so that its commits keep their order.
    fn lane_of(&self, id: &AgentId) -> usize {
        if self.lanes.len() == 1 {
            return 0;
        }
        // Without random keys, so that a run can be repeated.
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        (hasher.finish() % self.lanes.len() as u64) as usize
    }
}

impl Drop for GroupCommitter {
    fn drop(&mut self) {
        self.close();
    }
}

async fn outcome_of(outcome: oneshot::Receiver<AppendOutcome>) -> AppendOutcome {
    outcome.await.unwrap_or_else(|_| {
        AppendOutcome::Unknown(Error::new(
            ErrorKind::Unavailable,
            "the batch of this commit ended without an outcome",
        ))
    })
}

#[async_trait]
impl Storage for GroupCommitter {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            batching: Batching::Itself,
            ..self.storage.capabilities()
        }
    }

    async fn register_node(&self, node: NodeRegistration) -> Result<Registration, Error> {
        self.storage.register_node(node).await
    }

    async fn renew_node(
        &self,
        cluster: &ClusterName,
        incarnation: Incarnation,
    ) -> Result<Renewal, Error> {
        self.storage.renew_node(cluster, incarnation).await
    }

    async fn declare_dead(
        &self,
        cluster: &ClusterName,
        incarnation: Incarnation,
        observed: Option<u64>,
    ) -> Result<bool, Error> {
        self.storage
            .declare_dead(cluster, incarnation, observed)
            .await
    }

    async fn nodes(&self, cluster: &ClusterName) -> Result<Vec<NodeRecord>, Error> {
        self.storage.nodes(cluster).await
    }

    /// Overtakes what waits: a commit of a smaller epoch is then fenced, as it
    /// would be if it came later.
    async fn claim(&self, claim: ClaimRequest) -> Result<ClaimOutcome, Error> {
        self.storage.claim(claim).await
    }

    async fn load(&self, id: &AgentId) -> Result<Option<Loaded>, Error> {
        self.storage.load(id).await
    }

    async fn head(&self, id: &AgentId) -> Result<Option<AgentRecord>, Error> {
        self.storage.head(id).await
    }

    async fn heads(&self, ids: &[AgentId]) -> Result<Vec<Option<AgentRecord>>, Error> {
        self.storage.heads(ids).await
    }

    async fn read_thread(
        &self,
        id: &AgentId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        self.storage.read_thread(id, from, limit).await
    }

    async fn reply_of(
        &self,
        id: &AgentId,
        request: RequestId,
    ) -> Result<Option<CommittedRequest>, Error> {
        self.storage.reply_of(id, request).await
    }

    async fn append_many(&self, commits: Vec<Commit>) -> Vec<AppendOutcome> {
        let mut outcomes = Vec::with_capacity(commits.len());
        let mut shares: Vec<Vec<Item>> = self.lanes.iter().map(|_| Vec::new()).collect();
        for commit in commits {
            let (outcome, waits) = oneshot::channel();
            outcomes.push(waits);
            shares[self.lane_of(&commit.id)].push(Item::Commit(Waiting::new(commit, outcome)));
        }
        for (lane, share) in self.lanes.iter().zip(shares) {
            lane.push(share);
        }
        let mut ended = Vec::with_capacity(outcomes.len());
        for outcome in outcomes {
            ended.push(outcome_of(outcome).await);
        }
        ended
    }

    async fn append(&self, commit: Commit) -> AppendOutcome {
        let (outcome, waits) = oneshot::channel();
        let lane = &self.lanes[self.lane_of(&commit.id)];
        lane.push([Item::Commit(Waiting::new(commit, outcome))]);
        outcome_of(waits).await
    }

    async fn delete(&self, id: &AgentId, epoch: Epoch, at: Timestamp) -> AppendOutcome {
        let (outcome, waits) = oneshot::channel();
        let deletion = Deletion {
            id: id.clone(),
            epoch,
            at,
        };
        let lane = &self.lanes[self.lane_of(id)];
        lane.push([Item::Delete(Waiting::new(deletion, outcome))]);
        outcome_of(waits).await
    }

    async fn directory(&self, query: DirectoryQuery) -> Result<DirectoryPage, Error> {
        self.storage.directory(query).await
    }

    async fn due(&self, query: DueQuery) -> Result<Vec<Due>, Error> {
        self.storage.due(query).await
    }

    /// Commits and deletions, in all lanes.
    fn queued(&self) -> usize {
        self.lanes.iter().map(|lane| lane.len()).sum()
    }

    /// Batches of commits and deletions, each before it goes to the adapter.
    fn watch_batches(&self, watcher: &Arc<dyn BatchWatcher>) {
        self.watchers.add(watcher);
    }
}
