//! The agents that this node has claimed: those that run, and those that are parked.

mod gauge;
mod parked;
mod parts;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use jido_core::{Agent, AgentKey, Epoch};
use ractor::{ActorRef, MessagingErr};

use crate::activation::ActivationMessage;
use crate::delivery::{Delivery, Refusal};

pub(crate) use gauge::{Gauge, millis};
pub(crate) use parked::{Parked, Rest, Unsaved};

/// Set in `Local::sent` once no message is let into the mailbox any more.
const SEALED: u64 = 1 << 63;

/// After how many agents a sweep lets others go on.
const SWEPT_AT_ONCE: usize = 4_096;

/// One activation on this node, as the router knows it.
///
/// It stands in its map's entry itself: with ten thousand agents every look-up is
/// a row of cache misses, and each that is saved counts. So what the activation
/// writes is looked at only when its mailbox may be full.
#[derive(Debug)]
pub(crate) struct Local<A: Agent> {
    actor: ActorRef<ActivationMessage<A>>,
    /// Messages that were put into the mailbox, and whether it is [`SEALED`].
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

    /// Whether as many messages wait as may.
    pub(crate) fn is_full(&self, limit: u64) -> bool {
        self.has_waiting(self.sent.load(Ordering::Relaxed) & !SEALED, limit)
    }

    /// Whether so many wait, of those that were sent.
    fn has_waiting(&self, sent: u64, limit: u64) -> bool {
        if sent.saturating_sub(self.seen_taken.load(Ordering::Relaxed)) < limit {
            return false;
        }
        let taken = self.gauge.taken();
        self.seen_taken.store(taken, Ordering::Relaxed);
        sent.saturating_sub(taken) >= limit
    }

    /// Puts a message into the mailbox, unless it is full. Gives it back when the
    /// activation takes none any more.
    pub(crate) fn deliver(&self, delivery: Delivery<A>, limit: u64) -> Result<(), Delivery<A>> {
        let sent = self.sent.fetch_add(1, Ordering::Relaxed);
        if sent & SEALED != 0 {
            return Err(delivery);
        }
        if self.has_waiting(sent, limit) {
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

    /// Whether no message waits or is being handled, and no commit is in flight.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.gauge
            .has_rested_after(self.sent.load(Ordering::Relaxed))
    }

    /// The agent is used now.
    pub(crate) fn touch(&self, now: Duration) {
        self.gauge.used(now);
    }

    fn is_sealed(&self) -> bool {
        self.sent.load(Ordering::Relaxed) & SEALED != 0
    }

    /// Lets no further message in; false if one waits.
    fn seal(&self) -> bool {
        let taken = self.gauge.taken();
        self.sent
            .compare_exchange(taken, taken | SEALED, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}

/// One agent of this node.
#[derive(Debug)]
enum Slot<A: Agent> {
    Running(Local<A>),
    Parked(Arc<Parked>),
}

impl<A: Agent> Slot<A> {
    fn running(&self) -> Option<&Local<A>> {
        match self {
            Self::Running(local) => Some(local),
            Self::Parked(_) => None,
        }
    }

    fn parked(&self) -> Option<&Arc<Parked>> {
        match self {
            Self::Running(_) => None,
            Self::Parked(parked) => Some(parked),
        }
    }

    fn is_of(&self, gauge: &Arc<Gauge>) -> bool {
        self.running()
            .is_some_and(|local| Arc::ptr_eq(&local.gauge, gauge))
    }
}

/// What a look-up finds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<T> {
    /// It runs: what came of its use.
    Running(T),
    /// It is parked.
    Parked,
    /// This node doesn't have it.
    Nothing,
}

/// An agent at rest, as a sweep sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resting {
    pub(crate) key: AgentKey,
    /// When it was used last, in milliseconds of `Deadlines::now`.
    pub(crate) used_ms: u64,
    /// The length of its serialized state.
    pub(crate) bytes: usize,
    pub(crate) parked: bool,
}

/// The agents of one manager on this node, by key. Look-ups take no lock.
#[derive(Debug)]
pub(crate) struct LocalMap<A: Agent> {
    map: papaya::HashMap<AgentKey, Slot<A>, foldhash::fast::FixedState>,
    /// Of all serialized states.
    bytes: AtomicUsize,
    /// How many agents are parked.
    parked: AtomicUsize,
}

impl<A: Agent> LocalMap<A> {
    /// `seed` makes the map's order unpredictable to who chooses the keys.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            map: papaya::HashMap::with_hasher(foldhash::fast::FixedState::with_seed(seed)),
            bytes: AtomicUsize::new(0),
            parked: AtomicUsize::new(0),
        }
    }

    /// Looks an agent up, and uses its activation in place if it runs.
    pub(crate) fn find<T>(&self, key: &str, use_it: impl FnOnce(&Local<A>) -> T) -> Found<T> {
        match self.map.pin().get(key) {
            Some(Slot::Running(local)) => Found::Running(use_it(local)),
            Some(Slot::Parked(_)) => Found::Parked,
            None => Found::Nothing,
        }
    }

    /// Whether this node has the agent, running or parked.
    pub(crate) fn contains(&self, key: &str) -> bool {
        self.map.pin().contains_key(key)
    }

    /// Whether the agent has an activation that is not about to be parked.
    pub(crate) fn runs(&self, key: &str) -> bool {
        self.find(key, |local| !local.is_sealed()) == Found::Running(true)
    }

    /// What is kept of the agent, if it is parked.
    pub(crate) fn parked(&self, key: &str) -> Option<Arc<Parked>> {
        self.map.pin().get(key).and_then(Slot::parked).cloned()
    }

    /// Tells an activation what is no message of the agent's; false when there is
    /// none that listens.
    pub(crate) fn tell(&self, key: &str, message: ActivationMessage<A>) -> bool {
        self.find(key, |local| local.actor.send_message(message).is_ok()) == Found::Running(true)
    }

    /// Puts an activation into its place, where there may be a parked agent.
    pub(crate) fn insert(&self, key: AgentKey, local: Local<A>) {
        let map = self.map.pin();
        if let Some(Slot::Parked(_)) = map.insert(key, Slot::Running(local)) {
            self.parked.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Puts what is kept of an agent into the place of its activation, unless a message
    /// waits for it. Who else changes the place of the key must be kept away meanwhile.
    pub(crate) fn park(&self, key: &AgentKey, gauge: &Arc<Gauge>, parked: Parked) -> bool {
        let map = self.map.pin();
        let sealed = map
            .get(key.as_str())
            .filter(|slot| slot.is_of(gauge))
            .and_then(Slot::running)
            .is_some_and(Local::seal);
        if sealed {
            self.weigh(gauge, parked.state.len());
            self.parked.fetch_add(1, Ordering::Relaxed);
            map.insert(key.clone(), Slot::Parked(Arc::new(parked)));
        }
        sealed
    }

    /// Removes an activation, unless another has taken its place.
    pub(crate) fn remove(&self, key: &str, gauge: &Arc<Gauge>) {
        // Another in its place is no error: it stays.
        if let Ok(Some(_)) = self.map.pin().remove_if(key, |_, slot| slot.is_of(gauge)) {
            self.weigh(gauge, 0);
        }
    }

    /// Removes an activation that has ended without a word.
    pub(crate) fn remove_ended(&self, key: &str) {
        let is_over = |_: &AgentKey, slot: &Slot<A>| {
            slot.running()
                .is_some_and(|local| local.actor.get_status() >= ractor::ActorStatus::Draining)
        };
        let map = self.map.pin();
        if let Ok(Some((_, Slot::Running(local)))) = map.remove_if(key, is_over) {
            self.weigh(&local.gauge, 0);
        }
    }

    /// Removes an agent that is parked; with an epoch only if it was claimed under that.
    pub(crate) fn remove_parked(&self, key: &str, epoch: Option<Epoch>) {
        let is_it = |_: &AgentKey, slot: &Slot<A>| {
            let parked = slot.parked();
            parked.is_some_and(|parked| epoch.is_none_or(|epoch| parked.epoch == epoch))
        };
        let map = self.map.pin();
        if let Ok(Some((_, Slot::Parked(parked)))) = map.remove_if(key, is_it) {
            self.bytes.fetch_sub(parked.state.len(), Ordering::Relaxed);
            self.parked.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Counts the length that an agent's serialized state has now; answers whether it
    /// has changed.
    pub(crate) fn weigh(&self, gauge: &Gauge, bytes: usize) -> bool {
        if gauge.bytes() == bytes {
            return false;
        }
        let before = gauge.set_bytes(bytes);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes.fetch_sub(before, Ordering::Relaxed);
        true
    }

    /// How many agents this node has.
    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// How many of them are parked.
    pub(crate) fn parked_len(&self) -> usize {
        self.parked.load(Ordering::Relaxed)
    }

    /// The bytes of their serialized states.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The keys of all agents, in order.
    pub(crate) fn keys(&self) -> Vec<AgentKey> {
        let map = self.map.pin();
        let mut keys: Vec<AgentKey> = map.keys().cloned().collect();
        keys.sort();
        keys
    }

    /// The agents that rest and for which `wanted` holds, in no order. Others go on
    /// meanwhile.
    pub(crate) async fn resting(&self, wanted: impl Fn(&Resting) -> bool) -> Vec<Resting> {
        let map = self.map.pin_owned();
        let mut resting = Vec::new();
        for (at, (key, slot)) in map.iter().enumerate() {
            if at % SWEPT_AT_ONCE == SWEPT_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            let one = match slot {
                Slot::Running(local) if !local.is_at_rest() => continue,
                Slot::Running(Local { gauge, .. }) => Resting {
                    key: key.clone(),
                    used_ms: gauge.used_ms(),
                    bytes: gauge.bytes(),
                    parked: false,
                },
                Slot::Parked(parked) => Resting {
                    key: key.clone(),
                    used_ms: parked.used_ms,
                    bytes: parked.state.len(),
                    parked: true,
                },
            };
            if wanted(&one) {
                resting.push(one);
            }
        }
        resting
    }
}
