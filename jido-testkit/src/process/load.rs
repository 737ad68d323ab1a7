//! Many clients that increment and read at once and keep a history.

mod clients;
mod sweep;
mod told;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fastrand::Rng;
use hdrhistogram::Histogram;
use tokio::task::JoinHandle;

use super::balancer::Balancer;
use crate::history::{History, Operation};
use crate::wiring::{now, spawn};
use crate::{Error, ErrorKind};
pub(super) use clients::request_id;
use clients::{Shared, Work};
pub use told::{LoadCounts, LoadOptions, LoadReport};

/// How often it is looked how far clients are.
const POLL: Duration = Duration::from_millis(2);

/// Clients that increment and read until they are stopped.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Vec<Operation>>>,
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load")
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

impl Load {
    /// Starts all clients.
    ///
    /// # Errors
    ///
    /// [`NoSuchNode`](ErrorKind::NoSuchNode) when there are no nodes or no keys.
    pub fn start(options: LoadOptions) -> Result<Self, Error> {
        let with_ids = options.keys.len();
        let mut keys = options.keys;
        keys.extend(options.plain_keys);
        if options.nodes.is_empty() || keys.is_empty() {
            return Err(Error::new(
                ErrorKind::NoSuchNode,
                "a load needs nodes and keys",
            ));
        }
        // From a microsecond to a minute, by three digits.
        let latencies = Histogram::new_with_bounds(1, 60_000_000, 3).map_err(|cause| {
            Error::new(ErrorKind::Machine, format!("no histogram: {cause}")).caused_by(cause)
        })?;
        let balancer = Balancer::start(options.nodes);
        let mut load = Self {
            shared: Arc::new(Shared::new(balancer, options.patience, latencies)),
            clients: Vec::new(),
        };
        let work = Work {
            keys,
            with_ids,
            reads: options.reads,
        };
        load.begin(options.clients, work, options.seed);
        Ok(load)
    }

    /// Has more clients begin, which work on keys of their own: as those of
    /// [`LoadOptions::keys`]. `reads` and `seed` are as in [`LoadOptions`].
    ///
    /// # Errors
    ///
    /// [`NoSuchNode`](ErrorKind::NoSuchNode) when there are no keys.
    pub fn join(
        &mut self,
        clients: usize,
        keys: Vec<String>,
        reads: u32,
        seed: u64,
    ) -> Result<(), Error> {
        if keys.is_empty() {
            return Err(Error::new(ErrorKind::NoSuchNode, "clients need keys"));
        }
        let with_ids = keys.len();
        let work = Work {
            keys,
            with_ids,
            reads,
        };
        self.begin(clients, work, seed);
        Ok(())
    }

    fn begin(&mut self, clients: usize, work: Work, seed: u64) {
        let work = Arc::new(work);
        for at in 0..clients {
            let rng = Rng::with_seed(seed.wrapping_add(at as u64));
            let client = self.clients.len();
            let running = Arc::clone(&self.shared).run(client, Arc::clone(&work), rng);
            self.clients.push(spawn(running));
        }
    }

    /// Has every one of these keys incremented once at once, each by a client of its own
    /// that then has done its work. The increments have ids, drawn from the seed, and
    /// are part of counts and history.
    pub fn increment_each(&mut self, keys: impl IntoIterator<Item = String>, seed: u64) {
        let mut rng = Rng::with_seed(seed);
        for key in keys {
            let (client, request) = (self.clients.len(), request_id(&mut rng));
            let running = Arc::clone(&self.shared).once(client, key, request);
            self.clients.push(spawn(running));
        }
    }

    /// How it went so far.
    pub fn counts(&self) -> LoadCounts {
        LoadCounts {
            acknowledged: self.shared.acknowledged.load(Ordering::Acquire),
            reads: self.shared.reads.load(Ordering::Acquire),
            failed: self.shared.failed.load(Ordering::Acquire),
            refused: self.shared.refused.load(Ordering::Acquire),
        }
    }

    /// Waits for so many more acknowledged increments than there are, for so long.
    ///
    /// # Errors
    ///
    /// [`TooSlow`](ErrorKind::TooSlow), with the last errors.
    pub async fn acknowledges(&self, more: u64, within: Duration) -> Result<(), Error> {
        let (target, deadline) = (self.counts().acknowledged + more, now() + within);
        while self.counts().acknowledged < target {
            if now() > deadline {
                let why = format!("{more} increments took longer: {:#?}", self.errors());
                return Err(Error::new(ErrorKind::TooSlow, why));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// The time since the start, by which the history counts.
    pub fn elapsed(&self) -> Duration {
        now().duration_since(self.shared.origin)
    }

    /// The keys for which this node answered last, and under which epochs.
    pub fn answered_by(&self, node: &str) -> BTreeMap<String, u64> {
        let owners = self.shared.owners.lock();
        let by_it = owners.iter().filter(|(_, last)| last.node == node);
        by_it.map(|(key, last)| (key.clone(), last.epoch)).collect()
    }

    /// How long acknowledged increments took since this was asked last, in
    /// microseconds, from the first request to the answer.
    pub fn take_latencies(&self) -> Histogram<u64> {
        let mut latencies = self.shared.latencies.lock();
        let empty = Histogram::new_from(&*latencies);
        std::mem::replace(&mut *latencies, empty)
    }

    /// How often a request ended with each kind of error so far, whether it was tried again
    /// or not: the code of the node's answer, or `no_connection` when nothing could be
    /// sent, `no_answer` when the connection broke or the time ran out, or
    /// `unreadable_answer`.
    pub fn errors_by_kind(&self) -> BTreeMap<String, u64> {
        self.shared.kinds.lock().clone()
    }

    /// How many requests were answered so far, by the node that was asked and the one that the counter
    /// ran on.
    pub fn answers_by_way(&self) -> BTreeMap<(String, String), u64> {
        self.shared.ways.lock().clone()
    }

    /// The last 20 errors with which operations failed, in words.
    pub fn errors(&self) -> Vec<String> {
        self.shared.errors.lock().iter().cloned().collect()
    }

    /// Lets every client finish its operation, and gives what came of it all.
    ///
    /// # Errors
    ///
    /// [`Machine`](ErrorKind::Machine) when a client's task panicked.
    pub async fn stop(mut self) -> Result<LoadReport, Error> {
        self.shared.stopping.store(true, Ordering::Relaxed);
        let mut operations = std::mem::take(&mut *self.shared.swept.lock());
        for client in self.clients.drain(..) {
            let part = client.await.map_err(|cause| {
                Error::new(ErrorKind::Machine, format!("a client ended early: {cause}"))
                    .caused_by(cause)
            })?;
            operations.extend(part);
        }
        Ok(LoadReport {
            history: History::new(operations),
            counts: self.counts(),
            errors: self.errors(),
        })
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.clients.iter().for_each(JoinHandle::abort);
    }
}

#[cfg(test)]
mod tests;
