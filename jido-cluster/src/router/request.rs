//! One request, from its first try to its answer.

use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use jido_core::{
    Agent, AgentKey, Answer, AnswerStatus, Epoch, Executed, NodeName, Operation, RequestId,
    decode_payload, encode_payload,
};
use tokio::sync::oneshot;

use super::course::{Course, Learned, Next};
use super::{Router, Target};
use crate::deadlines::Deadline;
use crate::delivery::{Answered, Delivery, Outcome, Refusal, ReplyTo, Sender};
use crate::error::{Error, ErrorKind};
use crate::exchange::{AskError, PendingAnswer, Question};
use crate::runtime;
use crate::transport::SendError;

/// What a caller says about a request besides its message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestOptions {
    pub(crate) cast: bool,
    pub(crate) request: Option<RequestId>,
    pub(crate) timeout: Duration,
}

/// A message, as it was given or as it travels. It is encoded when it first
/// leaves the node, and decoded should it come back to an agent here.
pub(super) enum Message<A: Agent> {
    Typed(A::Message),
    Encoded(Bytes),
}

impl<A: Agent> Message<A> {
    fn typed(self) -> Result<A::Message, Error> {
        match self {
            Self::Typed(message) => Ok(message),
            Self::Encoded(bytes) => Ok(decode_payload(&bytes)?),
        }
    }

    fn encoded(self) -> Result<Bytes, Error> {
        match self {
            Self::Typed(message) => Ok(encode_payload(&message)?),
            Self::Encoded(bytes) => Ok(bytes),
        }
    }
}

/// An answer, and the node that gave it; none for this one.
pub(crate) type Given<R> = (Answered<R>, Option<NodeName>);

/// A try that is under way.
enum Attempt<A: Agent> {
    Here(oneshot::Receiver<Outcome<A>>),
    There {
        owner: Option<NodeName>,
        message: Bytes,
        answer: PendingAnswer,
    },
    /// Nothing was sent.
    Refused {
        message: Message<A>,
        refusal: Refusal,
    },
    Unreachable {
        message: Message<A>,
    },
}

/// How a try ended.
enum Ended<A: Agent> {
    /// With what the caller is told; nothing for a cast.
    Settled(Result<Option<Given<A::Reply>>, Error>),
    Refused {
        message: Message<A>,
        refusal: Refusal,
    },
    Unreachable {
        message: Message<A>,
    },
}

impl<A: Agent> Router<A> {
    /// Sends a message to an agent and waits for its reply; for a cast, until the
    /// agent has taken it.
    pub(crate) async fn request(
        &self,
        key: &str,
        message: A::Message,
        options: RequestOptions,
    ) -> Result<Option<Given<A::Reply>>, Error> {
        let expires = self.core.environment.elapsed() + options.timeout;
        let mut time_out = pin!(self.core.deadlines.after(options.timeout));
        let mut course = Course::default();
        let mut message = Message::Typed(message);
        loop {
            let (target, attempt) = self.begin(key, message, options, expires, &course)?;
            let ended = tokio::select! {
                biased;
                ended = self.end(attempt) => ended,
                () = &mut time_out => return Err(timed_out(options.timeout, Executed::Maybe)),
            };
            let (next, refusal) = match ended {
                Ended::Settled(result) => return result,
                Ended::Refused {
                    message: back,
                    refusal,
                } => {
                    message = back;
                    (
                        self.learn(key, target, &refusal, &mut course)?,
                        Some(refusal),
                    )
                }
                Ended::Unreachable { message: back } => {
                    message = back;
                    self.forget_owner(key);
                    (course.unreachable(), None)
                }
            };
            self.pause(next, refusal, options.timeout, time_out.as_mut())
                .await?;
        }
    }

    /// Waits before the next try, or tells the caller why there is none.
    pub(super) async fn pause(
        &self,
        next: Next,
        refusal: Option<Refusal>,
        timeout: Duration,
        time_out: Pin<&mut Deadline<'_>>,
    ) -> Result<(), Error> {
        let why = || match refusal {
            Some(refusal) => refusal.into_error(),
            None => Error::new(ErrorKind::Unavailable, "the agent's node is out of reach"),
        };
        let Next::Retry { pause } = next else {
            return Err(why());
        };
        if pause.is_zero() {
            // Others go on meanwhile, should the tries chase each other.
            tokio::task::yield_now().await;
            return Ok(());
        }
        let pause = pause / 2 + self.core.environment.jitter(pause / 2);
        tokio::select! {
            biased;
            () = time_out => Err(timed_out(timeout, Executed::No).caused_by(why())),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }

    /// Sends a message on that nobody waits for, after it was refused somewhere.
    pub(crate) fn send_on(
        &self,
        key: &AgentKey,
        request: Option<RequestId>,
        deadline: Duration,
        message: A::Message,
    ) {
        let Some(router) = self.me.upgrade() else {
            return;
        };
        let timeout = deadline.saturating_sub(self.core.environment.elapsed());
        let key = key.clone();
        runtime::spawn(async move {
            let options = RequestOptions {
                cast: true,
                request,
                timeout,
            };
            if let Err(error) = Box::pin(router.request(key.as_str(), message, options)).await {
                tracing::warn!(%key, %error, "a message that nobody waits for was not delivered");
            }
        });
    }

    /// Sends a message that nobody waits for. When this returns, it is on its way
    /// in order with what the same sender sent before, as long as the agent stays
    /// where it is.
    pub(crate) fn send(&self, key: &AgentKey, message: A::Message, options: RequestOptions) {
        let Some(router) = self.me.upgrade() else {
            return;
        };
        let hash = self.key_hash(key.as_str());
        let deadline = self.core.environment.elapsed() + options.timeout;
        let here = self.local.contains(key.as_str())
            || self.target(key.as_str(), hash, false) == Target::Here;
        if here {
            let reply = ReplyTo::Nobody(Box::new(Sender {
                router,
                key: key.clone(),
            }));
            let delivery = Delivery::new(message, true, options.request, deadline, reply);
            self.deliver_here(key, delivery);
        } else {
            self.send_on(key, options.request, deadline, message);
        }
    }

    /// Makes one try. What is sent is on its way when this returns.
    fn begin(
        &self,
        key: &str,
        message: Message<A>,
        options: RequestOptions,
        expires: Duration,
        course: &Course,
    ) -> Result<(Target, Attempt<A>), Error> {
        // The shortest way: an activation that runs here.
        let mut message = Some(message);
        let here = self.local.with(key, |local| {
            let typed = message
                .take()
                .map_or_else(|| Err(interrupted()), Message::typed)?;
            let (delivery, outcome) = delivery(typed, options, expires);
            let limit = self.settings.mailbox_limit;
            Ok::<_, Error>((local.deliver(delivery, limit), outcome))
        });
        if let Some(delivered) = here {
            let (delivered, outcome) = delivered?;
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
        let target = match course.here() {
            true => Target::Here,
            false => self.target(key, hash, course.verify()),
        };
        let attempt = match target {
            Target::Here => {
                let (delivery, outcome) = delivery(message.typed()?, options, expires);
                self.deliver_here(&agent_key, delivery);
                Attempt::Here(outcome)
            }
            Target::There { node, .. } => {
                let message = message.encoded()?;
                let question = Question {
                    operation: if options.cast {
                        Operation::Cast
                    } else {
                        Operation::Call
                    },
                    key: Some(agent_key),
                    verify: course.verify(),
                    request: options.request,
                    budget: expires.saturating_sub(self.core.environment.elapsed()),
                    lane: hash,
                    payload: message.clone(),
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
                    Err(AskError::Overloaded) => {
                        return Err(Refusal::Overloaded.into_error());
                    }
                    Err(AskError::Send(SendError::Unreachable)) => Attempt::Unreachable {
                        message: Message::Encoded(message),
                    },
                    Err(AskError::Send(error)) => {
                        return Err(Error::new(ErrorKind::InvalidInput, error.to_string()));
                    }
                }
            }
            Target::Nowhere => Attempt::Refused {
                message,
                refusal: Refusal::unsettled("no node that stays runs the agent's manager"),
            },
        };
        Ok((target, attempt))
    }

    /// Waits for the end of a try.
    async fn end(&self, attempt: Attempt<A>) -> Ended<A> {
        match attempt {
            Attempt::Here(outcome) => match outcome.await {
                Ok(Outcome::Done(result)) => {
                    Ended::Settled(result.map(|answered| Some((answered, None))))
                }
                Ok(Outcome::Accepted) => Ended::Settled(Ok(None)),
                Ok(Outcome::Returned { message, refusal }) => Ended::Refused {
                    message: Message::Typed(message),
                    refusal,
                },
                // A delivery always tells its caller; the runtime is shutting down.
                Err(_) => Ended::Settled(Err(interrupted())),
            },
            Attempt::There {
                owner,
                message,
                answer,
            } => match answer.wait().await {
                Some(answer) => read_answer(answer, owner, message),
                None => Ended::Settled(Err(interrupted())),
            },
            Attempt::Refused { message, refusal } => Ended::Refused { message, refusal },
            Attempt::Unreachable { message } => Ended::Unreachable { message },
        }
    }

    /// Takes in what a refusal says about the key's owner.
    pub(super) fn learn(
        &self,
        key: &str,
        target: Target,
        refusal: &Refusal,
        course: &mut Course,
    ) -> Result<Next, Error> {
        let hint = match refusal {
            Refusal::NotOwner { hint } => *hint,
            _ => None,
        };
        let (next, learned) = course.refused(target, refusal, hint == Some(self.core.incarnation));
        match (learned, hint) {
            (Learned::Forget, _) => self.forget_owner(key),
            (Learned::Remember, Some(owner)) => self.remember_owner(&AgentKey::new(key)?, owner),
            (Learned::Remember | Learned::Nothing, _) => {}
        }
        Ok(next)
    }
}

fn delivery<A: Agent>(
    message: A::Message,
    options: RequestOptions,
    expires: Duration,
) -> (Delivery<A>, oneshot::Receiver<Outcome<A>>) {
    let (caller, outcome) = oneshot::channel();
    let reply = ReplyTo::Caller(caller);
    (
        Delivery::new(message, options.cast, options.request, expires, reply),
        outcome,
    )
}

/// What another node's answer means to the caller.
fn read_answer<A: Agent>(answer: Answer, owner: Option<NodeName>, message: Bytes) -> Ended<A> {
    let message = Message::Encoded(message);
    let why = || String::from_utf8_lossy(&answer.payload).into_owned();
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
        AnswerStatus::Failed => {
            Ended::Settled(Err(
                Error::new(ErrorKind::from_code(answer.code), why()).with_executed(answer.executed)
            ))
        }
        AnswerStatus::Incompatible => {
            Ended::Settled(Err(Error::new(ErrorKind::Incompatible, why())))
        }
        AnswerStatus::Stopped if answer.executed != Executed::No => {
            Ended::Settled(Err(interrupted()))
        }
        AnswerStatus::Stopped => Ended::Refused {
            message,
            refusal: Refusal::Stopped,
        },
        AnswerStatus::Overloaded => Ended::Refused {
            message,
            refusal: Refusal::Overloaded,
        },
        AnswerStatus::NotOwner if answer.payload.is_empty() => Ended::Refused {
            message,
            refusal: Refusal::NotOwner { hint: answer.hint },
        },
        AnswerStatus::NotOwner => Ended::Refused {
            message,
            refusal: Refusal::unsettled(why()),
        },
    }
}

fn interrupted() -> Error {
    Error::new(
        ErrorKind::Interrupted,
        "the session with the agent's node ended before the answer came",
    )
    .with_executed(Executed::Maybe)
}

pub(super) fn timed_out(timeout: Duration, executed: Executed) -> Error {
    Error::new(
        ErrorKind::Timeout,
        format!("no answer within {} ms", timeout.as_millis()),
    )
    .with_executed(executed)
}
