//! The activations that run on this node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use jido_core::{Agent, AgentKey};
use ractor::{ActorRef, MessagingErr};

use crate::activation::ActivationMessage;
use crate::delivery::{Delivery, Refusal};

/// What an activation and the router count together.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    /// Messages in the mailbox.
    queued: AtomicUsize,
    /// When the last message was handled, in milliseconds of the environment's clock.
    used_ms: AtomicU64,
}

impl Gauge {
    /// A message has left the mailbox.
    pub(crate) fn taken(&self) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn used(&self, now: Duration) {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.used_ms.store(now, Ordering::Relaxed);
    }

    /// For how long nothing was handled, while nothing waits.
    pub(crate) fn idle(&self, now: Duration) -> Duration {
        if self.queued.load(Ordering::Relaxed) > 0 {
            return Duration::ZERO;
        }
        now.saturating_sub(Duration::from_millis(self.used_ms.load(Ordering::Relaxed)))
    }
}

/// One activation on this node.
#[derive(Debug)]
pub(crate) struct Local<A: Agent> {
    pub(crate) actor: ActorRef<ActivationMessage<A>>,
    pub(crate) gauge: Arc<Gauge>,
}

impl<A: Agent> Local<A> {
    /// Puts a message into the mailbox, unless it is full. Gives it back when the
    /// activation takes none any more.
    pub(crate) fn deliver(&self, delivery: Delivery<A>, limit: usize) -> Result<(), Delivery<A>> {
        if self.gauge.queued.fetch_add(1, Ordering::Relaxed) >= limit {
            self.gauge.taken();
            delivery.refuse(Refusal::Overloaded);
            return Ok(());
        }
        match self
            .actor
            .send_message(ActivationMessage::Deliver(delivery))
        {
            Ok(()) => Ok(()),
            Err(MessagingErr::SendErr(ActivationMessage::Deliver(delivery))) => {
                self.gauge.taken();
                Err(delivery)
            }
            // The delivery was dropped on the way, and has told its caller.
            Err(_) => {
                self.gauge.taken();
                Ok(())
            }
        }
    }
}

/// The activations of one manager on this node, by key. Look-ups take no lock.
#[derive(Debug)]
pub(crate) struct LocalMap<A: Agent> {
    map: papaya::HashMap<AgentKey, Arc<Local<A>>, foldhash::fast::FixedState>,
}

impl<A: Agent> LocalMap<A> {
    /// `seed` makes the map's order unpredictable to who chooses the keys.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            map: papaya::HashMap::with_hasher(foldhash::fast::FixedState::with_seed(seed)),
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<Arc<Local<A>>> {
        self.map.pin().get(key).cloned()
    }

    pub(crate) fn insert(&self, key: AgentKey, local: Arc<Local<A>>) {
        self.map.pin().insert(key, local);
    }

    /// Removes an activation, unless another has taken its place.
    pub(crate) fn remove(&self, key: &str, gauge: &Arc<Gauge>) {
        let _ = self
            .map
            .pin()
            .remove_if(key, |_, local| Arc::ptr_eq(&local.gauge, gauge));
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// All activations, in the order of their keys.
    pub(crate) fn all(&self) -> Vec<(AgentKey, Arc<Local<A>>)> {
        let mut all: Vec<_> = self
            .map
            .pin()
            .iter()
            .map(|(key, local)| (key.clone(), local.clone()))
            .collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }
}
