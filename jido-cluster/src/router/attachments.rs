//! Who keeps which agents awake.
//!
//! A node counts the guards that its own callers hold, by key, and tells the agents'
//! owners: when the first is taken, then again and again, all keys of one owner at once,
//! and when the last is dropped. An owner believes it for a while each time, and no longer
//! than the other node is a member. So nothing has to be undone when either of them dies,
//! and an agent that has moved is attached where it is now by the next renewal.

mod table;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jido_core::{Agent, AgentKey, AnswerStatus, Incarnation, Operation, Renewal};

use super::passivation::CONCURRENCY;
use super::{Router, Target};
use crate::activation::Errand;
use crate::error::Error;
use crate::exchange::{AskError, Question};
use crate::local::millis;
use crate::runtime::OwnedTask;
use crate::transport::SendError;

pub(crate) use table::Attachments;

/// How often owners are told, at the most and at the least.
const RENEWED: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// For how many renewals one is believed: two may be lost.
const BELIEVED: u32 = 3;

/// How many bytes of keys go into one renewal, but for the last one.
const BATCH_BYTES: usize = 64 * 1024;

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
        let question = self.question(key, Operation::Detach, false, budget);
        let told = self.core.exchange.ask(owner, &self.settings.name, question);
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

    /// Tells owners again and again, for as long as the task is kept, and forgets what others
    /// tell no more: of agents that have moved, nobody else here would notice.
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
                router.expire_attachments();
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
                // One that there is no session with others may reach.
                |owner| owner != me && (view.serves(owner, name) || !view.contains(owner)),
            )
        };
        let mut astray = by_owner.remove(&None).unwrap_or_default();
        let mut asked = FuturesUnordered::new();
        for (owner, keys) in by_owner {
            let Some(owner) = owner else { continue };
            for keys in batches(keys) {
                let renewal = self.renewal(keys.clone());
                let question = Question::of_node(Operation::Renew, every, renewal);
                asked.push(async move {
                    let answer = tokio::time::timeout(every, self.reach(owner, &question)).await;
                    (answer, keys)
                });
            }
        }
        while let Some((answer, keys)) = asked.next().await {
            let answer = match answer {
                Ok(Ok(Some(answer))) => answer,
                Ok(Err(AskError::Send(SendError::Unreachable))) => {
                    astray.extend(keys);
                    continue;
                }
                Ok(Err(error)) => {
                    tracing::debug!(?error, "attachments were not renewed");
                    continue;
                }
                // One that is late, or whose session has ended, is told again next time.
                Ok(Ok(None)) | Err(_) => continue,
            };
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

#[cfg(test)]
mod tests;
