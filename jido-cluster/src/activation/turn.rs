//! The turn of one message: begun, handled, and what it left behind taken in or undone.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use jido_core::{Agent, AgentError, Effects, NewEntry, ReminderList, encode_payload, encode_state};
use jido_storage::{RequestRecord, is_planted};

use super::answers::Held;
use super::hooks::{agent_error, panic_text};
use super::running::{Running, context};
use crate::delivery::Delivery;
use crate::error::{Error, ErrorKind};
use crate::reminders::Listing;

/// A buffer beyond this, in bytes, is given back rather than kept for the next turn.
const MAX_KEPT_SCRATCH: usize = 64 * 1024;

thread_local! {
    /// Where states are serialized to: one a thread, not one an agent, which costs
    /// memory and a cache miss each.
    static SCRATCH: Cell<BytesMut> = Cell::new(BytesMut::new());
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

impl<A: Agent> Running<A> {
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
        let commits = changed || request.is_some();
        self.check_len(commits, scratch.len(), entries, replies + reminding)?;
        Ok(Checked {
            commits,
            request,
            reminders,
        })
    }
}
