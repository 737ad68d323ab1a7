//! Many clients that increment at once and keep a history.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use hdrhistogram::Histogram;
use jido_core::Executed;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::balancer::Balancer;
use super::client::{DemoClient, Inc};
use crate::counters::{History, Increment, Outcome};
use crate::wiring::{now, spawn};
use crate::{Error, ErrorKind};

/// How long a client waits before it tries again elsewhere.
const PAUSE: Duration = Duration::from_millis(10);

/// How many errors are kept in words.
const KEPT_ERRORS: usize = 20;

/// What the load consists of.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// The nodes to ask.
    pub nodes: Vec<DemoClient>,
    /// How many clients there are, each with one request under way.
    pub clients: usize,
    /// The keys that they increment, chosen at random.
    pub keys: Vec<String>,
    /// What their choices are drawn from.
    pub seed: u64,
    /// How long an increment that was refused without being executed is tried
    /// again, at whichever node is ready.
    pub patience: Duration,
    /// Whether every increment has an id of its own. Then it is tried again, too, when
    /// nobody can tell whether it was executed: it takes effect once all the same.
    pub idempotent: bool,
}

/// How the increments of a load went so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadCounts {
    /// Acknowledged with a value.
    pub acknowledged: u64,
    /// Failed for their client: the outcome is unknown, the answer got lost, or
    /// nobody took it while the patience lasted.
    pub failed: u64,
    /// Requests that were refused without being executed, and were sent again.
    pub refused: u64,
}

/// What came of a load.
#[derive(Debug)]
pub struct LoadReport {
    /// All increments that were executed, or may have been.
    pub history: History,
    /// How all of them went.
    pub counts: LoadCounts,
    /// The last 20 errors with which increments failed, in words.
    pub errors: Vec<String>,
}

/// Clients that increment until they are stopped.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<History>>,
}

struct Shared {
    balancer: Balancer,
    keys: Vec<String>,
    patience: Duration,
    idempotent: bool,
    origin: Instant,
    stopping: AtomicBool,
    acknowledged: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    latencies: Mutex<Histogram<u64>>,
    errors: Mutex<VecDeque<String>>,
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
        if options.nodes.is_empty() || options.keys.is_empty() {
            return Err(Error::new(
                ErrorKind::NoSuchNode,
                "a load needs nodes and keys",
            ));
        }
        // From a microsecond to a minute, by three digits.
        let latencies = Histogram::new_with_bounds(1, 60_000_000, 3).map_err(|cause| {
            Error::new(ErrorKind::Machine, format!("no histogram: {cause}")).caused_by(cause)
        })?;
        let shared = Arc::new(Shared {
            balancer: Balancer::start(options.nodes),
            keys: options.keys,
            patience: options.patience,
            idempotent: options.idempotent,
            origin: now(),
            stopping: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            latencies: Mutex::new(latencies),
            errors: Mutex::default(),
        });
        let clients = (0..options.clients)
            .map(|client| {
                let rng = fastrand::Rng::with_seed(options.seed.wrapping_add(client as u64));
                spawn(Arc::clone(&shared).run(client, rng))
            })
            .collect();
        Ok(Self { shared, clients })
    }

    /// How it went so far.
    pub fn counts(&self) -> LoadCounts {
        LoadCounts {
            acknowledged: self.shared.acknowledged.load(Ordering::Acquire),
            failed: self.shared.failed.load(Ordering::Acquire),
            refused: self.shared.refused.load(Ordering::Acquire),
        }
    }

    /// How long acknowledged increments took since this was asked last, in
    /// microseconds, from the first request to the answer.
    pub fn take_latencies(&self) -> Histogram<u64> {
        let mut latencies = self.shared.latencies.lock();
        let empty = Histogram::new_from(&*latencies);
        std::mem::replace(&mut *latencies, empty)
    }

    /// The last 20 errors with which increments failed, in words.
    pub fn errors(&self) -> Vec<String> {
        self.shared.errors.lock().iter().cloned().collect()
    }

    /// Lets every client finish its increment, and gives what came of it all.
    ///
    /// # Errors
    ///
    /// [`Machine`](ErrorKind::Machine) when a client's task panicked.
    pub async fn stop(mut self) -> Result<LoadReport, Error> {
        self.shared.stopping.store(true, Ordering::Relaxed);
        let mut history = History::default();
        for client in self.clients.drain(..) {
            let part = client.await.map_err(|cause| {
                Error::new(ErrorKind::Machine, format!("a client ended early: {cause}"))
                    .caused_by(cause)
            })?;
            history.merge(part);
        }
        Ok(LoadReport {
            history,
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

impl Shared {
    async fn run(self: Arc<Self>, client: usize, mut rng: fastrand::Rng) -> History {
        let mut history = History::default();
        while !self.stopping.load(Ordering::Relaxed) {
            let Some(key) = rng.choice(&self.keys) else {
                break;
            };
            let request = self.idempotent.then(|| request_id(&mut rng));
            if let Some(increment) = self.increment(client, key, request).await {
                history.record(key, increment);
            }
        }
        history
    }

    /// One increment, tried again for as long as it is certain that it was not
    /// executed; nothing if it never was.
    /// With an id, as long as it isn't certain that it was.
    async fn increment(
        &self,
        client: usize,
        key: &str,
        request: Option<Uuid>,
    ) -> Option<Increment> {
        let first = now();
        let mut started = first;
        let mut executed = Executed::No;
        loop {
            let picked = self.balancer.pick(client)?;
            if executed == Executed::No {
                started = now();
            }
            let inc = Inc {
                request,
                ..Inc::default()
            };
            let answer = picked.client().inc_with(key, inc).await;
            let ended = now();
            let outcome = match answer {
                Ok(reply) => {
                    let micros = u64::try_from((ended - first).as_micros()).unwrap_or(u64::MAX);
                    self.latencies.lock().saturating_record(micros);
                    self.acknowledged.fetch_add(1, Ordering::Release);
                    Outcome::Acknowledged(reply.value)
                }
                Err(error) => {
                    let safe = error.executed() == Executed::No
                        || (request.is_some() && error.executed() == Executed::Maybe);
                    let again = safe && error.is_retryable();
                    // What was once unknown stays so, whatever a later try was refused for.
                    if error.executed() != Executed::No {
                        executed = error.executed();
                    }
                    if again && ended - first < self.patience {
                        self.refused.fetch_add(1, Ordering::Release);
                        if is_about_the_node(&error) {
                            picked.reject();
                        }
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                    self.failed.fetch_add(1, Ordering::Release);
                    self.keep(&error);
                    match executed {
                        Executed::No => return None,
                        Executed::Maybe => Outcome::Unknown,
                        Executed::Yes => Outcome::Applied,
                    }
                }
            };
            let since = |at: Instant| at.duration_since(self.origin);
            return Some(Increment {
                started: since(started),
                ended: since(ended),
                outcome,
            });
        }
    }

    fn keep(&self, error: &Error) {
        let mut errors = self.errors.lock();
        if errors.len() == KEPT_ERRORS {
            errors.pop_front();
        }
        errors.push_back(error.to_string());
    }
}

/// An id that tells when it was made, as UUIDs of version 7 do.
#[allow(
    clippy::disallowed_methods,
    reason = "real processes compare it with their own wall clocks"
)]
fn request_id(rng: &mut fastrand::Rng) -> Uuid {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis() as u64);
    let mut random = [0; 10];
    rng.fill(&mut random);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// Whether an error says that the node takes no requests, rather than that the
/// key's owner is not to be had at the moment.
fn is_about_the_node(error: &Error) -> bool {
    error.kind() == ErrorKind::Unreachable || error.code() == Some("stopped")
}

#[cfg(test)]
mod tests;
