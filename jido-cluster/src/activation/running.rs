//! An agent that runs: its turns, and its errands.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use jido_core::{
    Agent, AgentError, AgentId, Checkpoints, Context, Effects, Epoch, NewEntry, ReminderList,
    RequestTry, Revision, Seq, Turn, decode_state, encode_payload, encode_state,
};
use jido_storage::{AppendOutcome, Loaded, RequestRecord, is_planted};
use ractor::ActorCell;
use tokio::sync::oneshot;

use super::answers::Held;
use super::hooks::{agent_error, panic_text};
use super::occurrences::Own;
use super::pipeline::Pipeline;
use super::window::{Forgotten, Window};
use super::{Errand, Start};
use crate::delivery::{Delivery, Refusal};
use crate::error::{Error, ErrorKind};
use crate::reminders::Listing;
use crate::router::Router;

/// A buffer beyond this, in bytes, is given back rather than kept for the next turn.
const MAX_KEPT_SCRATCH: usize = 64 * 1024;

thread_local! {
    /// Where states are serialized to: one a thread, not one an agent, which costs
    /// memory and a cache miss each.
    pub(super) static SCRATCH: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// What comes after an errand.
pub(super) enum After {
    GoOn,
    End,
}

/// Why an errand was not done.
pub(super) enum Failed {
    /// The activation goes on as before.
    Undone(Refusal),
    /// The activation may not go on.
    Lost(Refusal),
}

/// What a message that went well leaves behind, besides the agent's state and its entries.
struct Checked {
    /// Whether its reply waits for a commit of its own.
    commits: bool,
    /// The record of its request, if that has an effect that could be repeated or may come once
    /// more.
    request: Option<RequestRecord>,
    /// The reminders, if they changed.
    reminders: Option<Listing>,
}

/// A message that is being handled.
pub(super) struct Begun<A: Agent> {
    message: A::Message,
    delivery: Delivery<A>,
    /// The message, should what it did be undone and its sender have no copy.
    copy: Option<Bytes>,
    /// Since when, as `Deadlines` has it.
    at: Duration,
}

pub(super) struct Running<A: Agent> {
    pub(super) router: Arc<Router<A>>,
    pub(super) id: AgentId,
    /// The actor.
    pub(super) me: Option<ActorCell>,
    pub(super) agent: A,
    pub(super) epoch: Epoch,
    pub(super) revision: Revision,
    pub(super) thread_len: Seq,
    /// Whether what it did when it started is not durable yet.
    pub(super) starting: bool,
    /// How much of the thread the last checkpoint covers.
    pub(super) covered: Seq,
    /// How much that of the commit in flight covers; none if it carries none.
    pub(super) covering: Option<Seq>,
    /// How many entries the commit in flight appends.
    pub(super) appending: u64,
    pub(super) pipeline: Pipeline<Held<A>>,
    pub(super) in_flight: Option<oneshot::Receiver<AppendOutcome>>,
    /// The requests that were applied; none where the manager keeps no records of them.
    pub(super) window: Option<Window>,
    /// What the commit in flight drops from the window.
    pub(super) forgetting: Forgotten,
    /// Tries of requests whose effect is on its way to storage.
    pub(super) waiting: Vec<Delivery<A>>,
    /// What it is sent by itself.
    pub(super) own: Own,
}

impl<A: Agent> Running<A> {
    /// An agent as it was loaded, with its serialized state and its reminders.
    pub(super) fn loaded(
        start: &Start<A>,
        agent: A,
        state: Bytes,
        reminders: Listing,
        loaded: &Loaded,
    ) -> Self {
        let settings = start.router.settings();
        let record = &loaded.record;
        let window = settings.requests;
        Self {
            window: window.map(|limits| Window::stored(limits, &loaded.requests)),
            pipeline: Pipeline::new(settings.durability, by_entries::<A>(), state)
                .with_reminders(reminders),
            covered: covered(loaded),
            covering: None,
            id: record.id.clone(),
            me: start.me.clone(),
            agent,
            epoch: record.epoch,
            revision: record.revision,
            thread_len: record.thread_len,
            starting: false,
            forgetting: Forgotten::default(),
            waiting: Vec::new(),
            appending: 0,
            in_flight: None,
            own: Own::default(),
            router: start.router.clone(),
        }
    }

    /// Whether nothing is on its way to storage, nobody waits for it, and nothing is
    /// scheduled.
    pub(super) fn is_at_rest(&self) -> bool {
        self.pipeline.is_at_rest() && self.waiting.is_empty() && self.own.timers.is_empty()
    }

    /// Takes a message from the mailbox; none if there is nothing to handle. `now` is
    /// that of `Deadlines`.
    pub(super) fn begin(&self, mut delivery: Delivery<A>, now: Duration) -> Option<Begun<A>> {
        if now > delivery.deadline() {
            delivery.finish(Err(Error::new(
                ErrorKind::Timeout,
                "the call's time ran out before the agent came to its message",
            )));
            return None;
        }
        let turn = delivery
            .trace()
            .handle(self.router.whose(self.id.key.as_str()));
        delivery.follow(turn);
        let copy = self.window.as_ref().and_then(|_| delivery.copy());
        let message = delivery.begin()?;
        Some(Begun {
            message,
            delivery,
            copy,
            at: now,
        })
    }

    /// Handles a message that was begun.
    pub(super) async fn turn(&mut self, begun: Begun<A>) {
        let Begun {
            message,
            delivery,
            copy,
            at,
        } = begun;
        let request = delivery.request();
        let trace = delivery.trace().clone();
        let mut ctx = context(&self.router, &self.id, self.epoch, self.revision, request)
            .with_reminders(self.pipeline.reminders(), None)
            .with_trace(trace.context())
            .with_timers(self.own.timers.len());
        let handled = match trace.is_followed() {
            false => {
                AssertUnwindSafe(self.agent.handle(message, &mut ctx))
                    .catch_unwind()
                    .await
            }
            // Who follows a call pays for it, and others for no larger future.
            true => {
                let handling = AssertUnwindSafe(self.agent.handle(message, &mut ctx));
                Box::pin(trace.handling(handling.catch_unwind())).await
            }
        };
        self.told(&handled, &trace, at);
        let effects = ctx.into_effects();
        self.end_turn(delivery, copy, handled, effects);
    }

    fn end_turn(
        &mut self,
        delivery: Delivery<A>,
        copy: Option<Bytes>,
        handled: Result<Result<A::Reply, AgentError>, Box<dyn std::any::Any + Send>>,
        effects: Effects,
    ) {
        let Effects {
            entries,
            reminders,
            timers,
        } = effects;
        let mut scratch = SCRATCH.take();
        let result = match handled {
            Ok(Ok(reply)) => self
                .check(&delivery, &reply, &entries, reminders, &mut scratch)
                .map(|checked| (reply, checked)),
            Ok(Err(error)) => Err(agent_error(&error)),
            Err(panic) => {
                let text = panic_text(panic.as_ref());
                tracing::error!(agent = %self.id, panic = text, "an agent's handler panicked");
                Err(self.panicked(format!("the agent's handler panicked: {text}")))
            }
        };
        let released = match result {
            Ok((reply, checked)) => {
                let Checked {
                    commits,
                    request,
                    reminders,
                } = checked;
                let held = Held {
                    delivery,
                    copy,
                    result: Ok(reply),
                    read: !commits,
                };
                self.remind(reminders);
                let released = self.pipeline.turn(&scratch, entries, request, held);
                self.schedule(timers);
                released
            }
            Err(error) => {
                if !is_planted!(FailureNotUndone) {
                    self.restore();
                }
                self.pipeline.hold(Held {
                    delivery,
                    copy,
                    result: Err(error),
                    read: true,
                })
            }
        };
        if scratch.capacity() <= MAX_KEPT_SCRATCH {
            SCRATCH.set(scratch);
        }
        if let Some(held) = released {
            self.answer(held);
        }
    }

    /// Serializes the state into `scratch` and checks that it can be committed.
    fn check(
        &self,
        delivery: &Delivery<A>,
        reply: &A::Reply,
        entries: &[NewEntry],
        reminders: Option<ReminderList>,
        scratch: &mut BytesMut,
    ) -> Result<Checked, Error> {
        encode_state(&self.agent, scratch)?;
        let reminders = self.changed_reminders(reminders)?;
        let changed = reminders.is_some() || self.pipeline.is_changed_by(scratch, entries);
        let request = match (&self.window, delivery.request()) {
            // A try before this one may still be under way: were nothing kept of this answer,
            // that one would be carried out after its caller was told otherwise.
            (Some(_), Some(request))
                if changed || !request.first && !is_planted!(RefusalNotKept) =>
            {
                Some(RequestRecord {
                    request: request.id,
                    issued_at: request.issued_at,
                    reply: encode_payload(reply)?,
                })
            }
            _ => None,
        };
        let replies = request.as_ref().map_or(0, |record| record.reply.len());
        let reminding = reminders.as_ref().map_or(0, Listing::len);
        self.check_len(scratch.len(), entries, replies + reminding)?;
        Ok(Checked {
            commits: changed || request.is_some(),
            request,
            reminders,
        })
    }

    /// Checks that what a message left behind can be committed: so many bytes of state, its
    /// entries, and as much as is given besides.
    pub(super) fn check_len(
        &self,
        state: usize,
        entries: &[NewEntry],
        besides: usize,
    ) -> Result<(), Error> {
        let limit = self.router.settings().max_commit_bytes;
        let entries: usize = entries
            .iter()
            .map(|entry| entry.kind.len() + entry.payload.len())
            .sum();
        let state = match A::CHECKPOINTS {
            Checkpoints::Never => 0,
            Checkpoints::EveryCommit | Checkpoints::Every(_) => state,
        };
        let len = state + entries + besides;
        if len > limit {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "state, entries and reply of the agent have {len} bytes: the limit is {limit}"
                ),
            ));
        }
        if len + self.pipeline.staged_len() > limit {
            return Err(Error::new(
                ErrorKind::Overloaded,
                format!("more waits for the agent's next commit than the {limit} bytes of one"),
            ));
        }
        Ok(())
    }

    /// A panic as an error, of which the manager's supervisor is told.
    pub(super) fn panicked(&self, why: String) -> Error {
        if let Some(me) = &self.me {
            self.router.escalate(me, format!("{}: {why}", self.id));
        }
        Error::new(ErrorKind::Agent, why)
    }

    /// Puts the agent back to the state after the last message that went well.
    pub(super) fn restore(&mut self) {
        match decode_state(self.pipeline.current()) {
            Ok(agent) => {
                self.agent = agent;
                (self.router.settings().prepare)(&mut self.agent, &self.id.key);
            }
            // It was serialized by the same code a moment ago. An agent whose own
            // bytes it can't read is at fault; it goes on as its handler left it,
            // and the next commit writes that.
            Err(error) => {
                tracing::error!(agent = %self.id, %error, "an agent can't read its own state");
            }
        }
    }

    /// Does something other than handling a message.
    pub(super) async fn errand(&mut self, errand: Errand) -> Result<After, Failed> {
        match errand {
            // Parking is no errand of the agent itself.
            Errand::Activate | Errand::Attach | Errand::Park(_) => Ok(After::GoOn),
            Errand::Hibernate | Errand::Passivate(_) => self.hibernate().await.map(|()| After::End),
            Errand::Settle => match self.flush().await {
                Ok(()) if self.pipeline.is_dirty() => Err(Failed::Undone(Refusal::unsettled(
                    "the state could not be written yet",
                ))),
                Ok(()) => Ok(After::GoOn),
                Err(refusal) => Err(Failed::Lost(refusal)),
            },
            Errand::Delete => self.delete().await.map(|()| After::End),
            Errand::Abandon => {
                let undone = self.pipeline.undo();
                Self::unresolved(undone, "the node may not own agents any more");
                Ok(After::End)
            }
        }
    }
}

/// Whether an agent's entries alone are committed, and tell its state.
pub(super) fn by_entries<A: Agent>() -> bool {
    A::CHECKPOINTS != Checkpoints::EveryCommit
}

/// How much of its thread an agent's stored state covers.
pub(super) fn covered(loaded: &Loaded) -> Seq {
    let checkpoint = loaded.checkpoint.as_ref();
    checkpoint.map_or(Seq::ZERO, |checkpoint| checkpoint.covers)
}

/// What a turn of an agent at a revision is told.
pub(super) fn context<'a, A: Agent>(
    router: &'a Router<A>,
    id: &'a AgentId,
    epoch: Epoch,
    revision: Revision,
    request: Option<RequestTry>,
) -> Context<'a> {
    let core = router.core();
    Context::new(Turn {
        id,
        node: &core.name,
        epoch,
        revision: revision.next(),
        now: core.environment.wall(),
        request: request.map(|request| request.id),
    })
}
