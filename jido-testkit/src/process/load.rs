//! Many clients that increment and read at once and keep a history.

mod sweep;
mod tally;
mod told;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use hdrhistogram::Histogram;
use jido_core::Executed;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::balancer::{Balancer, Picked};
use super::client::Inc;
use super::replies::CounterReply;
use crate::history::{Action, Answer, By, History, Operation, Outcome};
use crate::wiring::{now, spawn};
use crate::{Error, ErrorKind};
pub use tally::Tally;
pub use told::{LoadCounts, LoadOptions, LoadReport};

/// How long a client waits before it tries again elsewhere.
const PAUSE: Duration = Duration::from_millis(10);

/// How many errors are kept in words.
const KEPT_ERRORS: usize = 20;

/// Who answered for a key last.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LastOwner {
    /// The node.
    node: String,
    /// The epoch of its activation.
    epoch: u64,
}

/// Clients that increment and read until they are stopped.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Vec<Operation>>>,
}

struct Shared {
    balancer: Balancer,
    /// Those whose increments have ids, then the others.
    keys: Vec<String>,
    with_ids: usize,
    read_share: u32,
    patience: Duration,
    origin: Instant,
    stopping: AtomicBool,
    next: AtomicU64,
    acknowledged: AtomicU64,
    reads: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    latencies: Mutex<Histogram<u64>>,
    owners: Mutex<BTreeMap<String, LastOwner>>,
    errors: Mutex<VecDeque<String>>,
    tally: Mutex<Tally>,
    /// The operations of sweeps.
    swept: Mutex<Vec<Operation>>,
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
        let shared = Arc::new(Shared {
            balancer: Balancer::start(options.nodes),
            keys,
            with_ids,
            read_share: options.reads,
            patience: options.patience,
            origin: now(),
            stopping: AtomicBool::new(false),
            next: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            latencies: Mutex::new(latencies),
            owners: Mutex::default(),
            errors: Mutex::default(),
            tally: Mutex::default(),
            swept: Mutex::default(),
        });
        let clients = (0..options.clients)
            .map(|client| {
                let rng = fastrand::Rng::with_seed(options.seed.wrapping_add(client as u64));
                spawn(Arc::clone(&shared).run(client, rng))
            })
            .collect();
        Ok(Self { shared, clients })
    }

    /// All keys, those whose increments have ids first.
    pub fn keys(&self) -> &[String] {
        &self.shared.keys
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

    /// Who answered whom, and why operations failed, since this was asked last.
    pub fn take_tally(&self) -> Tally {
        std::mem::take(&mut *self.shared.tally.lock())
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

/// What came of a try.
struct Tried {
    invoked: Instant,
    ended: Instant,
    outcome: Outcome,
}

impl Shared {
    async fn run(self: Arc<Self>, client: usize, mut rng: fastrand::Rng) -> Vec<Operation> {
        let mut operations = Vec::new();
        while !self.stopping.load(Ordering::Relaxed) {
            let place = rng.usize(0..self.keys.len());
            let key = &self.keys[place];
            let (action, tried) = if rng.u32(0..100) < self.read_share {
                (Action::Read, self.read(client, key).await)
            } else {
                let request = (place < self.with_ids).then(|| request_id(&mut rng));
                (Action::Add(1), self.increment(client, key, request).await)
            };
            let Some(tried) = tried else { continue };
            let micros = |at: Instant| micros(at.duration_since(self.origin));
            operations.push(Operation {
                id: self.next.fetch_add(1, Ordering::Relaxed),
                client: client as u64,
                key: key.clone(),
                action,
                invoked: micros(tried.invoked),
                ended: micros(tried.ended),
                outcome: tried.outcome,
                repeats: Vec::new(),
            });
        }
        operations
    }

    /// One read, tried again for as long as the patience lasts; nothing without an answer.
    async fn read(&self, client: usize, key: &str) -> Option<Tried> {
        let first = now();
        loop {
            let picked = self.balancer.pick(client)?;
            let invoked = now();
            let answer = picked.client().get(key).await;
            let ended = now();
            match answer {
                Ok(reply) => {
                    self.reads.fetch_add(1, Ordering::Release);
                    return Some(Tried {
                        invoked,
                        ended,
                        outcome: self.answered(reply, false),
                    });
                }
                Err(error) if error.is_retryable() && ended - first < self.patience => {
                    self.refused(&picked, &error).await;
                }
                Err(error) => {
                    self.failed.fetch_add(1, Ordering::Release);
                    self.keep(&error);
                    return None;
                }
            }
        }
    }

    /// One increment, tried again for as long as it is certain that it was not
    /// executed; nothing if it never was.
    /// With an id, as long as it isn't certain that it was.
    async fn increment(&self, client: usize, key: &str, request: Option<Uuid>) -> Option<Tried> {
        let first = now();
        let mut invoked = first;
        let mut executed = Executed::No;
        loop {
            let picked = self.balancer.pick(client)?;
            if executed == Executed::No {
                invoked = now();
            }
            let inc = Inc {
                request,
                ..Inc::default()
            };
            let answer = picked.client().inc_with(key, inc).await;
            let ended = now();
            let outcome = match answer {
                Ok(reply) => {
                    let micros = micros(ended - first);
                    self.latencies.lock().saturating_record(micros);
                    self.acknowledged.fetch_add(1, Ordering::Release);
                    self.answered(reply, true)
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
                        self.refused(&picked, &error).await;
                        continue;
                    }
                    self.failed.fetch_add(1, Ordering::Release);
                    self.keep(&error);
                    match executed {
                        Executed::No => return None,
                        // One that was executed without an answer is not known better
                        // than one that may have been.
                        Executed::Maybe | Executed::Yes => Outcome::Unknown,
                    }
                }
            };
            return Some(Tried {
                invoked,
                ended,
                outcome,
            });
        }
    }

    fn answered(&self, reply: CounterReply, done: bool) -> Outcome {
        self.tally.lock().answered(&reply);
        let mut owners = self.owners.lock();
        // An answer that comes late must not hide who answered since.
        if owners
            .get(&reply.key)
            .is_none_or(|last| last.epoch <= reply.epoch)
        {
            let last = LastOwner {
                node: reply.owner,
                epoch: reply.epoch,
            };
            owners.insert(reply.key, last);
        }
        Outcome::Answered(Answer {
            value: reply.value,
            done,
            by: Some(By {
                epoch: reply.epoch,
                revision: reply.revision,
            }),
        })
    }

    /// Waits before the next try, perhaps at another node.
    async fn refused(&self, picked: &Picked, error: &Error) {
        self.refused.fetch_add(1, Ordering::Release);
        if is_about_the_node(error) {
            picked.reject();
        }
        tokio::time::sleep(PAUSE).await;
    }

    fn keep(&self, error: &Error) {
        self.tally.lock().failed(error);
        let mut errors = self.errors.lock();
        if errors.len() == KEPT_ERRORS {
            errors.pop_front();
        }
        errors.push_back(error.to_string());
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// An id that tells when it was made, as UUIDs of version 7 do.
#[allow(
    clippy::disallowed_methods,
    reason = "real processes compare it with their own wall clocks"
)]
pub(super) fn request_id(rng: &mut fastrand::Rng) -> Uuid {
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
