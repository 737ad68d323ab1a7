//! A move of an agent, as the node does it that the agent runs on.
//!
//! It is what a drain does with every agent, for one: the agent hibernates, so that all it
//! took is durable or given back, and its claim is released; then its new node is told to run it.

use std::time::Duration;

use arc_swap::Guard;
use bytes::Bytes;
use jido_core::{
    Agent, AgentKey, AnswerStatus, Ask, Epoch, Incarnation, Operation, Revision, decode_payload,
};
use jido_storage::is_planted;

use super::Router;
use super::attempt::interrupted;
use super::errands::{Tried, errand_answer};
use crate::activation::Errand;
use crate::delivery::Refusal;
use crate::error::Error;
use crate::exchange::{AnswerPort, Value};
use crate::runtime;
use crate::telemetry::UNTRACED;

/// How many keys one answer tells.
pub(super) const PAGE: usize = 1_000;

/// How long the new node is given to run the agent, or to say whether it does.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the new node is asked again, and after what pause, while it refuses by what storage
/// told it before the agent was given back here.
const AGAIN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_millis(10));

/// How a hand-over ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum HandedOver {
    /// The agent runs on the new node.
    Moved,
    /// It ran there already, and has ended here.
    Settled,
    /// It does not run here.
    NotRunning,
    /// The new node would not see what was committed here.
    StorageNotShared,
    /// It is placed on this node, as this node sees it.
    PlacementDiffers,
    /// There is no session with the new node, or it takes no agents.
    NotAMember,
}

impl HandedOver {
    pub(super) fn from_u8(byte: u8) -> Option<Self> {
        [
            Self::Moved,
            Self::Settled,
            Self::NotRunning,
            Self::StorageNotShared,
            Self::PlacementDiffers,
            Self::NotAMember,
        ]
        .into_iter()
        .find(|one| *one as u8 == byte)
    }
}

impl<A: Agent> Router<A> {
    /// The first keys after `after` of agents that run here, or are parked, and are placed on
    /// another node: at most `limit` of them, in order.
    pub(super) async fn misplaced_here(
        &self,
        after: Option<&AgentKey>,
        limit: usize,
    ) -> Vec<AgentKey> {
        let view = Guard::into_inner(self.core.members.view());
        let is_elsewhere = |key: &AgentKey| {
            let hash = self.key_hash(key.as_str());
            let placed = view.place(&self.settings.name, key.as_str(), hash);
            placed.is_some_and(|node| node != self.core.incarnation)
        };
        self.local.first_after(after, limit, is_elsewhere).await
    }

    /// Answers with a page of such keys.
    pub(super) fn misplaced_asked(&self, ask: &Ask, port: AnswerPort) {
        let (after, limit): (Option<AgentKey>, usize) = match decode_payload(&ask.payload) {
            Ok(page) => page,
            Err(error) => {
                let why = Bytes::from(error.to_string());
                return port.refused(AnswerStatus::Incompatible, None, why);
            }
        };
        let Some(router) = self.me.upgrade() else {
            return;
        };
        runtime::spawn(async move {
            let keys = router.misplaced_here(after.as_ref(), limit.min(PAGE)).await;
            port.ok(Epoch::ZERO, Revision::ZERO, &Value(&keys));
        });
    }

    /// Hands an agent over, and answers how that ended.
    pub(super) fn hand_over_asked(&self, key: &AgentKey, ask: &Ask, port: AnswerPort) {
        let Ok(to) = <[u8; 16]>::try_from(&*ask.payload) else {
            let why = Bytes::from_static(b"no node to hand an agent over to");
            return port.refused(AnswerStatus::Incompatible, None, why);
        };
        let to = Incarnation(u128::from_be_bytes(to));
        let Some(router) = self.me.upgrade() else {
            return;
        };
        let key = key.clone();
        runtime::spawn(async move {
            match Box::pin(router.hand_over(&key, to)).await {
                Ok(ended) => {
                    let ended = Bytes::copy_from_slice(&[ended as u8]);
                    port.ok(Epoch::ZERO, Revision::ZERO, &ended);
                }
                Err(error) => port.failed(&error),
            }
        });
    }

    /// Hands an agent that runs here over to another node, if that can see what was committed
    /// here; ends it here if it runs there already.
    pub(super) async fn hand_over(
        &self,
        key: &AgentKey,
        to: Incarnation,
    ) -> Result<HandedOver, Error> {
        if !self.local.contains(key.as_str()) {
            return Ok(HandedOver::NotRunning);
        }
        let (me, name) = (self.core.incarnation, &self.settings.name);
        let takes = {
            let view = self.core.members.view();
            let takes = view.takers(name).any(|(_, node)| node == to);
            if to == me || !takes && !view.staying(name).any(|(_, node)| node == to) {
                return Ok(HandedOver::NotAMember);
            }
            let hash = self.key_hash(key.as_str());
            if view.place(name, key.as_str(), hash) == Some(me) {
                return Ok(HandedOver::PlacementDiffers);
            }
            takes
        };
        let sharing = self.sharing().await?;
        let shares = sharing.is_none_or(|sharing| sharing.contains(&to));
        if !takes || !shares {
            // A node that isn't well gets no agent, but may keep the one that it has.
            if !self.runs_at(to, key).await? {
                return Ok(match takes {
                    true => HandedOver::StorageNotShared,
                    false => HandedOver::NotAMember,
                });
            }
            self.hibernate_here(key).await?;
            return Ok(HandedOver::Settled);
        }
        // From its end here on, whoever asks this node is told where it goes.
        self.remember_owner(key, to);
        let ended = match is_planted!(RebalanceWithoutDrain) {
            true => self.release_alone(key).await,
            false => self.hibernate_here(key).await,
        };
        if let Err(error) = ended {
            self.forget_owner(key.as_str());
            return Err(error);
        }
        self.activate_at(to, key).await?;
        Ok(HandedOver::Moved)
    }

    async fn hibernate_here(&self, key: &AgentKey) -> Result<(), Error> {
        match self.run_here(key, Errand::Hibernate, &UNTRACED).await {
            // One that was fenced, or ends already, is out of the way as well.
            Ok(()) | Err(Refusal::NotOwner { .. } | Refusal::Stopped) => Ok(()),
            Err(refusal) => Err(refusal.into_error()),
        }
    }

    /// What must not be done: gives the claim back while the agent runs on.
    async fn release_alone(&self, key: &AgentKey) -> Result<(), Error> {
        let id = self.agent_id(key);
        if let Some(record) = self.settings.storage.head(&id).await? {
            let at = self.core.environment.wall();
            let release = jido_storage::Commit {
                release: true,
                ..jido_storage::Commit::new(id, record.epoch, record.revision, at)
            };
            let outcome = self.settings.storage.append(release).await;
            tracing::debug!(%key, ?outcome, "released while it runs on");
        }
        Ok(())
    }

    async fn ask_about(
        &self,
        node: Incarnation,
        key: &AgentKey,
        operation: Operation,
    ) -> Result<Tried, Error> {
        let question = self.question(key, operation, true, PATIENCE);
        let answer = async { self.reach(node, &question).await.ok().flatten() };
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        let answer = answer.ok().flatten().ok_or_else(interrupted)?;
        errand_answer(&answer)
    }

    async fn runs_at(&self, node: Incarnation, key: &AgentKey) -> Result<bool, Error> {
        let asked = self.ask_about(node, key, Operation::Lookup).await?;
        asked.told(interrupted)
    }

    /// Has the new node run an agent that was given back here.
    async fn activate_at(&self, node: Incarnation, key: &AgentKey) -> Result<(), Error> {
        let begun = self.core.deadlines.now();
        loop {
            let refusal = match self.ask_about(node, key, Operation::Activate).await? {
                Tried::Done => return Ok(()),
                Tried::Refused(refusal) => refusal,
                Tried::Unreachable | Tried::Interrupted | Tried::NotPassedOn => {
                    return Err(interrupted());
                }
            };
            // It may have come to an activation there that was started by a call and has
            // claimed too early: that one ends, and the next one claims anew.
            let is_early = match &refusal {
                Refusal::NotOwner { hint } => hint.is_none_or(|hint| hint == self.core.incarnation),
                Refusal::Stopped => true,
                _ => false,
            };
            let asked_for = self.core.deadlines.now().saturating_sub(begun);
            if !is_early || asked_for > AGAIN.0 {
                return Err(refusal.into_error());
            }
            tokio::time::sleep(AGAIN.1).await;
        }
    }
}
