//! One request, from its first try to its answer.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use jido_core::{Agent, AgentKey, Executed, NodeName, RequestTry};

use super::attempt::{Ended, Why};
use super::course::{self, Course, Hinted, Learned, Next};
use super::{Router, Target};
use crate::deadlines::Deadline;
use crate::delivery::{Answered, Refusal};
use crate::error::{Error, ErrorKind};
use crate::telemetry::Trace;

/// What a caller says about a request besides its message.
#[derive(Debug, Clone)]
pub(crate) struct RequestOptions {
    pub(crate) cast: bool,
    pub(crate) request: Option<RequestTry>,
    pub(crate) timeout: Duration,
    pub(crate) trace: Trace,
}

/// What stands between one try and the next.
pub(super) struct Wait {
    pub(super) next: Next,
    /// Why the last try was refused.
    pub(super) refusal: Option<Refusal>,
    /// The caller's time, of which errors tell.
    pub(super) timeout: Duration,
    /// When the last try was begun.
    pub(super) begun_at: Duration,
    pub(super) expires: Duration,
}

/// An answer, and the node that gave it; none for this one.
pub(crate) type Given<R> = (Answered<R>, Option<NodeName>);

/// A request that is under way.
pub(super) struct Tries {
    pub(super) options: RequestOptions,
    pub(super) course: Course,
    /// What is certain of the tries before this one.
    executed: Executed,
    /// When the last one was begun.
    pub(super) begun_at: Duration,
    pub(super) expires: Duration,
}

impl Tries {
    /// What the caller is told of the last try's failure.
    fn failed(&self, error: Error) -> Error {
        let first = self.options.request.is_some_and(|request| request.first);
        match (error.kind(), error.executed()) {
            // No try but this one was made, and this one was refused.
            (ErrorKind::Expired, _) if first => error.with_executed(Executed::No),
            // One before it may still be carried out.
            _ => error.at_least(self.executed),
        }
    }
}

impl<A: Agent> Router<A> {
    /// Sends a message to an agent and waits for its reply; for a cast, until the
    /// agent has taken it. Within its time it is tried again as often as that is safe:
    /// when it is certain that no try was executed, and, where requests are
    /// remembered, also when it is not.
    ///
    /// Not an `async fn`, so that its future holds the message once.
    pub(crate) fn request<'a>(
        &'a self,
        key: &'a str,
        mut message: A::Message,
        options: RequestOptions,
    ) -> impl Future<Output = Result<Option<Given<A::Reply>>, Error>> + Send + 'a {
        let begun_at = self.core.deadlines.now();
        let expires = begun_at + options.timeout;
        let mut tries = Tries {
            options,
            course: Course::default(),
            executed: Executed::No,
            begun_at,
            expires,
        };
        async move {
            let mut time_out = self.core.deadlines.at(tries.expires);
            let result = loop {
                // The node may have begun another life since the last try.
                let router = self.current();
                let (target, mut attempt) = match router.begin(key, message, &tries) {
                    Ok(begun) => begun,
                    Err(error) => break Err(error.with_executed(tries.executed)),
                };
                let ended = tokio::select! {
                    biased;
                    ended = poll_fn(|cx| attempt.poll(cx)) => ended,
                    () = &mut time_out => break Err(timed_out(tries.options.timeout, Executed::Maybe)),
                };
                message = match ended {
                    Ended::Settled(result) => break result.map_err(|error| tries.failed(error)),
                    Ended::Back { message, why } => {
                        // Apart, so that calls whose first try is answered don't carry it.
                        let paused =
                            router.between_tries(key, target, why, &mut tries, &mut time_out);
                        match Box::pin(paused).await {
                            Ok(()) => message,
                            Err(error) => break Err(error),
                        }
                    }
                };
            };
            self.tell(&tries.options, begun_at, result.as_ref().err());
            result
        }
    }

    /// Tells how a request ended that began at this time.
    fn tell(&self, options: &RequestOptions, began: Duration, error: Option<&Error>) {
        let error = error.map(Error::kind);
        let since = self.core.since(began);
        self.settings.metrics.called(options.cast, error, since);
        options.trace.call_ended(error);
    }

    /// Takes in what a try has told of the agent's owner, and waits until the next one
    /// may be made, or tells the caller why there is none.
    async fn between_tries(
        &self,
        key: &str,
        target: Target,
        why: Why,
        tries: &mut Tries,
        time_out: &mut Deadline<'_>,
    ) -> Result<(), Error> {
        let retry = why.retry();
        let (next, refusal) = match why {
            Why::Refused(refusal) => {
                let next = self.learn(key, target, &refusal, &mut tries.course)?;
                (next, Some(refusal))
            }
            Why::Unreachable => {
                self.forget_owner(key);
                (tries.course.unreachable(), None)
            }
            Why::NotPassedOn => (self.not_passed_on(key, &mut tries.course), None),
            Why::Unresolved(error) => {
                let Some(request) = self.remembered(&mut tries.options) else {
                    return Err(error);
                };
                tracing::debug!(%key, request = %request.id, %error, "tried again");
                request.first = false;
                tries.executed = Executed::Maybe;
                self.forget_owner(key);
                let refusal = Refusal::unsettled(error.to_string());
                (tries.course.unreachable(), Some(refusal))
            }
        };
        let wait = Wait {
            next,
            refusal,
            timeout: tries.options.timeout,
            begun_at: tries.begun_at,
            expires: tries.expires,
        };
        self.pause(wait, Pin::new(time_out))
            .await
            .map_err(|error| error.with_executed(tries.executed))?;
        self.settings.metrics.retried(retry);
        tries.begun_at = self.core.deadlines.now();
        Ok(())
    }

    /// The request, if its agent remembers which requests it has applied.
    fn remembered<'a>(&self, options: &'a mut RequestOptions) -> Option<&'a mut RequestTry> {
        let request = options.request.as_mut();
        request.filter(|_| self.settings.requests.is_some())
    }

    /// Waits before the next try, or tells the caller why there is none.
    pub(super) async fn pause(
        &self,
        wait: Wait,
        time_out: Pin<&mut Deadline<'_>>,
    ) -> Result<(), Error> {
        let why = || match wait.refusal {
            Some(refusal) => refusal.into_error(),
            None => Error::new(ErrorKind::Unavailable, "the agent's node is out of reach"),
        };
        let Next::Retry { pause } = wait.next else {
            return Err(why());
        };
        let now = self.core.deadlines.now();
        let late = || timed_out(wait.timeout, Executed::No).caused_by(why());
        // A try that can't be answered in time would only make uncertain what is
        // certain now.
        let needed = match pause.is_zero() {
            true => Duration::ZERO,
            false => course::time_for_a_try(now.saturating_sub(wait.begun_at)),
        };
        let has_time = |begin: Duration| course::has_time(begin, needed, wait.expires);
        if pause.is_zero() {
            // Others go on meanwhile, should the tries chase each other.
            tokio::task::yield_now().await;
        } else {
            let pause = pause / 2 + self.core.environment.jitter(pause / 2);
            if !has_time(now + pause) {
                return Err(late());
            }
            tokio::select! {
                biased;
                () = time_out => return Err(late()),
                // What was in the way is gone, perhaps, or there is another way.
                () = self.core.members.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        // It may have lasted longer than it was meant to.
        match has_time(self.core.deadlines.now()) {
            true => Ok(()),
            false => Err(late()),
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
        let view = self.core.members.view();
        let hinted = hint.map(|hint| match view.contains(hint) {
            _ if hint == self.core.incarnation => Hinted::Me,
            true => Hinted::Member,
            false => Hinted::Beyond,
        });
        drop(view);
        let (next, learned) = course.refused(target, refusal, hinted);
        match (learned, hint) {
            (Learned::Forget, _) => self.forget_owner(key),
            (Learned::Remember, Some(owner)) => self.remember_owner(&AgentKey::new(key)?, owner),
            (Learned::Remember | Learned::Nothing, _) => {}
        }
        Ok(next)
    }

    /// Takes in that a node could not pass something on to the key's owner.
    pub(super) fn not_passed_on(&self, key: &str, course: &mut Course) -> Next {
        let (next, learned) = course.not_passed_on(self.core.members.view().relays());
        if learned == Learned::Forget {
            self.forget_owner(key);
        }
        next
    }
}

/// Does something that storage or another node may keep waiting for ever, as long as there is
/// time.
pub(super) async fn in_time<T, E>(
    timeout: Duration,
    executed: Executed,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Error>
where
    Error: From<E>,
{
    match tokio::time::timeout(timeout, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(timed_out(timeout, executed)),
    }
}

pub(super) fn timed_out(timeout: Duration, executed: Executed) -> Error {
    Error::new(
        ErrorKind::Timeout,
        format!("no answer within {} ms", timeout.as_millis()),
    )
    .with_executed(executed)
}
