//! The running instance of an agent: one ractor actor.
//!
//! It claims and loads its agent before it takes the first message, handles one
//! message at a time, and commits what changed. Its states:
//!
//! ```text
//! Claiming -> Loading -> Running <-> Committing -> Draining -> Released
//! ```
//!
//! and `Refused` for one that may not run, or runs no longer: it gives the
//! messages that it still has back, and ends.
//!
//! Its steps are modelled, and searched exhaustively, in
//! `jido-testkit/tests/model/agents.rs` and `commits.rs`: whoever changes one
//! changes the other.

mod answers;
mod append;
mod commit;
mod hooks;
mod occurrences;
mod once;
mod parking;
mod pipeline;
mod replay;
mod running;
mod start;
mod step;
mod timers;
mod turn;
mod window;

use std::marker::PhantomData;
use std::sync::Arc;

use jido_core::{Agent, AgentKey, Epoch};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;

use crate::delivery::{Delivery, Refusal};
use crate::local::{Found, Gauge, Local, Parked, millis};
use crate::router::Router;
use crate::telemetry::{Deactivated, Trace};

pub use pipeline::Durability;
use running::Running;
pub(crate) use window::Limits as RequestLimits;

/// What an activation is told. Never leaves the node.
#[derive(Debug)]
pub(crate) enum ActivationMessage<A: Agent> {
    /// A message for the agent.
    Deliver(Delivery<A>),
    /// The commit in flight has ended.
    CommitEnded,
    /// Storage said that the agent has a newer owner than this epoch.
    Lost(Epoch),
    /// Whether it still owns the agent is in doubt: it asks storage, ends if it does not, and
    /// tells whether it has got an answer.
    Confirm(oneshot::Sender<bool>),
    /// Something of its own may be due.
    Wake,
    /// Something other than a message.
    Errand(Errand, oneshot::Sender<Result<(), Refusal>>),
}

impl<A: Agent> ractor::Message for ActivationMessage<A> {}

/// What an activation can be asked to do besides handling messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errand {
    /// Answer once the agent runs.
    Activate,
    /// The same: whoever keeps it awake is known to the router.
    Attach,
    /// Write what is not yet written, give the claim back, and end.
    Hibernate,
    /// The same, unless the agent was used since, in milliseconds of `Deadlines::now`,
    /// or is kept awake.
    Passivate(u64),
    /// Leave what it takes to go on later in memory, and end, with the same reservation.
    Park(u64),
    /// Answer once all that was taken is durable or undone.
    Settle,
    /// Delete the agent, and end.
    Delete,
    /// End at once and write nothing: the node may not own agents any more.
    Abandon,
}

impl Errand {
    /// What it is called in spans.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Activate => "activate",
            Self::Attach => "attach",
            Self::Hibernate | Self::Passivate(_) | Self::Park(_) | Self::Abandon => "stop",
            Self::Settle => "settle",
            Self::Delete => "delete",
        }
    }

    /// As what the end of an activation counts that it brings about.
    fn ends_as(self) -> Deactivated {
        match self {
            Self::Delete => Deactivated::Deleted,
            Self::Abandon => Deactivated::Abandoned,
            Self::Park(_) => Deactivated::Parked,
            Self::Activate | Self::Attach | Self::Settle | Self::Hibernate | Self::Passivate(_) => {
                Deactivated::Hibernated
            }
        }
    }
}

/// The actor's behaviour; its state is [`State`].
pub(crate) struct Activation<A>(PhantomData<fn() -> A>);

impl<A> Activation<A> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

/// What an activation is started with.
pub(crate) struct Start<A: Agent> {
    pub(crate) router: Arc<Router<A>>,
    pub(crate) key: AgentKey,
    pub(crate) gauge: Arc<Gauge>,
    /// The actor itself, once it has started.
    pub(crate) me: Option<ActorCell>,
    /// What it is started for.
    pub(crate) cause: Trace,
    /// What is kept of the agent, when it comes back from there.
    pub(crate) parked: Option<Arc<Parked>>,
}

pub(crate) struct State<A: Agent> {
    start: Start<A>,
    phase: Phase<A>,
}

#[allow(
    clippy::large_enum_variant,
    reason = "it is nearly always running, and a box would cost every message a cache miss"
)]
enum Phase<A: Agent> {
    Running(Running<A>),
    Refused(Refusal),
}

impl<A: Agent> State<A> {
    /// Takes no more messages and gives back those that it has, for this reason.
    fn end(&mut self, myself: &ActorRef<ActivationMessage<A>>, refusal: Refusal) {
        self.phase = Phase::Refused(refusal);
        let Start {
            router, key, gauge, ..
        } = &self.start;
        // In this order: whoever has only now put it into its place sees that it has ended.
        Self::close(key, myself);
        router.local().remove(key.as_str(), gauge);
    }

    fn close(key: &AgentKey, myself: &ActorRef<ActivationMessage<A>>) {
        // What is in the mailbox is still handled, and refused, before the actor
        // stops; nothing further is let in.
        if myself.drain().is_err() {
            tracing::debug!(%key, "an activation had ended already");
        }
    }

    /// Sees to it that the agent is told of what is due of its own.
    fn arm(&mut self, myself: &ActorRef<ActivationMessage<A>>) {
        if let Phase::Running(running) = &mut self.phase {
            running.arm(myself);
        }
    }

    /// Tells the gauge how things are, once a message is dealt with.
    fn note(&self) {
        if let Phase::Running(running) = &self.phase {
            let Start { router, gauge, .. } = &self.start;
            router.weigh(gauge, running.pipeline.current().len());
            if running.is_at_rest() {
                gauge.rest();
            }
        }
    }

    /// Whether the agent was not used since, and nothing wants it awake.
    fn is_unused_since(&self, used_ms: u64) -> bool {
        let Start {
            router, key, gauge, ..
        } = &self.start;
        // What it was sent by itself the gauge doesn't know of.
        if !matches!(&self.phase, Phase::Running(running) if running.is_at_rest()) {
            return false;
        }
        let at_rest = router.local().find(key.as_str(), Local::is_at_rest);
        let now = millis(router.core().deadlines.now());
        gauge.used_ms() == used_ms
            && at_rest == Found::Running(true)
            && !router.attachments().holds(key.as_str(), now)
    }

    /// Whether nothing is left to do of an errand: the agent was parked, or the errand's
    /// reservation holds.
    fn is_done(&mut self, errand: Errand, myself: &ActorRef<ActivationMessage<A>>) -> bool {
        match errand {
            Errand::Park(since) => {
                if self.is_unused_since(since) && self.park(since) {
                    Self::close(&self.start.key, myself);
                }
                true
            }
            Errand::Passivate(since) => {
                matches!(self.phase, Phase::Running(_)) && !self.is_unused_since(since)
            }
            Errand::Activate | Errand::Attach => {
                let start = &self.start;
                start.gauge.used(start.router.core().deadlines.now());
                false
            }
            _ => false,
        }
    }

    /// Leaves what it takes to go on later in the activation's place; false if a message
    /// waits, or something is under way.
    fn park(&mut self, used_ms: u64) -> bool {
        let Start {
            router, key, gauge, ..
        } = &self.start;
        let Phase::Running(running) = &self.phase else {
            return false;
        };
        // Nobody would wake it for reminders that storage doesn't know of, and it would be woken
        // at once for one that failed.
        let now = router.core().deadlines.now();
        let may_rest = running.is_at_rest()
            && !running.pipeline.has_unsaved_reminders()
            && !running.own.retries.is_any_waiting(now);
        let is_parked = may_rest && router.park(key, gauge, running.park(used_ms));
        if is_parked {
            router.settings().metrics.deactivated(Deactivated::Parked);
            self.phase = Phase::Refused(Refusal::Stopped);
        }
        is_parked
    }
}

impl<A: Agent> Actor for Activation<A> {
    type Msg = ActivationMessage<A>;
    type State = State<A>;
    type Arguments = Start<A>;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        start: Start<A>,
    ) -> Result<State<A>, ActorProcessingErr> {
        Ok(State {
            start: Start {
                me: Some(myself.get_cell()),
                ..start
            },
            phase: Phase::Refused(Refusal::Stopped),
        })
    }

    async fn post_start(
        &self,
        myself: ActorRef<Self::Msg>,
        state: &mut State<A>,
    ) -> Result<(), ActorProcessingErr> {
        match Box::pin(start::start(&mut state.start)).await {
            Ok(running) => {
                state.phase = Phase::Running(running);
                if let Phase::Running(running) = &mut state.phase {
                    running.commit_if_due(&myself);
                }
                state.arm(&myself);
                state.note();
            }
            Err(refusal) => {
                tracing::debug!(key = %state.start.key, ?refusal, "an agent was not activated");
                state.end(&myself, refusal);
            }
        }
        Ok(())
    }

    fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut State<A>,
    ) -> impl Future<Output = Result<(), ActorProcessingErr>> + Send {
        // Not an `async fn`: what it returns is to be small.
        let remaining = state.step(message, myself);
        async move {
            if let Some(remaining) = remaining {
                remaining.await;
            }
            Ok(())
        }
    }
}
