//! Agents that may have been taken over are confirmed, and end where they were.
//!
//! With [`Takeover::OnDisconnect`] another node takes an agent over once it has lost its session
//! to this one, which goes on and hears of it only when it commits. So while there is no session
//! with another that may go on, and where the own lease has ended, a lease says nothing of an
//! agent's owner. Once each of the others is back or dead, and the lease renewed, this node asks
//! storage whose its agents are. It also does of an agent whose reminder it should have sent long
//! ago.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jido_core::{Agent, AgentKey, Epoch};
use tokio::sync::{Notify, oneshot};

use super::Router;
use crate::activation::ActivationMessage;
use crate::lease::Takeover;
use crate::reads::Verdict;
use crate::runtime::OwnedTask;

/// How many agents are asked for at a time.
const AT_ONCE: usize = 256;

/// The pause before storage is asked again that did not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// Told when agents may have been taken over.
#[derive(Debug, Default)]
pub(super) struct Suspicion {
    /// How often it arose.
    arisen: AtomicU64,
    /// How often it had when all agents were confirmed last.
    settled: AtomicU64,
    arises: Notify,
}

impl Suspicion {
    pub(super) fn arise(&self) {
        self.arisen.fetch_add(1, Ordering::Release);
        self.arises.notify_one();
    }

    fn arisen(&self) -> u64 {
        self.arisen.load(Ordering::Acquire)
    }
}

impl<A: Agent> Router<A> {
    /// Confirms agents for as long as the task is kept; none where nobody takes agents
    /// over whose owner may still be there.
    pub(crate) fn suspecting(&self) -> Option<OwnedTask> {
        if !self.takes_over_on_disconnect() {
            return None;
        }
        let router = self.me.upgrade()?;
        Some(OwnedTask::spawn(async move {
            let suspicion = &router.suspicion;
            while !router.is_closed() {
                suspicion.arises.notified().await;
                let arisen = suspicion.arisen();
                while !router.is_closed() {
                    if Box::pin(router.confirm_all()).await {
                        suspicion.settled.store(arisen, Ordering::Release);
                        break;
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }))
    }

    /// Whether agents are taken over whose owner may still be there: by this node as by others.
    pub(crate) fn takes_over_on_disconnect(&self) -> bool {
        self.settings.takeover == Takeover::OnDisconnect
    }

    /// Whether others may be taking agents over that run here, or have, and storage has not yet
    /// told which.
    pub(crate) fn is_suspicious(&self) -> bool {
        self.takes_over_on_disconnect()
            && (self.settings.lease.may_be_cut_off(&self.core)
                || self.suspicion.settled.load(Ordering::Acquire) != self.suspicion.arisen())
    }

    /// Confirms every agent of this node; answers whether storage has told of all.
    async fn confirm_all(&self) -> bool {
        let mut all = true;
        for keys in self.local.keys().chunks(AT_ONCE) {
            let asked: Vec<_> = keys.iter().map(|key| self.confirm_one(key)).collect();
            for answer in asked {
                // One that has ended meanwhile needs no answer.
                all &= answer.await.unwrap_or(true);
            }
        }
        all
    }

    /// Asks storage whether this node still owns an agent that runs here or is parked, and ends
    /// it if not. What is given tells whether storage has answered.
    pub(super) fn confirm_one(&self, key: &AgentKey) -> oneshot::Receiver<bool> {
        let (done, answered) = oneshot::channel();
        self.confirm_here(key, done);
        answered
    }

    /// The same, telling `done`, which is dropped if the agent is not here.
    pub(crate) fn confirm_here(&self, key: &AgentKey, done: oneshot::Sender<bool>) {
        // Kept from being parked or going on in between.
        let _starting = self.starting.lock();
        match self.local.parked(key.as_str()) {
            Some(parked) => self.confirm_epoch(key.clone(), parked.epoch, done),
            None => {
                let confirm = ActivationMessage::Confirm(done);
                self.local.tell(key.as_str(), confirm);
            }
        }
    }

    /// Asks storage whether an epoch is still an agent's.
    pub(crate) fn confirm_epoch(&self, key: AgentKey, epoch: Epoch, done: oneshot::Sender<bool>) {
        let router = self.me.clone();
        let id = self.agent_id(&key);
        self.confirmations.confirm(id, epoch, move |verdict| {
            let answered = match verdict {
                Verdict::Owner => true,
                Verdict::Lost => {
                    if let Some(router) = router.upgrade() {
                        router.lost(&key, epoch);
                    }
                    true
                }
                Verdict::Failed(error) => {
                    tracing::debug!(%key, %error, "storage did not tell whose the agent is");
                    false
                }
            };
            // Whoever asked may not wait any more.
            let _ = done.send(answered);
        });
    }
}
