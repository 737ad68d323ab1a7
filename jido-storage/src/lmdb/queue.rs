//! What waits for the writer, bounded.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::job::Job;
use crate::batches::BatchWatchers;
use crate::{Error, ErrorKind};

/// Jobs that may wait; and as many more of those that go first.
pub(super) const MAX_QUEUED: usize = 16 * 1024;
/// Bytes that may wait, beside those that go first.
const MAX_QUEUED_BYTES: usize = 256 * 1024 * 1024;
/// Jobs of one transaction: enough to make the sync's share of each small.
const MAX_BATCH: usize = 4 * 1024;
/// Bytes of one transaction, so that its dirty pages stay in memory.
const MAX_BATCH_BYTES: usize = 64 * 1024 * 1024;
/// The part of a transaction's time for which the next one waits, before it begins and once
/// more before it commits, for the callers who were just answered.
const PATIENCE: u32 = 8;

/// What the writer has just done.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Last {
    /// The jobs that it answered, and those that had queued up by then: so many the
    /// next batch has if every caller comes back.
    pub(super) expected: usize,
    /// How long the transaction took.
    pub(super) took: Duration,
}

impl Last {
    /// How long the next transaction waits at a time for those who were answered.
    pub(super) fn patience(&self) -> Duration {
        self.took / PATIENCE
    }
}

/// The queue between the callers and the writer's thread.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    ready: Condvar,
    /// Who is told of the writer's batches.
    pub(super) watchers: BatchWatchers,
}

#[derive(Default)]
struct State {
    /// Those on nodes' records: few, small, and in a hurry, for a lease that isn't renewed
    /// in time costs a node its life. Commits take none of their room.
    first: VecDeque<Box<dyn Job>>,
    /// All others.
    jobs: VecDeque<Box<dyn Job>>,
    /// Of the others.
    bytes: usize,
    closed: bool,
    /// The jobs from which on the writer is woken.
    wanted: usize,
}

impl State {
    fn len(&self) -> usize {
        self.first.len() + self.jobs.len()
    }

    fn is_empty(&self) -> bool {
        self.first.is_empty() && self.jobs.is_empty()
    }

    /// Queues a job; gives it back where it finds no room.
    fn put(&mut self, job: Box<dyn Job>) -> Result<(), Box<dyn Job>> {
        if job.goes_first() {
            if self.first.len() >= MAX_QUEUED {
                return Err(job);
            }
            self.first.push_back(job);
            return Ok(());
        }
        let bytes = self.bytes + job.bytes();
        let full =
            self.jobs.len() >= MAX_QUEUED || (!self.jobs.is_empty() && bytes > MAX_QUEUED_BYTES);
        if full {
            return Err(job);
        }
        self.bytes = bytes;
        self.jobs.push_back(job);
        Ok(())
    }

    /// Moves jobs from the front into a batch, as far as it has room.
    fn take(&mut self, batch: &mut Vec<Box<dyn Job>>) {
        let room = MAX_BATCH.saturating_sub(batch.len()).min(self.first.len());
        batch.extend(self.first.drain(..room));
        let mut bytes: usize = batch.iter().map(|job| job.bytes()).sum();
        while batch.len() < MAX_BATCH
            && let Some(job) = self.jobs.pop_front()
        {
            if !batch.is_empty() && bytes + job.bytes() > MAX_BATCH_BYTES {
                self.jobs.push_front(job);
                break;
            }
            bytes += job.bytes();
            self.bytes -= job.bytes();
            batch.push(job);
        }
    }
}

impl Queue {
    /// Queues jobs in order, those on nodes' records before all others. From the first on
    /// that finds no room they are answered with [`Overloaded`](ErrorKind::Overloaded).
    pub(super) fn push(&self, jobs: impl IntoIterator<Item = Box<dyn Job>>) {
        let mut refused: Vec<Box<dyn Job>> = Vec::new();
        let mut state = self.state.lock();
        for job in jobs {
            if state.closed || !refused.is_empty() {
                refused.push(job);
            } else if let Err(job) = state.put(job) {
                refused.push(job);
            }
        }
        let closed = state.closed;
        let enough = state.len() >= state.wanted;
        drop(state);
        if enough {
            self.ready.notify_one();
        }
        for job in refused {
            job.fail(if closed { gone() } else { overloaded() });
        }
    }

    /// The jobs that wait.
    pub(super) fn len(&self) -> usize {
        self.state.lock().len()
    }

    /// What has queued up, waiting for the first; nothing once the queue is
    /// closed and empty. After a pause `last` is nothing any more.
    pub(super) fn next_batch(&self, last: &mut Last) -> Vec<Box<dyn Job>> {
        let mut state = self.state.lock();
        // Whoever comes after a pause waits for nobody.
        let mut paused = false;
        while state.is_empty() && !state.closed {
            if paused {
                self.ready.wait(&mut state);
            } else {
                paused = self.ready.wait_for(&mut state, last.took).timed_out();
            }
        }
        let mut batch = Vec::with_capacity(last.expected.max(state.len()).min(MAX_BATCH));
        if paused {
            *last = Last::default();
        } else {
            // The others come while the transaction goes on with the first half.
            self.let_in(&mut state, last.expected / 2, last.patience());
        }
        state.take(&mut batch);
        batch
    }

    /// Adds to a batch whose jobs have all been run who has come since, and answers
    /// whether anybody has. Waits for no longer than `patience` for those who are missing.
    pub(super) fn join(
        &self,
        batch: &mut Vec<Box<dyn Job>>,
        expected: usize,
        patience: Duration,
    ) -> bool {
        let before = batch.len();
        let mut state = self.state.lock();
        self.let_in(&mut state, expected.saturating_sub(before), patience);
        state.take(batch);
        batch.len() > before
    }

    /// Gives the callers who have just been answered a moment to hand in what comes
    /// next: they share one sync then, where else the first of them would go alone
    /// and all others wait for one more. The writer sleeps meanwhile, so that they have
    /// the processor, and is woken as soon as so many are there as are `wanted`.
    fn let_in(&self, state: &mut MutexGuard<'_, State>, wanted: usize, patience: Duration) {
        state.wanted = wanted.min(MAX_BATCH);
        if state.len() < state.wanted && !state.closed && !patience.is_zero() {
            self.ready.wait_for(state, patience);
        }
        state.wanted = 1;
    }

    /// Takes no more; what is queued is still handed out.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.ready.notify_one();
    }

    /// Closes it for good and answers what is still in it.
    pub(super) fn abandon(&self) {
        let left = {
            let mut state = self.state.lock();
            state.closed = true;
            state.bytes = 0;
            let first = std::mem::take(&mut state.first);
            first.into_iter().chain(std::mem::take(&mut state.jobs))
        };
        for job in left {
            job.fail(gone());
        }
    }
}

fn overloaded() -> Error {
    Error::new(
        ErrorKind::Overloaded,
        format!(
            "the writer's queue is full: it takes {MAX_QUEUED} operations and {MAX_QUEUED_BYTES} bytes"
        ),
    )
}

fn gone() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the writer has stopped: open the storage again",
    )
}
