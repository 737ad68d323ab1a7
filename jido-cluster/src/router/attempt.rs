//! One try of a request: at an activation here, or at another node.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use jido_core::{
    Agent, AgentKey, Answer, AnswerStatus, Epoch, Executed, NodeName, Operation, decode_payload,
};
use tokio::sync::oneshot;

use super::request::{Given, RequestOptions, Tries};
use super::{Router, Target};
use crate::delivery::{Answered, Delivery, Outcome, Refusal, ReplyTo};
use crate::error::{Error, ErrorKind};
use crate::exchange::{AskError, PendingAnswer, Question, Value};
use crate::local::Found;
use crate::telemetry::Retry;
use crate::transport::SendError;

/// A try that is under way.
pub(super) enum Attempt<A: Agent> {
    Here(oneshot::Receiver<Outcome<A>>),
    There {
        owner: Option<NodeName>,
        /// What was asked, should it have to be sent again.
        message: A::Message,
        answer: PendingAnswer,
    },
    /// Nothing was sent.
    Unsent {
        message: A::Message,
        why: Why,
    },
    /// It has ended, and was told how.
    Over,
}

/// How a try ended.
pub(super) enum Ended<A: Agent> {
    /// With what the caller is told; nothing for a cast.
    Settled(Result<Option<Given<A::Reply>>, Error>),
    /// Here is the message back, to be sent again.
    Back { message: A::Message, why: Why },
}

/// Why a message came back.
pub(super) enum Why {
    Refused(Refusal),
    Unreachable,
    /// The node that was to pass it on can't reach the other either: nothing was sent there.
    NotPassedOn,
    /// Nobody can tell whether it was executed.
    Unresolved(Error),
}

impl Why {
    /// As what a further try is counted that follows it.
    pub(super) fn retry(&self) -> Retry {
        match self {
            Self::Refused(refusal) => refusal.retry(),
            Self::Unreachable => Retry::Unreachable,
            Self::NotPassedOn => Retry::NotPassedOn,
            Self::Unresolved(_) => Retry::Unresolved,
        }
    }
}

impl<A: Agent> Router<A> {
    /// Makes one try. What is sent is on its way when this returns.
    pub(super) fn begin(
        &self,
        key: &str,
        message: A::Message,
        tries: &Tries,
    ) -> Result<(Target, Attempt<A>), Error> {
        let Tries {
            options,
            course,
            expires,
            ..
        } = tries;
        // The shortest way: an activation that runs here.
        let mut message = Some(message);
        let here = self.local.find(key, |local| {
            let message = message.take()?;
            let (delivery, outcome) = delivery(message, options, *expires);
            let limit = self.settings.mailbox_limit;
            Some((local.deliver(delivery, limit), outcome))
        });
        let is_parked = matches!(here, Found::Parked);
        if let Found::Running(delivered) = here {
            let (delivered, outcome) = delivered.ok_or_else(interrupted)?;
            if let Err(back) = delivered {
                self.deliver_here(&AgentKey::new(key)?, back);
            }
            return Ok((Target::Here, Attempt::Here(outcome)));
        }
        // It was taken only where an activation was found.
        let Some(message) = message else {
            return Err(interrupted());
        };
        let agent_key = AgentKey::new(key)?;
        let hash = self.key_hash(key);
        let target = match course.here() || is_parked {
            true => Target::Here,
            false => self.target(key, hash, course.verify()),
        };
        let attempt = match target {
            Target::Here => {
                let (delivery, outcome) = delivery(message, options, *expires);
                self.deliver_here(&agent_key, delivery);
                Attempt::Here(outcome)
            }
            Target::There { node, .. } => {
                let question = Question {
                    operation: if options.cast {
                        Operation::Cast
                    } else {
                        Operation::Call
                    },
                    key: Some(agent_key),
                    verify: course.verify(),
                    request: options.request,
                    trace: options.trace.context().cloned(),
                    budget: expires.saturating_sub(tries.begun_at),
                    lane: hash,
                    relay: course.relay(),
                    payload: Value(&message),
                };
                let owner = self
                    .core
                    .members
                    .view()
                    .get(node)
                    .map(|member| member.name.clone());
                match self.core.exchange.ask(node, &self.settings.name, question) {
                    Ok(answer) => Attempt::There {
                        owner,
                        message,
                        answer,
                    },
                    Err(AskError::Send(SendError::Unreachable)) => Attempt::Unsent {
                        message,
                        why: Why::Unreachable,
                    },
                    Err(error) => return Err(error.into()),
                }
            }
            Target::Nowhere => {
                let refusal = Refusal::unsettled("no node that stays runs the agent's manager");
                Attempt::Unsent {
                    message,
                    why: Why::Refused(refusal),
                }
            }
        };
        Ok((target, attempt))
    }
}

impl<A: Agent> Attempt<A> {
    /// Looks whether the try has ended. Not an `async fn`: what a caller's future holds is
    /// touched for each call, and so it holds the try and no copies of its parts.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended<A>> {
        let answer = match self {
            Self::Here(outcome) => {
                let outcome = ready!(Pin::new(outcome).poll(cx));
                *self = Self::Over;
                return Poll::Ready(read_outcome(outcome.ok()));
            }
            Self::There { answer, .. } => ready!(Pin::new(answer).poll(cx)),
            Self::Unsent { .. } | Self::Over => None,
        };
        Poll::Ready(match std::mem::replace(self, Self::Over) {
            Self::There { owner, message, .. } => match answer {
                Some(answer) => read_answer(answer, owner, message),
                None => Ended::Back {
                    message,
                    why: Why::Unresolved(interrupted()),
                },
            },
            Self::Unsent { message, why } => Ended::Back { message, why },
            // Nobody looks again once it was told.
            Self::Here(_) | Self::Over => Ended::Settled(Err(interrupted())),
        })
    }
}

/// What an activation of this node has told; none where it told nothing, since the runtime
/// is shutting down.
fn read_outcome<A: Agent>(outcome: Option<Outcome<A>>) -> Ended<A> {
    match outcome {
        Some(Outcome::Done(result)) => {
            Ended::Settled(result.map(|answered| Some((answered, None))))
        }
        Some(Outcome::Accepted) => Ended::Settled(Ok(None)),
        Some(Outcome::Returned { message, refusal }) => Ended::Back {
            message,
            why: Why::Refused(refusal),
        },
        Some(Outcome::Unresolved { message, error }) => Ended::Back {
            message,
            why: Why::Unresolved(error),
        },
        None => Ended::Settled(Err(interrupted())),
    }
}

fn delivery<A: Agent>(
    message: A::Message,
    options: &RequestOptions,
    expires: Duration,
) -> (Delivery<A>, oneshot::Receiver<Outcome<A>>) {
    let (caller, outcome) = oneshot::channel();
    let reply = ReplyTo::Caller(caller);
    let trace = options.trace.clone();
    (
        Delivery::new(
            message,
            options.cast,
            options.request,
            expires,
            reply,
            trace,
        ),
        outcome,
    )
}

/// What another node's answer means to the caller.
fn read_answer<A: Agent>(answer: Answer, owner: Option<NodeName>, message: A::Message) -> Ended<A> {
    let owner = owner.or_else(|| answer.by.clone());
    match answer.status {
        // Only a cast is answered without an activation's epoch.
        AnswerStatus::Ok if answer.epoch == Epoch::ZERO => Ended::Settled(Ok(None)),
        AnswerStatus::Ok => Ended::Settled(match (decode_payload(&answer.payload), owner) {
            (Ok(value), Some(owner)) => {
                let answered = Answered {
                    value,
                    epoch: answer.epoch,
                    revision: answer.revision,
                };
                Ok(Some((answered, Some(owner))))
            }
            (Err(error), _) => Err(Error::new(ErrorKind::Incompatible, error.to_string())
                .caused_by(error)
                .with_executed(Executed::Yes)),
            (Ok(_), None) => Err(interrupted()),
        }),
        AnswerStatus::Unreachable => Ended::Back {
            message,
            why: Why::NotPassedOn,
        },
        AnswerStatus::Stopped if answer.executed != Executed::No => Ended::Back {
            message,
            why: Why::Unresolved(interrupted()),
        },
        _ => match Refusal::from_answer(&answer) {
            Ok(refusal) => Ended::Back {
                message,
                why: Why::Refused(refusal),
            },
            Err(error)
                if error.executed() == Executed::Maybe
                    && matches!(
                        error.kind(),
                        ErrorKind::Unavailable | ErrorKind::Interrupted
                    ) =>
            {
                let why = Why::Unresolved(error);
                Ended::Back { message, why }
            }
            Err(error) => Ended::Settled(Err(error)),
        },
    }
}

/// The session ended before an answer came.
pub(super) fn interrupted() -> Error {
    Error::new(
        ErrorKind::Interrupted,
        "the session with the agent's node ended before the answer came",
    )
    .with_executed(Executed::Maybe)
}
