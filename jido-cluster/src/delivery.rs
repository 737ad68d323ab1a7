//! A message on its way to an activation, and the way back.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jido_core::{
    Agent, AgentKey, Answer, AnswerStatus, Epoch, Executed, Incarnation, NodeName, RequestTry,
    Revision, decode_payload, encode_payload,
};
use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind};
use crate::exchange::{AnswerPort, Value};
use crate::router::Router;
use crate::telemetry::{Retry, Trace};

/// An agent's answer, and which activation gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply<R> {
    /// What the agent answered.
    pub value: R,
    /// The node that the agent runs on.
    pub owner: NodeName,
    /// The epoch of its activation.
    pub epoch: Epoch,
    /// The revision at which what the reply saw is durable. Where the manager
    /// commits only when an agent hibernates, the last committed one.
    pub revision: Revision,
}

/// An agent's answer on its way; who gave it is known to whoever asked.
pub(crate) struct Answered<R> {
    pub(crate) value: R,
    pub(crate) epoch: Epoch,
    pub(crate) revision: Revision,
}

/// Why a message was not executed here.
#[derive(Debug, Clone)]
pub(crate) enum Refusal {
    /// It belongs elsewhere; the hint says where, if that is known.
    NotOwner { hint: Option<Incarnation> },
    /// The activation is stopping: the next one takes it.
    Stopped,
    /// Too many wait already.
    Overloaded,
    /// Nobody can own the agent just now, for this reason.
    Unsettled(Arc<str>),
    /// The agent can't be activated until somebody looks at it.
    Broken(ErrorKind, Arc<str>),
}

impl Refusal {
    pub(crate) fn unsettled(why: impl Into<String>) -> Self {
        Self::Unsettled(why.into().into())
    }

    /// As what a further try is counted that follows it.
    pub(crate) fn retry(&self) -> Retry {
        match self {
            Self::NotOwner { .. } => Retry::NotOwner,
            Self::Stopped => Retry::Stopped,
            // After the last two there is no other try.
            Self::Unsettled(_) | Self::Overloaded | Self::Broken(..) => Retry::Unsettled,
        }
    }

    /// The refusal as an error, for who can't try again.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::NotOwner { .. } => {
                Error::new(ErrorKind::Unavailable, "no node answers for the agent yet")
            }
            Self::Stopped => Error::new(ErrorKind::Stopped, "the agent's node is stopping"),
            Self::Overloaded => Error::new(
                ErrorKind::Overloaded,
                "too much waits for the agent, its node or its storage",
            ),
            Self::Unsettled(why) => Error::new(ErrorKind::Unavailable, why.to_string()),
            Self::Broken(kind, why) => Error::new(kind, why.to_string()),
        }
    }

    /// The refusal that another node answered with; the answer as an error where
    /// asking again would not help. For answers that tell of no success.
    pub(crate) fn from_answer(answer: &Answer) -> Result<Self, Error> {
        let why = || String::from_utf8_lossy(&answer.payload).into_owned();
        match answer.status {
            AnswerStatus::NotOwner if answer.payload.is_empty() => {
                Ok(Self::NotOwner { hint: answer.hint })
            }
            AnswerStatus::NotOwner => Ok(Self::unsettled(why())),
            AnswerStatus::Stopped => Ok(Self::Stopped),
            AnswerStatus::Overloaded => Ok(Self::Overloaded),
            AnswerStatus::Unreachable => Ok(Self::unsettled("the agent's node is out of reach")),
            AnswerStatus::Failed => {
                Err(Error::new(ErrorKind::from_code(answer.code), why())
                    .with_executed(answer.executed))
            }
            AnswerStatus::Incompatible | AnswerStatus::Ok => {
                Err(Error::new(ErrorKind::Incompatible, why()))
            }
        }
    }

    /// Tells a caller on another node.
    pub(crate) fn answer(self, port: AnswerPort) {
        match self {
            Self::NotOwner { hint } => port.refused(AnswerStatus::NotOwner, hint, Bytes::new()),
            Self::Stopped => port.refused(AnswerStatus::Stopped, None, Bytes::new()),
            Self::Overloaded => port.refused(AnswerStatus::Overloaded, None, Bytes::new()),
            // For a peer an unsettled agent is one without an owner: it asks
            // again after a pause.
            Self::Unsettled(why) => {
                let why = Bytes::copy_from_slice(why.as_bytes());
                port.refused(AnswerStatus::NotOwner, None, why);
            }
            refusal @ Self::Broken(..) => port.failed(&refusal.into_error()),
        }
    }
}

/// How a delivery on this node ended.
pub(crate) enum Outcome<A: Agent> {
    /// The agent answered, or its message failed.
    Done(Result<Answered<A::Reply>, Error>),
    /// A cast was taken.
    Accepted,
    /// It was not executed; here is the message back.
    Returned {
        message: A::Message,
        refusal: Refusal,
    },
    /// It may have been executed: a try under the same request id will tell. Here is
    /// the message back.
    Unresolved { message: A::Message, error: Error },
}

/// Who waits for the outcome.
pub(crate) enum ReplyTo<A: Agent> {
    /// A caller on this node.
    Caller(oneshot::Sender<Outcome<A>>),
    /// A caller on another node. Boxed, as the next, so that a message of this node
    /// stays small.
    Peer(Box<AnswerPort>),
    /// Nobody: a message that is refused is sent on by the router.
    Nobody(Box<Sender<A>>),
}

/// Who sends a message on that nobody waits for.
pub(crate) struct Sender<A: Agent> {
    pub(crate) router: Arc<Router<A>>,
    pub(crate) key: AgentKey,
}

/// A message to an agent. However it ends, also when it is dropped anywhere on
/// its way, whoever waits for it is told, and rightly whether it was executed.
pub(crate) struct Delivery<A: Agent> {
    message: Option<A::Message>,
    cast: bool,
    request: Option<RequestTry>,
    /// As `Deadlines::now` has it.
    deadline: Duration,
    reply: Option<ReplyTo<A>>,
    trace: Trace,
}

impl<A: Agent> Delivery<A> {
    pub(crate) fn new(
        message: A::Message,
        cast: bool,
        request: Option<RequestTry>,
        deadline: Duration,
        reply: ReplyTo<A>,
        trace: Trace,
    ) -> Self {
        Self {
            message: Some(message),
            cast,
            request,
            deadline,
            reply: Some(reply),
            trace,
        }
    }

    /// By what its call is followed.
    pub(crate) fn trace(&self) -> &Trace {
        &self.trace
    }

    /// From here on it is followed by its turn.
    pub(crate) fn follow(&mut self, turn: Trace) {
        self.trace = turn;
    }

    pub(crate) fn request(&self) -> Option<RequestTry> {
        self.request
    }

    /// Whether another node sends it. Then a further try of its request may have been
    /// faster: a session that its sender has given up may still deliver.
    pub(crate) fn is_remote(&self) -> bool {
        matches!(self.reply, Some(ReplyTo::Peer(_)))
    }

    /// The message as it travels, where whoever sent it has no copy to send again.
    pub(crate) fn copy(&self) -> Option<Bytes> {
        match (&self.reply, &self.message) {
            (Some(ReplyTo::Caller(_)), Some(message)) if !self.cast => encode_payload(message).ok(),
            _ => None,
        }
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Takes the message, to handle it now.
    pub(crate) fn begin(&mut self) -> Option<A::Message> {
        match &mut self.reply {
            Some(ReplyTo::Peer(port)) if !self.cast => port.begin(),
            _ if self.cast => self.accept(),
            _ => {}
        }
        self.message.take()
    }

    /// Tells the sender of a cast that it was taken.
    fn accept(&mut self) {
        match self.reply.take() {
            Some(ReplyTo::Caller(caller)) => {
                let _ = caller.send(Outcome::Accepted);
            }
            Some(ReplyTo::Peer(port)) => port.ok(Epoch::ZERO, Revision::ZERO, &Bytes::new()),
            Some(ReplyTo::Nobody(_)) | None => {}
        }
    }

    /// Answers with the agent's reply or its failure.
    pub(crate) fn finish(mut self, result: Result<Answered<A::Reply>, Error>) {
        self.message = None;
        match self.reply.take() {
            // A caller that has stopped waiting is told nothing.
            Some(ReplyTo::Caller(caller)) => drop(caller.send(Outcome::Done(result))),
            Some(ReplyTo::Peer(port)) => match result {
                Ok(reply) => port.ok(reply.epoch, reply.revision, &Value(&reply.value)),
                Err(error) => port.failed(&error),
            },
            Some(ReplyTo::Nobody(sender)) => {
                if let Some(error) = result.err().filter(|e| e.executed() == Executed::No) {
                    sender.router.not_delivered(&sender.key, &error);
                }
            }
            None => {}
        }
    }

    /// Gives the message back, not executed.
    pub(crate) fn refuse(mut self, refusal: Refusal) {
        self.give_back(refusal);
    }

    /// What the message did was undone: gives it back, so that it is sent again. `copy`
    /// is what [`copy`](Delivery::copy) gave.
    pub(crate) fn undone(mut self, refusal: Refusal, copy: Option<&Bytes>) {
        match self.reply.take() {
            Some(ReplyTo::Peer(port)) => refusal.answer(*port),
            Some(ReplyTo::Caller(caller)) => {
                let outcome = match copy.map(|bytes| decode_payload(bytes)) {
                    Some(Ok(message)) => Outcome::Returned { message, refusal },
                    Some(Err(_)) | None => Outcome::Done(Err(refusal.into_error())),
                };
                let _ = caller.send(outcome);
            }
            Some(ReplyTo::Nobody(_)) | None => {}
        }
    }

    /// Nobody can tell whether what the message did took effect: says so, and gives
    /// the message back.
    pub(crate) fn unresolved(mut self, error: Error, copy: Option<&Bytes>) {
        match self.reply.take() {
            Some(ReplyTo::Peer(port)) => port.failed(&error),
            Some(ReplyTo::Caller(caller)) => {
                let outcome = match copy.map(|bytes| decode_payload(bytes)) {
                    Some(Ok(message)) => Outcome::Unresolved { message, error },
                    Some(Err(_)) | None => Outcome::Done(Err(error)),
                };
                let _ = caller.send(outcome);
            }
            Some(ReplyTo::Nobody(_)) | None => {}
        }
    }

    /// Answers with the reply that an earlier try of the request got, encoded.
    pub(crate) fn repeat(mut self, epoch: Epoch, revision: Revision, reply: Bytes) {
        self.message = None;
        if self.cast {
            return self.accept();
        }
        match self.reply.take() {
            Some(ReplyTo::Peer(port)) => port.ok(epoch, revision, &reply),
            Some(ReplyTo::Caller(caller)) => {
                let answered = decode_payload(&reply).map(|value| Answered {
                    value,
                    epoch,
                    revision,
                });
                let result = answered.map_err(|error| {
                    Error::new(ErrorKind::Incompatible, error.to_string())
                        .caused_by(error)
                        .with_executed(Executed::Yes)
                });
                let _ = caller.send(Outcome::Done(result));
            }
            Some(ReplyTo::Nobody(_)) | None => {}
        }
    }

    fn give_back(&mut self, refusal: Refusal) {
        let Some(reply) = self.reply.take() else {
            return;
        };
        match (reply, self.message.take()) {
            (ReplyTo::Caller(caller), Some(message)) => {
                let _ = caller.send(Outcome::Returned { message, refusal });
            }
            (ReplyTo::Peer(port), Some(_)) => refusal.answer(*port),
            (ReplyTo::Nobody(sender), Some(message)) => {
                let Sender { router, key } = *sender;
                // Others that came later may have found room.
                if matches!(refusal, Refusal::Overloaded) {
                    return router.not_delivered(&key, &refusal.into_error());
                }
                tracing::trace!(%key, ?refusal, "a message is sent on");
                let trace = std::mem::take(&mut self.trace);
                router.send_on(&key, self.request, self.deadline, message, trace);
            }
            // It was being handled when its activation went away.
            (ReplyTo::Caller(caller), None) => {
                let error = Error::new(
                    ErrorKind::Interrupted,
                    "the agent's activation ended while it handled the message",
                )
                .with_executed(Executed::Maybe);
                let _ = caller.send(Outcome::Done(Err(error)));
            }
            // The port answers for itself when it is dropped.
            (ReplyTo::Peer(port), None) => drop(port),
            (ReplyTo::Nobody(_), None) => {}
        }
    }
}

impl<A: Agent> Drop for Delivery<A> {
    fn drop(&mut self) {
        self.give_back(Refusal::Stopped);
    }
}

impl<A: Agent> fmt::Debug for Delivery<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("cast", &self.cast)
            .field("request", &self.request)
            .field("begun", &self.message.is_none())
            .finish_non_exhaustive()
    }
}
