//! What waits for the writer, bounded.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};

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
/// How often other threads get their turn between two transactions, at the most.
const TURNS: usize = 16;

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
        drop(state);
        self.ready.notify_one();
        for job in refused {
            job.fail(if closed { gone() } else { overloaded() });
        }
    }

    /// What has queued up, waiting for the first; nothing once the queue is
    /// closed and empty.
    pub(super) fn next_batch(&self) -> Vec<Box<dyn Job>> {
        self.let_others_in();
        let mut state = self.state.lock();
        while state.jobs.is_empty() && !state.closed {
            self.ready.wait(&mut state);
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

    /// Gives the callers who have just been answered their turn, as long as more
    /// and more of them hand something in. Else the first of them would go alone, and
    /// all others would wait for one more sync.
    fn let_others_in(&self) {
        let mut waiting = self.state.lock().jobs.len();
        for _ in 0..TURNS {
            std::thread::yield_now();
            let before = std::mem::replace(&mut waiting, self.state.lock().jobs.len());
            if waiting == before {
                break;
            }
        }
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
