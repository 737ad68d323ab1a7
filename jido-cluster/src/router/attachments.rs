//! Who keeps which agents awake.
//!
//! A node counts the guards that its own callers hold, by key, and tells the agents'
//! owners: when the first is taken, then again and again, all keys of one owner at once,
//! and when the last is dropped. An owner believes it for a while each time, and no longer
//! than the other node is a member. So nothing has to be undone when either of them dies,
//! and an agent that has moved is attached where it is now by the next renewal.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jido_core::{Agent, AgentKey, AnswerStatus, Incarnation, Operation, Renewal};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::passivation::CONCURRENCY;
use super::{Router, Target};
use crate::activation::Errand;
use crate::error::Error;
use crate::exchange::Question;
use crate::local::millis;
use crate::runtime::OwnedTask;

/// How often owners are told, at the most and at the least.
const RENEWED: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// For how many renewals one is believed: two may be lost.
const BELIEVED: u32 = 3;

/// How many bytes of keys go into one renewal, but for the last one.
const BATCH_BYTES: usize = 64 * 1024;

/// The guards of this node's callers for one agent.
#[derive(Debug, Default)]
struct Held {
    guards: usize,
    /// The node that was told; none before one was, or when it has gone.
    owner: Option<Incarnation>,
}

/// A node that keeps an agent awake, and until when it is believed to, in milliseconds of
/// `Deadlines::now`.
type Holder = (Incarnation, u64);

#[derive(Debug, Default)]
pub(crate) struct Attachments {
    /// What callers on this node hold, wherever the agents are.
    held: Arc<Mutex<BTreeMap<AgentKey, Held>>>,
    /// What other nodes hold of the agents here.
    theirs: Mutex<HashMap<AgentKey, Vec<Holder>, foldhash::fast::FixedState>>,
    /// The sizes of both, so that who asks in vain takes no lock.
    count: Arc<AtomicUsize>,
    /// Told when the first guard is taken.
    some: Arc<Notify>,
    /// Told when an owner has gone.
    gone: Notify,
}

impl Attachments {
    /// What is left in a further life of the node: what its own callers hold.
    pub(super) fn of_next_life(&self) -> Self {
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
    fn hold(&self, key: &AgentKey) {
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
    fn attach(&self, key: &AgentKey, holder: Holder, again: bool) -> bool {
        let mut theirs = self.theirs.lock();
        if !theirs.contains_key(key) {
            if again {
                return false;
            }
            self.count.fetch_add(1, Ordering::Release);
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
    fn drop_theirs(&self, is_over: impl Fn(&AgentKey, &Holder) -> bool) -> Vec<AgentKey> {
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
    fn detach(&self, key: &AgentKey, from: Incarnation) {
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
    fn by_owner(
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

    async fn wait_for_some(&self) {
        while self.held.lock().is_empty() {
            self.some.notified().await;
        }
    }
}

impl<A: Agent> Router<A> {
    /// How often the owners of what is held here are told.
    fn renews_every(&self) -> Duration {
        let patience = self.settings.patience;
        let times = patience.hibernate.into_iter().chain(patience.park);
        let shortest = times.min().unwrap_or(RENEWED.1);
        (shortest / BELIEVED).clamp(RENEWED.0, RENEWED.1)
    }

    fn renewal(&self, keys: Vec<AgentKey>) -> Bytes {
        let time = self.renews_every() * BELIEVED;
        let for_ms = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        Renewal { for_ms, keys }.encode()
    }

    /// What an ask to attach an agent carries.
    pub(super) fn attach_payload(&self) -> Bytes {
        self.renewal(Vec::new())
    }

    /// Counts a guard on this node; [`release`](Router::release) takes it back.
    pub(crate) fn hold(&self, key: &AgentKey) {
        self.attachments.hold(key);
    }

    /// Tells the agent's owner of the guards that are held here, running the agent.
    pub(crate) async fn attach(&self, key: &AgentKey, timeout: Duration) -> Result<(), Error> {
        let owner = match self.run(key, Errand::Attach, timeout).await? {
            Target::There { node, .. } => node,
            Target::Here | Target::Nowhere => self.core.incarnation,
        };
        let mut held = self.attachments.held.lock();
        match held.get_mut(key) {
            Some(held) => held.owner = Some(owner),
            None => self.tell_detached(key, owner),
        }
        Ok(())
    }

    /// A guard on this node is gone.
    pub(crate) fn release(&self, key: &AgentKey) {
        let mut held = self.attachments.held.lock();
        let Some(mine) = held.get_mut(key) else {
            return;
        };
        mine.guards = mine.guards.saturating_sub(1);
        if mine.guards > 0 {
            return;
        }
        let owner = mine.owner;
        held.remove(key);
        self.attachments.count.fetch_sub(1, Ordering::Release);
        // Under the lock, so that it is not told after a guard that comes next.
        if let Some(owner) = owner {
            self.tell_detached(key, owner);
        }
    }

    fn tell_detached(&self, key: &AgentKey, owner: Incarnation) {
        if owner == self.core.incarnation {
            return self.touch(key);
        }
        let budget = self.renews_every();
        // One that is not told hears no more of it, and forgets it by itself.
        let told = self.ask_node(owner, key, Operation::Detach, false, budget);
        tracing::trace!(%key, %owner, told = told.is_ok(), "an agent is attached no longer");
    }

    /// The time without use counts from now.
    fn touch(&self, key: &AgentKey) {
        let now = self.core.deadlines.now();
        self.local.find(key.as_str(), |local| local.touch(now));
    }

    /// Another node keeps an agent here awake.
    pub(super) fn attached(&self, key: &AgentKey, from: Incarnation, renewal: &Renewal) {
        let until = self.believed_until(renewal);
        self.attachments.attach(key, (from, until), false);
    }

    pub(super) fn detached(&self, key: &AgentKey, from: Incarnation) {
        self.attachments.detach(key, from);
        self.touch(key);
    }

    fn believed_until(&self, renewal: &Renewal) -> u64 {
        let now = millis(self.core.deadlines.now());
        now.saturating_add(u64::from(renewal.for_ms))
    }

    /// Another node goes on keeping agents here awake. Gives those that are not here, or
    /// that it has not attached.
    pub(super) fn renewed(&self, from: Incarnation, renewal: Renewal) -> Renewal {
        let until = self.believed_until(&renewal);
        let mut keys = renewal.keys;
        keys.retain(|key| {
            let is_here = self.local.contains(key.as_str());
            !(is_here && self.attachments.attach(key, (from, until), true))
        });
        Renewal { for_ms: 0, keys }
    }

    /// A node is a member no longer: it keeps nothing awake, and answers for nothing.
    pub(super) fn forget_member(&self, member: Incarnation) {
        let dropped = self
            .attachments
            .drop_theirs(|_, (holder, _)| *holder == member);
        for key in dropped {
            self.touch(&key);
        }
        self.attachments.gone.notify_one();
    }

    /// Forgets what other nodes have not renewed in time.
    pub(super) fn expire_attachments(&self) {
        let now = millis(self.core.deadlines.now());
        let dropped = self.attachments.drop_theirs(|_, (_, until)| *until <= now);
        for key in dropped {
            self.touch(&key);
        }
    }

    /// Tells owners again and again, for as long as the task is kept.
    pub(crate) fn keep_attached(self: &Arc<Self>) -> OwnedTask {
        let router = self.clone();
        let every = self.renews_every();
        OwnedTask::spawn(async move {
            loop {
                router.attachments.wait_for_some().await;
                tokio::select! {
                    biased;
                    () = router.attachments.gone.notified() => {}
                    () = tokio::time::sleep(every) => {}
                }
                Box::pin(router.renew_attachments(every)).await;
            }
        })
    }

    /// Tells the owners of all that is held here, and looks for those that have moved.
    async fn renew_attachments(&self, every: Duration) {
        let mut by_owner = {
            let view = self.core.members.view();
            let (me, name) = (self.core.incarnation, &self.settings.name);
            self.attachments.by_owner(
                |key| self.local.contains(key.as_str()),
                |owner| owner != me && view.serves(owner, name),
            )
        };
        let mut astray = by_owner.remove(&None).unwrap_or_default();
        let mut asked = FuturesUnordered::new();
        for (owner, keys) in by_owner {
            let Some(owner) = owner else { continue };
            for keys in batches(keys) {
                let question = Question {
                    operation: Operation::Renew,
                    key: None,
                    verify: false,
                    request: None,
                    budget: every,
                    lane: 0,
                    payload: self.renewal(keys),
                };
                match self.core.exchange.ask(owner, &self.settings.name, question) {
                    Ok(answer) => asked.push(tokio::time::timeout(every, answer.wait())),
                    Err(error) => tracing::debug!(%owner, ?error, "attachments were not renewed"),
                }
            }
        }
        while let Some(answer) = asked.next().await {
            // One that is late, or whose session has ended, is told again next time.
            let Ok(Some(answer)) = answer else { continue };
            if answer.status != AnswerStatus::Ok {
                tracing::debug!(status = ?answer.status, "attachments were not renewed");
                continue;
            }
            match Renewal::decode(answer.payload) {
                Ok(missing) => astray.extend(missing.keys),
                Err(error) => tracing::warn!(%error, "an answer to a renewal was not readable"),
            }
        }
        astray.sort();
        futures_util::stream::iter(astray)
            .for_each_concurrent(CONCURRENCY, |key| async move {
                if !self.attachments.held.lock().contains_key(&key) {
                    return;
                }
                if let Err(error) = Box::pin(self.attach(&key, every)).await {
                    tracing::debug!(%key, %error, "an agent could not be attached again yet");
                }
            })
            .await;
    }
}

/// Cuts keys into batches of [`BATCH_BYTES`].
fn batches(keys: Vec<AgentKey>) -> Vec<Vec<AgentKey>> {
    let mut batches = Vec::new();
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for key in keys {
        bytes += key.as_str().len() + 2;
        batch.push(key);
        if bytes >= BATCH_BYTES {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}
