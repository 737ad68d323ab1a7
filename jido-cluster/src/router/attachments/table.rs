//! What is attached: a table of guards here, and of what other nodes hold.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jido_core::{AgentKey, Incarnation};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The guards of this node's callers for one agent.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) guards: usize,
    /// The node that was told; none before one was, or when it has gone.
    pub(super) owner: Option<Incarnation>,
}

/// A node that keeps an agent awake, and until when it is believed to, in milliseconds of
/// `Deadlines::now`.
pub(super) type Holder = (Incarnation, u64);

#[derive(Debug, Default)]
pub(crate) struct Attachments {
    /// What callers on this node hold, wherever the agents are.
    pub(super) held: Arc<Mutex<BTreeMap<AgentKey, Held>>>,
    /// What other nodes hold of the agents here.
    theirs: Mutex<HashMap<AgentKey, Vec<Holder>, foldhash::fast::FixedState>>,
    /// The sizes of both, so that who asks in vain takes no lock.
    pub(super) count: Arc<AtomicUsize>,
    /// Told when there is a key more on either side.
    some: Arc<Notify>,
    /// Told when an owner has gone.
    pub(super) gone: Notify,
}

impl Attachments {
    /// What is left in a further life of the node: what its own callers hold.
    pub(in super::super) fn of_next_life(&self) -> Self {
        self.drop_theirs(|_, _| true);
        Self {
            held: self.held.clone(),
            count: self.count.clone(),
            some: self.some.clone(),
            ..Self::default()
        }
    }

    /// Whether anybody keeps the agent awake.
    pub(crate) fn holds(&self, key: &str, now_ms: u64) -> bool {
        if self.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        self.held.lock().contains_key(key)
            || self
                .theirs
                .lock()
                .get(key)
                .is_some_and(|holders| holders.iter().any(|(_, until)| *until > now_ms))
    }

    /// One guard more on this node.
    pub(super) fn hold(&self, key: &AgentKey) {
        let mut held = self.held.lock();
        if !held.contains_key(key) {
            self.count.fetch_add(1, Ordering::Release);
        }
        held.entry(key.clone()).or_default().guards += 1;
        drop(held);
        self.some.notify_one();
    }

    /// Takes in that another node keeps an agent here awake. With `again`, only if it has
    /// done so before; answers whether it does now.
    pub(super) fn attach(&self, key: &AgentKey, holder: Holder, again: bool) -> bool {
        let mut theirs = self.theirs.lock();
        if !theirs.contains_key(key) {
            if again {
                return false;
            }
            self.count.fetch_add(1, Ordering::Release);
            self.some.notify_one();
        }
        let holders = theirs.entry(key.clone()).or_default();
        match holders.iter_mut().find(|known| known.0 == holder.0) {
            Some(known) => known.1 = holder.1,
            None if again => return false,
            None => holders.push(holder),
        }
        true
    }

    /// Drops what other nodes hold where `is_over` says so. Gives the agents concerned.
    pub(super) fn drop_theirs(
        &self,
        is_over: impl Fn(&AgentKey, &Holder) -> bool,
    ) -> Vec<AgentKey> {
        if self.count.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let mut dropped = Vec::new();
        self.theirs.lock().retain(|key, holders| {
            let before = holders.len();
            holders.retain(|holder| !is_over(key, holder));
            if holders.len() < before {
                dropped.push(key.clone());
            }
            if holders.is_empty() {
                self.count.fetch_sub(1, Ordering::Release);
            }
            !holders.is_empty()
        });
        dropped
    }

    /// Drops what one node holds of one agent.
    pub(super) fn detach(&self, key: &AgentKey, from: Incarnation) {
        let mut theirs = self.theirs.lock();
        let Some(holders) = theirs.get_mut(key) else {
            return;
        };
        holders.retain(|(holder, _)| *holder != from);
        if holders.is_empty() {
            theirs.remove(key);
            self.count.fetch_sub(1, Ordering::Release);
        }
    }

    /// The agents that callers on this node hold, by the owner that was told: none for
    /// those that have to be looked for. Those that are `here` need no telling.
    pub(super) fn by_owner(
        &self,
        here: impl Fn(&AgentKey) -> bool,
        is_owner: impl Fn(Incarnation) -> bool,
    ) -> BTreeMap<Option<Incarnation>, Vec<AgentKey>> {
        let mut by_owner = BTreeMap::<_, Vec<AgentKey>>::new();
        for (key, held) in self.held.lock().iter_mut().filter(|(key, _)| !here(key)) {
            held.owner = held.owner.filter(|owner| is_owner(*owner));
            by_owner.entry(held.owner).or_default().push(key.clone());
        }
        by_owner
    }

    /// Waits until anything is attached, by whomever.
    pub(super) async fn wait_for_some(&self) {
        while self.count.load(Ordering::Acquire) == 0 {
            self.some.notified().await;
        }
    }
}
