//! Activating, stopping and deleting agents, wherever they are.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use jido_core::{Agent, AgentKey, Answer, AnswerStatus, Executed, Incarnation, Operation};
use tokio::sync::oneshot;

use super::attempt::interrupted;
use super::course::Course;
use super::request::{Wait, in_time, timed_out};
use super::{Router, Target};
use crate::activation::{ActivationMessage, Errand};
use crate::delivery::Refusal;
use crate::error::Error;
use crate::exchange::{AskError, Question};
use crate::telemetry::{Trace, UNTRACED};
use crate::transport::SendError;

/// How a try of an errand ended.
pub(super) enum Tried {
    Done,
    Refused(Refusal),
    /// The node was out of reach: nothing was sent.
    Unreachable,
    /// The session with the node ended before it answered.
    Interrupted,
    /// The node that was to pass it on can't reach the other either.
    NotPassedOn,
}

impl Tried {
    /// Whether the node that was asked has the agent; an error where it did not tell.
    pub(super) fn told(self, out_of_reach: impl FnOnce() -> Error) -> Result<bool, Error> {
        match self {
            Self::Done => Ok(true),
            Self::Refused(Refusal::NotOwner { .. }) => Ok(false),
            Self::Refused(refusal) => Err(refusal.into_error()),
            Self::Unreachable | Self::Interrupted | Self::NotPassedOn => Err(out_of_reach()),
        }
    }

    /// Whether the errand may have been done all the same. That of a refusal is certain but for a
    /// deletion, of which storage may not have told what became of it.
    fn may_be_done(&self, errand: Errand) -> bool {
        match self {
            Self::Interrupted => true,
            Self::Refused(Refusal::Unsettled(_) | Refusal::Stopped) => errand == Errand::Delete,
            Self::Refused(_) => false,
            Self::Done | Self::Unreachable | Self::NotPassedOn => false,
        }
    }
}

/// An errand, whose agent's it is, and what it is followed by.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    key: &'a AgentKey,
    errand: Errand,
    trace: &'a Trace,
}

impl<A: Agent> Router<A> {
    /// Runs an errand where the agent is or ought to be, starting it there. Answers
    /// where that was.
    pub(crate) async fn run(
        &self,
        key: &AgentKey,
        errand: Errand,
        timeout: Duration,
    ) -> Result<Target, Error> {
        let trace = Trace::call(self.whose(key.as_str()), errand.label(), None);
        let wanted = Wanted {
            key,
            errand,
            trace: &trace,
        };
        trace.calling(self.try_until(wanted, timeout)).await
    }

    /// Tries an errand at one node after the other until it is done or the time is up.
    async fn try_until(&self, wanted: Wanted<'_>, timeout: Duration) -> Result<Target, Error> {
        let key = wanted.key;
        let expires = self.core.deadlines.now() + timeout;
        let mut time_out = pin!(self.core.deadlines.at(expires));
        let mut course = Course::default();
        // What is certain of the tries so far.
        let mut executed = Executed::No;
        loop {
            let router = self.current();
            let here = course.here() || router.local.contains(key.as_str());
            let target = match here {
                true => Target::Here,
                false => router.target(key.as_str(), self.key_hash(key.as_str()), course.verify()),
            };
            let begun_at = self.core.deadlines.now();
            let budget = expires.saturating_sub(begun_at);
            let tried = router.try_errand(wanted, target, &course, budget);
            let ended = tokio::select! {
                biased;
                ended = tried => ended.map_err(|error| error.at_least(executed))?,
                () = &mut time_out => return Err(timed_out(timeout, Executed::Maybe)),
            };
            if target != Target::Nowhere && ended.may_be_done(wanted.errand) {
                executed = Executed::Maybe;
            }
            let (next, refusal) = match ended {
                Tried::Done => return Ok(target),
                Tried::Refused(refusal) => (
                    router.learn(key.as_str(), target, &refusal, &mut course)?,
                    Some(refusal),
                ),
                Tried::Unreachable | Tried::Interrupted => {
                    router.forget_owner(key.as_str());
                    (course.unreachable(), None)
                }
                Tried::NotPassedOn => (router.not_passed_on(key.as_str(), &mut course), None),
            };
            let wait = Wait {
                next,
                refusal,
                timeout,
                begun_at,
                expires,
            };
            let paused = self.pause(wait, time_out.as_mut()).await;
            paused.map_err(|error| error.at_least(executed))?;
        }
    }

    /// One try.
    async fn try_errand(
        &self,
        wanted: Wanted<'_>,
        target: Target,
        course: &Course,
        budget: Duration,
    ) -> Result<Tried, Error> {
        let Wanted { key, errand, trace } = wanted;
        match target {
            Target::Here => Ok(match self.run_here(key, errand, trace).await {
                Ok(()) => Tried::Done,
                Err(refusal) => Tried::Refused(refusal),
            }),
            Target::Nowhere => Ok(Tried::Refused(Refusal::unsettled(
                "no node that stays runs the agent's manager",
            ))),
            Target::There { node, .. } => {
                let operation = match errand {
                    Errand::Activate => Operation::Activate,
                    Errand::Attach => Operation::Attach,
                    Errand::Delete => Operation::Delete,
                    Errand::Hibernate
                    | Errand::Passivate(_)
                    | Errand::Park(_)
                    | Errand::Abandon => Operation::Stop,
                    Errand::Settle => Operation::Settle,
                };
                let question = Question {
                    relay: course.relay(),
                    trace: trace.context().cloned(),
                    ..self.question(key, operation, course.verify(), budget)
                };
                let asked = match self.core.exchange.ask(node, &self.settings.name, question) {
                    Ok(asked) => asked,
                    Err(AskError::Send(SendError::Unreachable)) => return Ok(Tried::Unreachable),
                    Err(AskError::Overloaded) => return Ok(Tried::Refused(Refusal::Overloaded)),
                    Err(error) => return Err(error.into()),
                };
                // An errand may be run twice, so that one whose session ended is
                // simply tried again.
                match asked.await {
                    Some(answer) => errand_answer(&answer),
                    None => Ok(Tried::Interrupted),
                }
            }
        }
    }

    /// What is asked about an agent, besides its messages.
    pub(super) fn question(
        &self,
        key: &AgentKey,
        operation: Operation,
        verify: bool,
        budget: Duration,
    ) -> Question {
        let payload = match operation {
            Operation::Attach => self.attach_payload(),
            _ => Bytes::new(),
        };
        Question {
            operation,
            key: Some(key.clone()),
            verify,
            request: None,
            trace: None,
            budget,
            lane: self.key_hash(key.as_str()),
            relay: 0,
            payload,
        }
    }

    /// Asks a node, by way of others if need be; none when a session ended before the answer
    /// came.
    pub(super) async fn reach(
        &self,
        node: Incarnation,
        question: &Question,
    ) -> Result<Option<Answer>, AskError> {
        let relays = self.core.members.view().relays().max(1);
        for relay in 0..relays {
            let question = Question {
                relay,
                ..question.clone()
            };
            let asked = self
                .core
                .exchange
                .ask(node, &self.settings.name, question)?;
            match asked.await {
                Some(answer) if answer.status == AnswerStatus::Unreachable => {}
                answer => return Ok(answer),
            }
        }
        Err(AskError::Send(SendError::Unreachable))
    }

    /// Runs an errand on this node.
    pub(super) async fn run_here(
        &self,
        key: &AgentKey,
        errand: Errand,
        trace: &Trace,
    ) -> Result<(), Refusal> {
        loop {
            match errand {
                Errand::Abandon => {
                    {
                        // Kept from going on in between.
                        let _starting = self.starting.lock();
                        self.local.remove_parked(key.as_str(), None);
                    }
                    if !self.local.contains(key.as_str()) {
                        return Ok(());
                    }
                }
                Errand::Park(_) if !self.local.runs(key.as_str()) => return Ok(()),
                Errand::Hibernate | Errand::Passivate(_) if !self.local.contains(key.as_str()) => {
                    return Ok(());
                }
                _ => self.ensure_started(key, trace)?,
            }
            let (done, outcome) = oneshot::channel();
            if self
                .local
                .tell(key.as_str(), ActivationMessage::Errand(errand, done))
            {
                // An activation that ended before it came to the errand dropped it.
                let outcome = outcome.await.unwrap_or(Err(Refusal::Stopped));
                // One that was parked meanwhile is here all the same.
                let parked = self.local.parked(key.as_str()).is_some();
                if !(parked && matches!(outcome, Err(Refusal::Stopped))) {
                    return outcome;
                }
                continue;
            }
            self.local.remove_ended(key.as_str());
        }
    }

    /// Hibernates an agent wherever it runs; false if it runs nowhere.
    pub(crate) async fn stop(&self, key: &AgentKey, timeout: Duration) -> Result<bool, Error> {
        let trace = Trace::call(self.whose(key.as_str()), Errand::Hibernate.label(), None);
        let stopped = self.stop_anywhere(key, timeout, &trace);
        trace.calling(stopped).await
    }

    async fn stop_anywhere(
        &self,
        key: &AgentKey,
        timeout: Duration,
        trace: &Trace,
    ) -> Result<bool, Error> {
        if self.local.contains(key.as_str()) {
            // It hibernates all the same, once what it is at is done.
            return in_time(timeout, Executed::Maybe, self.stop_here(key, trace)).await;
        }
        let expires = self.core.deadlines.now() + timeout;
        let Some(node) = self.locate(key, timeout).await? else {
            return Ok(false);
        };
        let timeout = expires.saturating_sub(self.core.deadlines.now());
        let question = Question {
            trace: trace.context().cloned(),
            ..self.question(key, Operation::Stop, false, timeout)
        };
        let out_of_reach = || Refusal::unsettled("the agent's node is out of reach").into_error();
        let asked = async {
            self.reach(node, &question)
                .await
                .map_err(|_| out_of_reach())
        };
        let Some(answer) = in_time(timeout, Executed::Maybe, asked).await? else {
            return Err(interrupted());
        };
        errand_answer(&answer)?.told(out_of_reach)
    }

    async fn stop_here(&self, key: &AgentKey, trace: &Trace) -> Result<bool, Error> {
        match self.run_here(key, Errand::Hibernate, trace).await {
            // One that was refused is not running either.
            Ok(()) | Err(Refusal::NotOwner { .. } | Refusal::Stopped) => Ok(true),
            Err(refusal) => Err(refusal.into_error()),
        }
    }

    /// Ends every activation on this node without a word to storage: the node may
    /// not own agents any more. All are told before the first is waited for, so that one
    /// that is busy keeps none of the others.
    pub(crate) async fn abandon(&self) {
        self.close();
        let keys = self.local.keys();
        let ends = keys.iter().map(async |key| {
            if let Err(refusal) = self.run_here(key, Errand::Abandon, &UNTRACED).await {
                tracing::debug!(%key, ?refusal, "an activation had ended already");
            }
        });
        join_all(ends).await;
    }
}

/// What another node's answer to an errand means.
pub(super) fn errand_answer(answer: &Answer) -> Result<Tried, Error> {
    match answer.status {
        AnswerStatus::Ok => Ok(Tried::Done),
        AnswerStatus::Unreachable => Ok(Tried::NotPassedOn),
        _ => Refusal::from_answer(answer).map(Tried::Refused),
    }
}
