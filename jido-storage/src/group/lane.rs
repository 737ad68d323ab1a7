//! What waits for one driver, bounded and in order.

use std::collections::VecDeque;

use jido_core::{AgentId, Epoch, Timestamp};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::options::Limits;
use crate::{AppendOutcome, Commit, Error, ErrorKind};

/// What a commit costs besides its payload, roughly: itself, its names and its key.
const OVERHEAD: usize = 512;

/// Deletions of one batch. Each is a call of its own to the adapter, and all of
/// them run at once.
const MAX_DELETIONS: usize = 64;

/// A deletion of an agent.
#[derive(Debug)]
pub(super) struct Deletion {
    pub(super) id: AgentId,
    pub(super) epoch: Epoch,
    pub(super) at: Timestamp,
}

/// Work whose caller waits for the outcome. Dropped without an answer, its caller
/// takes the outcome for unknown.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    pub(super) work: T,
    pub(super) outcome: oneshot::Sender<AppendOutcome>,
}

impl<T> Waiting<T> {
    pub(super) fn new(work: T, outcome: oneshot::Sender<AppendOutcome>) -> Self {
        Self { work, outcome }
    }
}

/// Answers a caller.
pub(super) fn answer(caller: oneshot::Sender<AppendOutcome>, outcome: AppendOutcome) {
    // Nobody may wait any more: the work went on all the same, as it should.
    let _gone = caller.send(outcome);
}

/// Something that waits.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly all are commits, and a box would cost each of them an allocation"
)]
pub(super) enum Item {
    Commit(Waiting<Commit>),
    Delete(Waiting<Deletion>),
}

impl Item {
    fn bytes(&self) -> usize {
        let payload = match self {
            Self::Commit(commit) => commit.work.payload_len(),
            Self::Delete(_) => 0,
        };
        payload.saturating_add(OVERHEAD)
    }

    fn fail(self, error: Error) {
        let outcome = match self {
            Self::Commit(commit) => commit.outcome,
            Self::Delete(deletion) => deletion.outcome,
        };
        answer(outcome, AppendOutcome::Failed(error));
    }
}

/// What a driver does at once: no agent is in it with a commit and a deletion.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) commits: Vec<Waiting<Commit>>,
    pub(super) deletions: Vec<Waiting<Deletion>>,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.commits.len() + self.deletions.len()
    }

    /// Whether it can be done at the same time as all that is here, without an
    /// agent's order being lost.
    fn can_take(&self, item: &Item) -> bool {
        match item {
            Item::Commit(commit) => self
                .deletions
                .iter()
                .all(|deletion| deletion.work.id != commit.work.id),
            Item::Delete(deletion) => {
                let id = &deletion.work.id;
                self.deletions.len() < MAX_DELETIONS
                    && self.commits.iter().all(|commit| commit.work.id != *id)
                    && self.deletions.iter().all(|other| other.work.id != *id)
            }
        }
    }

    fn take(&mut self, item: Item) {
        match item {
            Item::Commit(commit) => self.commits.push(commit),
            Item::Delete(deletion) => self.deletions.push(deletion),
        }
    }
}

/// The queue of one driver.
#[derive(Debug)]
pub(super) struct Lane {
    limits: Limits,
    state: Mutex<State>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// With their bytes, which are counted once.
    queue: VecDeque<(usize, Item)>,
    bytes: usize,
    closed: bool,
}

impl Lane {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: Mutex::default(),
            ready: Notify::new(),
        }
    }

    /// Queues items in order. From the first on that finds no room they fail, so
    /// that none is done whose predecessor was not.
    pub(super) fn push(&self, items: impl IntoIterator<Item = Item>) {
        let mut refused = Vec::new();
        let mut state = self.state.lock();
        for item in items {
            let bytes = item.bytes();
            let full = state.queue.len() >= self.limits.queued
                || (!state.queue.is_empty()
                    && state.bytes.saturating_add(bytes) > self.limits.queued_bytes);
            if state.closed || full || !refused.is_empty() {
                refused.push(item);
            } else {
                state.bytes += bytes;
                state.queue.push_back((bytes, item));
            }
        }
        let is_closed = state.closed;
        drop(state);
        self.ready.notify_one();
        for item in refused {
            item.fail(if is_closed {
                closed()
            } else {
                self.overloaded()
            });
        }
    }

    /// How much waits.
    pub(super) fn len(&self) -> usize {
        self.state.lock().queue.len()
    }

    /// What has queued up, waiting for the first; none once the lane is closed.
    pub(super) async fn next_batch(&self) -> Option<Batch> {
        loop {
            {
                let mut state = self.state.lock();
                if !state.queue.is_empty() {
                    return Some(self.batch(&mut state));
                }
                if state.closed {
                    return None;
                }
            }
            self.ready.notified().await;
        }
    }

    fn batch(&self, state: &mut State) -> Batch {
        let mut batch = Batch::default();
        let mut taken = 0;
        while let Some((bytes, item)) = state.queue.pop_front() {
            let fits = batch.len() < self.limits.batch
                && taken + bytes <= self.limits.batch_bytes
                && batch.can_take(&item);
            if batch.len() > 0 && !fits {
                state.queue.push_front((bytes, item));
                break;
            }
            taken += bytes;
            batch.take(item);
        }
        state.bytes -= taken;
        batch
    }

    /// Takes no more, and fails what waits.
    pub(super) fn close(&self) {
        let left = {
            let mut state = self.state.lock();
            state.closed = true;
            state.bytes = 0;
            std::mem::take(&mut state.queue)
        };
        self.ready.notify_one();
        for (_, item) in left {
            item.fail(closed());
        }
    }

    fn overloaded(&self) -> Error {
        let Limits {
            queued,
            queued_bytes,
            ..
        } = self.limits;
        Error::new(
            ErrorKind::Overloaded,
            format!("the queue of commits is full: it takes {queued} and {queued_bytes} bytes"),
        )
    }
}

fn closed() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the storage is closed and takes no more commits: start again with a new one",
    )
}
