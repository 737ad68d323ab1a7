//! What the clients of a load do.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use hdrhistogram::Histogram;
use jido_core::Executed;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::history::{Action, Answer, By, Operation, Outcome};
use crate::process::balancer::{Balancer, Picked};
use crate::process::client::Inc;
use crate::process::replies::CounterReply;
use crate::wiring::now;
use crate::{Error, ErrorKind};

/// How long a client waits before it tries again elsewhere.
pub(super) const PAUSE: Duration = Duration::from_millis(10);

/// How many errors are kept in words.
const KEPT_ERRORS: usize = 20;

/// Who answered for a key last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LastOwner {
    /// The node.
    pub(super) node: String,
    /// The epoch of its activation.
    pub(super) epoch: u64,
}

/// What a client works on.
#[derive(Debug)]
pub(super) struct Work {
    /// Those whose increments have ids, then the others.
    pub(super) keys: Vec<String>,
    pub(super) with_ids: usize,
    /// How many of a hundred operations are reads.
    pub(super) reads: u32,
}

/// What all clients have in common.
pub(super) struct Shared {
    pub(super) balancer: Balancer,
    pub(super) patience: Duration,
    pub(super) origin: Instant,
    pub(super) stopping: AtomicBool,
    next: AtomicU64,
    pub(super) acknowledged: AtomicU64,
    pub(super) reads: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) latencies: Mutex<Histogram<u64>>,
    pub(super) owners: Mutex<BTreeMap<String, LastOwner>>,
    pub(super) errors: Mutex<VecDeque<String>>,
    pub(super) kinds: Mutex<BTreeMap<String, u64>>,
    /// Requests that were answered, by the node that was asked and the one that answered.
    pub(super) ways: Mutex<BTreeMap<(String, String), u64>>,
    /// The operations of sweeps.
    pub(super) swept: Mutex<Vec<Operation>>,
}

/// What came of a try.
pub(super) struct Tried {
    /// When the first try began.
    pub(super) first: Instant,
    /// When the first try began that may have had an effect.
    pub(super) invoked: Instant,
    pub(super) ended: Instant,
    pub(super) outcome: Outcome,
}

impl Shared {
    /// `latencies` is empty.
    pub(super) fn new(balancer: Balancer, patience: Duration, latencies: Histogram<u64>) -> Self {
        Self {
            balancer,
            patience,
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
            kinds: Mutex::default(),
            ways: Mutex::default(),
            swept: Mutex::default(),
        }
    }

    /// One operation after the other, until the load is stopped.
    pub(super) async fn run(
        self: Arc<Self>,
        client: usize,
        work: Arc<Work>,
        mut rng: fastrand::Rng,
    ) -> Vec<Operation> {
        let mut operations = Vec::new();
        while !self.stopping.load(Ordering::Relaxed) {
            let place = rng.usize(0..work.keys.len());
            let key = &work.keys[place];
            let (action, tried) = if rng.u32(0..100) < work.reads {
                (Action::Read, self.read(client, key).await)
            } else {
                let request = (place < work.with_ids).then(|| request_id(&mut rng));
                (Action::Add(1), self.increment(client, key, request).await)
            };
            operations.extend(tried.map(|tried| self.operation(client, key, action, tried)));
        }
        operations
    }

    /// One increment with an id, and no more.
    pub(super) async fn once(
        self: Arc<Self>,
        client: usize,
        key: String,
        request: Uuid,
    ) -> Vec<Operation> {
        let tried = self.increment(client, &key, Some(request)).await;
        let operation = tried.map(|tried| self.operation(client, &key, Action::Add(1), tried));
        Vec::from_iter(operation)
    }

    pub(super) fn operation(
        &self,
        client: usize,
        key: &str,
        action: Action,
        tried: Tried,
    ) -> Operation {
        let micros = |at: Instant| micros(at.duration_since(self.origin));
        Operation {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            client: client as u64,
            key: key.to_owned(),
            action,
            invoked: micros(tried.invoked),
            first_try: (tried.first < tried.invoked).then(|| micros(tried.first)),
            ended: micros(tried.ended),
            outcome: tried.outcome,
            repeats: Vec::new(),
        }
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
                        first,
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
                first,
                invoked,
                ended,
                outcome,
            });
        }
    }

    pub(super) fn answered(&self, reply: CounterReply, done: bool) -> Outcome {
        let way = (reply.node, reply.owner.clone());
        *self.ways.lock().entry(way).or_default() += 1;
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
        self.count(error);
        if is_about_the_node(error) {
            picked.reject();
        }
        tokio::time::sleep(PAUSE).await;
    }

    pub(super) fn count(&self, error: &Error) {
        let kind = error.code().unwrap_or(match error.kind() {
            ErrorKind::Unreachable => "no_connection",
            ErrorKind::Interrupted => "no_answer",
            _ => "unreadable_answer",
        });
        *self.kinds.lock().entry(kind.to_owned()).or_default() += 1;
    }

    fn keep(&self, error: &Error) {
        self.count(error);
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
pub(in crate::process) fn request_id(rng: &mut fastrand::Rng) -> Uuid {
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
