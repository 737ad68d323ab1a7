//! An agent that runs: its turns, and its errands.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::FutureExt;
use jido_core::{
    Agent, AgentError, AgentId, Context, Epoch, Executed, NewEntry, Revision, Seq, Turn,
    decode_state, encode_state,
};
use jido_storage::{AgentRecord, AppendOutcome};
use tokio::sync::oneshot;

use super::Errand;
use super::pipeline::Pipeline;
use crate::delivery::{Answered, Delivery, Refusal};
use crate::error::{Error, ErrorKind};
use crate::router::Router;

/// A buffer beyond this, in bytes, is given back rather than kept for the next turn.
const MAX_KEPT_SCRATCH: usize = 64 * 1024;

thread_local! {
    /// Where states are serialized to: one a thread, not one an agent, which costs
    /// memory and a cache miss each.
    static SCRATCH: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// A reply, or the failure of a message, and who waits for it.
pub(super) struct Held<A: Agent> {
    pub(super) delivery: Delivery<A>,
    pub(super) result: Result<A::Reply, Error>,
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

pub(super) struct Running<A: Agent> {
    pub(super) router: Arc<Router<A>>,
    pub(super) id: AgentId,
    pub(super) agent: A,
    pub(super) epoch: Epoch,
    pub(super) revision: Revision,
    pub(super) thread_len: Seq,
    /// How many entries the commit in flight appends.
    pub(super) appending: u64,
    pub(super) pipeline: Pipeline<Held<A>>,
    pub(super) in_flight: Option<oneshot::Receiver<AppendOutcome>>,
    /// The message that is being handled.
    delivery: Option<Delivery<A>>,
}

impl<A: Agent> Running<A> {
    pub(super) fn new(
        router: Arc<Router<A>>,
        agent: A,
        state: BytesMut,
        record: &AgentRecord,
    ) -> Self {
        let durability = router.settings().durability;
        Self {
            router,
            id: record.id.clone(),
            agent,
            epoch: record.epoch,
            revision: record.revision,
            thread_len: record.thread_len,
            appending: 0,
            pipeline: Pipeline::new(durability, state.freeze()),
            in_flight: None,
            delivery: None,
        }
    }

    /// Takes a message from the mailbox; none if there is nothing to handle. `now` is
    /// that of `Deadlines`.
    ///
    /// Apart from [`turn`](Running::turn), so that the delivery waits here and not in
    /// a future, which ractor moves about.
    pub(super) fn begin(&mut self, mut delivery: Delivery<A>, now: Duration) -> Option<A::Message> {
        if now > delivery.deadline() {
            delivery.finish(Err(Error::new(
                ErrorKind::Timeout,
                "the call's time ran out before the agent came to its message",
            )));
            return None;
        }
        let message = delivery.begin();
        self.delivery = Some(delivery);
        message
    }

    /// Handles the message that was begun.
    pub(super) async fn turn(&mut self, message: A::Message) {
        let core = self.router.core();
        let mut ctx = Context::new(Turn {
            id: &self.id,
            node: &core.name,
            epoch: self.epoch,
            revision: self.revision.next(),
            now: core.environment.wall(),
            request: self.delivery.as_ref().and_then(Delivery::request),
        });
        let handled = AssertUnwindSafe(self.agent.handle(message, &mut ctx))
            .catch_unwind()
            .await;
        let entries = ctx.into_entries();
        self.end_turn(handled, entries);
    }

    fn end_turn(
        &mut self,
        handled: Result<Result<A::Reply, AgentError>, Box<dyn std::any::Any + Send>>,
        entries: Vec<NewEntry>,
    ) {
        let Some(delivery) = self.delivery.take() else {
            return;
        };
        let mut scratch = SCRATCH.take();
        let result = match handled {
            Ok(Ok(reply)) => self.check(&entries, &mut scratch).map(|()| reply),
            Ok(Err(error)) => Err(agent_error(&error)),
            Err(panic) => {
                let text = panic_text(panic.as_ref());
                tracing::error!(agent = %self.id, panic = text, "an agent's handler panicked");
                Err(Error::new(
                    ErrorKind::Agent,
                    format!("the agent's handler panicked: {text}"),
                ))
            }
        };
        let released = match result {
            Ok(reply) => {
                let held = Held {
                    delivery,
                    result: Ok(reply),
                };
                self.pipeline.turn(&scratch, entries, held)
            }
            Err(error) => {
                self.restore();
                self.pipeline.hold(Held {
                    delivery,
                    result: Err(error),
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
    fn check(&self, entries: &[NewEntry], scratch: &mut BytesMut) -> Result<(), Error> {
        encode_state(&self.agent, scratch)?;
        let limit = self.router.settings().max_commit_bytes;
        let entries: usize = entries
            .iter()
            .map(|entry| entry.kind.len() + entry.payload.len())
            .sum();
        let len = scratch.len() + self.pipeline.staged_len() + entries;
        if len > limit {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("state and entries of the agent have {len} bytes: the limit is {limit}"),
            ));
        }
        Ok(())
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

    /// Sends a reply whose state is durable.
    pub(super) fn answer(&self, held: Held<A>) {
        let Held { delivery, result } = held;
        delivery.finish(result.map(|value| Answered {
            value,
            epoch: self.epoch,
            revision: self.revision,
        }));
    }

    /// Tells those whose replies will not leave why.
    pub(super) fn fail(undone: Vec<Held<A>>, executed: Executed, kind: ErrorKind, why: &str) {
        for held in undone {
            // A message that failed by itself keeps its own error.
            let error = match held.result {
                Err(error) => error,
                Ok(_) => Error::new(kind, why).with_executed(executed),
            };
            held.delivery.finish(Err(error));
        }
    }

    /// Does something other than handling a message.
    pub(super) async fn errand(&mut self, errand: Errand) -> Result<After, Failed> {
        match errand {
            Errand::Activate => Ok(After::GoOn),
            Errand::Hibernate => self.hibernate().await.map(|()| After::End),
            Errand::Delete => self.delete().await.map(|()| After::End),
            Errand::Abandon => {
                let undone = self.pipeline.undo();
                Self::fail(
                    undone,
                    Executed::Maybe,
                    ErrorKind::Unavailable,
                    "the node may not own agents any more",
                );
                Ok(After::End)
            }
        }
    }
}

fn agent_error(error: &AgentError) -> Error {
    Error::new(ErrorKind::Agent, error.to_string())
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a text")
}
