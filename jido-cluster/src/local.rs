//! The activations that run on this node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jido_core::{Agent, AgentKey};
use ractor::{ActorRef, MessagingErr};

use crate::activation::ActivationMessage;
use crate::delivery::{Delivery, Refusal};

/// What an activation counts, for the router to read.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    /// Messages that have left the mailbox.
    taken: AtomicU64,
    /// When the last message was handled, in milliseconds of `Deadlines::now`.
    used_ms: AtomicU64,
}

impl Gauge {
    /// A message has left the mailbox.
    pub(crate) fn taken(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn used(&self, now: Duration) {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.used_ms.store(now, Ordering::Relaxed);
    }
}

/// One activation on this node, as the router knows it.
///
/// It stands in its map's entry itself: with ten thousand agents every look-up is
/// a row of cache misses, and each that is saved counts. So what the activation
/// writes is looked at only when its mailbox may be full.
#[derive(Debug)]
pub(crate) struct Local<A: Agent> {
    actor: ActorRef<ActivationMessage<A>>,
    /// Messages that were put into the mailbox.
    sent: AtomicU64,
    /// What `gauge.taken` was at the least.
    seen_taken: AtomicU64,
    gauge: Arc<Gauge>,
}

impl<A: Agent> Local<A> {
    pub(crate) fn new(actor: ActorRef<ActivationMessage<A>>, gauge: Arc<Gauge>) -> Self {
        Self {
            actor,
            sent: AtomicU64::new(0),
            seen_taken: AtomicU64::new(0),
            gauge,
        }
    }

    fn is_full(&self, sent: u64, limit: u64) -> bool {
        if sent.saturating_sub(self.seen_taken.load(Ordering::Relaxed)) < limit {
            return false;
        }
        let taken = self.gauge.taken.load(Ordering::Relaxed);
        self.seen_taken.store(taken, Ordering::Relaxed);
        sent.saturating_sub(taken) >= limit
    }

    /// Puts a message into the mailbox, unless it is full. Gives it back when the
    /// activation takes none any more.
    pub(crate) fn deliver(&self, delivery: Delivery<A>, limit: u64) -> Result<(), Delivery<A>> {
        let sent = self.sent.fetch_add(1, Ordering::Relaxed);
        if self.is_full(sent, limit) {
            self.sent.fetch_sub(1, Ordering::Relaxed);
            delivery.refuse(Refusal::Overloaded);
            return Ok(());
        }
        match self
            .actor
            .send_message(ActivationMessage::Deliver(delivery))
        {
            Ok(()) => Ok(()),
            Err(error) => {
                self.sent.fetch_sub(1, Ordering::Relaxed);
                match error {
                    MessagingErr::SendErr(ActivationMessage::Deliver(delivery)) => Err(delivery),
                    // The delivery was dropped on the way, and has told its caller.
                    _ => Ok(()),
                }
            }
        }
    }

    /// For how long nothing was handled, while nothing waits.
    fn idle(&self, now: Duration) -> Duration {
        let taken = self.gauge.taken.load(Ordering::Relaxed);
        if self.sent.load(Ordering::Relaxed) > taken {
            return Duration::ZERO;
        }
        now.saturating_sub(Duration::from_millis(
            self.gauge.used_ms.load(Ordering::Relaxed),
        ))
    }
}

/// The activations of one manager on this node, by key. Look-ups take no lock.
#[derive(Debug)]
pub(crate) struct LocalMap<A: Agent> {
    map: papaya::HashMap<AgentKey, Local<A>, foldhash::fast::FixedState>,
}

impl<A: Agent> LocalMap<A> {
    /// `seed` makes the map's order unpredictable to who chooses the keys.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            map: papaya::HashMap::with_hasher(foldhash::fast::FixedState::with_seed(seed)),
        }
    }

    /// Looks an activation up and uses it in place.
    pub(crate) fn with<T>(&self, key: &str, use_it: impl FnOnce(&Local<A>) -> T) -> Option<T> {
        self.map.pin().get(key).map(use_it)
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        self.map.pin().contains_key(key)
    }

    /// Tells an activation what is no message of the agent's; false when there is
    /// none that listens.
    pub(crate) fn tell(&self, key: &str, message: ActivationMessage<A>) -> bool {
        self.with(key, |local| local.actor.send_message(message).is_ok())
            .unwrap_or(false)
    }

    pub(crate) fn insert(&self, key: AgentKey, local: Local<A>) {
        self.map.pin().insert(key, local);
    }

    /// Removes an activation, unless another has taken its place.
    pub(crate) fn remove(&self, key: &str, gauge: &Arc<Gauge>) {
        let is_it = |_: &AgentKey, local: &Local<A>| Arc::ptr_eq(&local.gauge, gauge);
        // Another in its place is no error: it stays.
        let _ = self.map.pin().remove_if(key, is_it);
    }

    /// Removes an activation that has ended without a word.
    pub(crate) fn remove_ended(&self, key: &str) {
        let is_over = |_: &AgentKey, local: &Local<A>| {
            local.actor.get_status() >= ractor::ActorStatus::Draining
        };
        let _ = self.map.pin().remove_if(key, is_over);
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// The keys of all activations, in order.
    pub(crate) fn keys(&self) -> Vec<AgentKey> {
        self.keys_where(|_| true)
    }

    /// The keys of those that were idle for so long, in order.
    pub(crate) fn idle(&self, now: Duration, time: Duration) -> Vec<AgentKey> {
        self.keys_where(|local| local.idle(now) >= time)
    }

    fn keys_where(&self, holds: impl Fn(&Local<A>) -> bool) -> Vec<AgentKey> {
        let map = self.map.pin();
        let mut keys: Vec<AgentKey> = map
            .iter()
            .filter(|(_, local)| holds(local))
            .map(|(key, _)| key.clone())
            .collect();
        keys.sort();
        keys
    }
}
