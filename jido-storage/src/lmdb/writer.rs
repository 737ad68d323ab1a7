//! The writer: a thread that takes what has queued up while the last
//! transaction was on its way to the disk, and does it all in the next.

use std::sync::Arc;
use std::time::Instant;

use super::env::Environment;
use super::fault::{Fault, is_map_full};
use super::job::{Job, Writing};
use super::queue::{Last, Queue};
use crate::{Error, ErrorKind};

/// After this many batches, readers that died are looked for.
const CHECK_READERS_EVERY: u64 = 1024;

/// Starts the thread. It ends once the queue is closed and empty, and then
/// lets the environment go.
pub(super) fn start(env: Arc<Environment>, queue: Arc<Queue>) -> Result<(), Error> {
    // A thread, since LMDB's write lock belongs to one and its sync blocks. Not
    // joined: its end is seen by the environment's closing.
    std::thread::Builder::new()
        .name("jido-lmdb".into())
        .spawn(move || {
            let writer = Writer { env, queue };
            let mut last = Last::default();
            for round in 1u64.. {
                let batch = writer.queue.next_batch(&mut last);
                if batch.is_empty() {
                    break;
                }
                last = writer.write(batch, last);
                if round % CHECK_READERS_EVERY == 0 {
                    writer.env.clear_stale_readers();
                }
            }
        })
        .map(drop)
        .map_err(|cause| {
            Error::new(
                ErrorKind::Unavailable,
                "the writer's thread can't be started",
            )
            .caused_by(cause)
        })
}

/// What the thread has.
struct Writer {
    env: Arc<Environment>,
    queue: Arc<Queue>,
}

impl Drop for Writer {
    /// Nobody waits for a writer that is gone, however it went.
    fn drop(&mut self) {
        self.queue.abandon();
    }
}

impl Writer {
    /// Writes a batch, with whoever comes while it is on its way, and answers every job.
    fn write(&self, mut batch: Vec<Box<dyn Job>>, last: Last) -> Last {
        #[allow(
            clippy::disallowed_methods,
            reason = "how long a transaction takes on this disk bounds the wait for the next, and decides nothing"
        )]
        let begun = Instant::now();
        let mut patience = last.patience();
        let outcome = attempt(&self.env, &mut batch, |batch| {
            let patience = std::mem::take(&mut patience);
            self.queue.join(batch, last.expected, patience)
        });
        let last = Last {
            expected: self.queue.len() + batch.len(),
            took: begun.elapsed(),
        };
        self.queue.watchers.tell(batch.len());
        tracing::trace!(operations = batch.len(), took = ?last.took, "wrote a batch");
        settle(&self.env, batch, outcome);
        last
    }
}

/// Why a transaction did not commit.
enum Stopped {
    /// Nothing can be begun.
    Begin(Error),
    /// A job, or the commit, failed: nothing of the batch is written.
    Undone(heed::Error),
    /// The commit failed so that nobody knows.
    Lost(heed::Error),
}

/// Answers every job of a batch, after further attempts where the first failed.
fn settle(env: &Environment, mut batch: Vec<Box<dyn Job>>, mut outcome: Result<(), Stopped>) {
    loop {
        match outcome {
            Ok(()) => return batch.into_iter().for_each(Job::done),
            Err(Stopped::Begin(error)) => {
                return batch.into_iter().for_each(|job| job.fail(error.copy()));
            }
            Err(Stopped::Lost(error)) => {
                let lost = || {
                    Error::new(
                        ErrorKind::Unavailable,
                        format!(
                            "the commit failed, perhaps half-way, after which LMDB would take no more in this process: {error}"
                        ),
                    )
                };
                return batch.into_iter().for_each(|job| job.lose(lost()));
            }
            Err(Stopped::Undone(error)) => {
                let full = is_map_full(&error);
                if full {
                    match env.grow(false) {
                        Ok(true) => {
                            outcome = attempt(env, &mut batch, |_| false);
                            continue;
                        }
                        Ok(false) => {}
                        Err(error) => {
                            return batch.into_iter().for_each(|job| job.fail(error.copy()));
                        }
                    }
                }
                // Alone, each job fails or succeeds by itself. Only an error of the
                // disk itself concerns them all.
                if batch.len() > 1 && !matches!(error, heed::Error::Io(_)) {
                    for job in batch {
                        let mut alone = vec![job];
                        let outcome = attempt(env, &mut alone, |_| false);
                        settle(env, alone, outcome);
                    }
                    return;
                }
                if full && batch.iter().all(|job| job.may_use_reserve()) {
                    return write_in_reserve(env, batch);
                }
                return batch
                    .into_iter()
                    .for_each(|job| job.fail(env.definite(&error, "writing")));
            }
        }
    }
}

/// Runs a batch in one transaction and commits it. Each time that all of it has been run,
/// `join` may add to it, and answers whether it has.
fn attempt(
    env: &Environment,
    batch: &mut Vec<Box<dyn Job>>,
    mut join: impl FnMut(&mut Vec<Box<dyn Job>>) -> bool,
) -> Result<(), Stopped> {
    let mut txn = env.begin().map_err(|fault| match fault {
        Fault::Refused(error) => Stopped::Begin(error),
        Fault::Engine(error) => Stopped::Begin(env.definite(&error, "beginning a transaction")),
    })?;
    let mut writing = Writing::new(env.tables(), &mut txn.txn);
    let mut from = 0;
    loop {
        let (_, jobs) = batch.split_at_mut(from);
        jobs.iter_mut().for_each(|job| job.find(&writing));
        jobs.sort_by_key(|job| job.place());
        for job in jobs {
            job.run(&mut writing).map_err(Stopped::Undone)?;
        }
        from = batch.len();
        if !join(batch) {
            break;
        }
    }
    env.commit(txn).map_err(|error| {
        if env.may_be_poisoned() {
            Stopped::Lost(error)
        } else {
            Stopped::Undone(error)
        }
    })
}

/// Writes beyond the bound, for a job that makes room, and gives the reserve back.
fn write_in_reserve(env: &Environment, mut batch: Vec<Box<dyn Job>>) {
    let mut outcome = Err(Stopped::Begin(env.full()));
    loop {
        match env.grow(true) {
            Ok(true) => outcome = attempt(env, &mut batch, |_| false),
            Ok(false) => break,
            Err(error) => {
                outcome = Err(Stopped::Begin(error));
                break;
            }
        }
        match &outcome {
            Err(Stopped::Undone(error)) if is_map_full(error) => {}
            _ => break,
        }
    }
    if let Err(error) = env.shrink() {
        tracing::error!(%error, "the map could not be put back to its bound");
    }
    for job in batch {
        match &outcome {
            Ok(()) => job.done(),
            Err(Stopped::Begin(error)) => job.fail(error.copy()),
            Err(Stopped::Undone(error)) => job.fail(env.definite(error, "writing")),
            Err(Stopped::Lost(error)) => job.lose(env.definite(error, "committing")),
        }
    }
}
