//! What waits for the writer, bounded.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::job::Job;
use crate::{Error, ErrorKind};

/// Jobs that may wait.
pub(super) const MAX_QUEUED: usize = 16 * 1024;
/// Bytes that may wait.
const MAX_QUEUED_BYTES: usize = 256 * 1024 * 1024;
/// Jobs of one transaction: enough to make the sync's share of each small.
const MAX_BATCH: usize = 4 * 1024;
/// Bytes of one transaction, so that its dirty pages stay in memory.
const MAX_BATCH_BYTES: usize = 64 * 1024 * 1024;
/// The part of a transaction's time for which the next one waits for the callers who
/// were just answered.
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

/// The queue between the callers and the writer's thread.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    ready: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Box<dyn Job>>,
    bytes: usize,
    closed: bool,
    /// The jobs from which on the writer is woken.
    wanted: usize,
}

impl Queue {
    /// Queues jobs in order. From the first on that finds no room they are
    /// answered with [`Overloaded`](ErrorKind::Overloaded).
    pub(super) fn push(&self, jobs: impl IntoIterator<Item = Box<dyn Job>>) {
        let mut refused: Vec<Box<dyn Job>> = Vec::new();
        let mut state = self.state.lock();
        for job in jobs {
            let full = state.jobs.len() >= MAX_QUEUED
                || (!state.jobs.is_empty() && state.bytes + job.bytes() > MAX_QUEUED_BYTES);
            if state.closed || full || !refused.is_empty() {
                refused.push(job);
            } else {
                state.bytes += job.bytes();
                state.jobs.push_back(job);
            }
        }
        let closed = state.closed;
        let enough = state.jobs.len() >= state.wanted;
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
        self.state.lock().jobs.len()
    }

    /// What has queued up, waiting for the first; nothing once the queue is
    /// closed and empty.
    pub(super) fn next_batch(&self, last: Last) -> Vec<Box<dyn Job>> {
        let mut state = self.state.lock();
        // Whoever comes after a pause waits for nobody.
        let mut paused = false;
        while state.jobs.is_empty() && !state.closed {
            if paused {
                self.ready.wait(&mut state);
            } else {
                paused = self.ready.wait_for(&mut state, last.took).timed_out();
            }
        }
        if !paused {
            self.let_others_in(&mut state, last);
        }
        let mut batch = Vec::with_capacity(state.jobs.len().min(MAX_BATCH));
        let mut bytes = 0;
        while batch.len() < MAX_BATCH
            && let Some(job) = state.jobs.pop_front()
        {
            if !batch.is_empty() && bytes + job.bytes() > MAX_BATCH_BYTES {
                state.jobs.push_front(job);
                break;
            }
            bytes += job.bytes();
            batch.push(job);
        }
        state.bytes -= bytes;
        batch
    }

    /// Gives the callers who have just been answered a moment to hand in what comes
    /// next: they share one sync then, where else the first of them would go alone
    /// and all others wait for one more. The writer sleeps meanwhile, so that they have
    /// the processor, and is woken as soon as all are there.
    fn let_others_in(&self, state: &mut MutexGuard<'_, State>, last: Last) {
        state.wanted = last.expected.min(MAX_BATCH);
        if state.jobs.len() < state.wanted && !state.closed {
            self.ready.wait_for(state, last.took / PATIENCE);
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
            std::mem::take(&mut state.jobs)
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
