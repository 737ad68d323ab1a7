//! How replies leave an activation, and what those are told whose replies don't.

use bytes::Bytes;
use jido_core::{Agent, Epoch, Executed, Revision};
use jido_storage::is_planted;

use super::running::Running;
use crate::delivery::{Answered, Delivery, Refusal};
use crate::error::{Error, ErrorKind};
use crate::reads::{Reads, Verdict};

/// A reply, or the failure of a message, and who waits for it.
pub(super) struct Held<A: Agent> {
    pub(super) delivery: Delivery<A>,
    /// The message, should what it did be undone and its sender have no copy.
    pub(super) copy: Option<Bytes>,
    pub(super) result: Result<A::Reply, Error>,
    /// Whether the message changed nothing. That a commit before it went well doesn't
    /// tell that the agent has no newer owner by now.
    pub(super) read: bool,
}

impl<A: Agent> Held<A> {
    /// Sends the reply, as that of an activation at a revision.
    fn answer(self, epoch: Epoch, revision: Revision) {
        self.delivery.finish(self.result.map(|value| Answered {
            value,
            epoch,
            revision,
        }));
    }

    /// Whether it is the reply to a further try of a request.
    fn is_repeated(&self) -> bool {
        let request = self.delivery.request();
        request.is_some_and(|request| !request.first)
    }

    /// Gives the message back, whose answer, or failure, may be that of an older state.
    fn unsure(self, refusal: &Refusal) {
        self.delivery.undone(refusal.clone(), self.copy.as_ref());
    }

    /// Tells whoever waits that nothing of the message took effect.
    fn undone(self, refusal: &Refusal) {
        match self.result {
            // A message that failed by itself keeps its own error.
            Err(error) => self.delivery.finish(Err(error)),
            Ok(_) => self.delivery.undone(refusal.clone(), self.copy.as_ref()),
        }
    }
}

impl<A: Agent> Running<A> {
    /// Sends a reply whose state is durable. That of a message which changed nothing
    /// leaves once it is sure enough that the agent has no newer owner; that of another
    /// has been sure of it in its commit.
    pub(super) fn answer(&self, held: Held<A>) {
        if held.read {
            self.answer_read(held);
        } else {
            held.answer(self.epoch, self.revision);
        }
    }

    fn answer_read(&self, held: Held<A>) {
        let settings = self.router.settings();
        let reads = match settings.reads {
            // A newer owner may have applied the request, of which this one knows nothing:
            // then its answer is the one that was given there.
            Reads::Local | Reads::Leased
                if held.is_repeated() && self.window.is_some() && !self.reads_are_fresh() =>
            {
                Reads::Strict
            }
            reads => reads,
        };
        let clock = &self.router.core().environment;
        let lease = &settings.lease;
        match reads {
            Reads::Local => held.answer(self.epoch, self.revision),
            Reads::Strict => self.confirm_read(held),
            // The state was looked at; now the clock.
            Reads::Leased if !is_planted!(LeaseNotChecked) && !lease.is_held(clock.elapsed()) => {
                held.unsure(&Refusal::unsettled(
                    "the owner's lease has run out and is not renewed yet",
                ));
            }
            // After the clock: a lease that ended is held again only once this is known.
            Reads::Leased if self.router.is_suspicious() => self.confirm_read(held),
            Reads::Leased => held.answer(self.epoch, self.revision),
        }
    }

    /// Sends a reply once storage has confirmed that the agent has no newer owner.
    fn confirm_read(&self, held: Held<A>) {
        let (epoch, revision) = (self.epoch, self.revision);
        if is_planted!(ReadNotConfirmed) {
            return held.answer(epoch, revision);
        }
        let router = self.router.clone();
        let key = self.id.key.clone();
        let then = move |verdict| match verdict {
            Verdict::Owner => held.answer(epoch, revision),
            Verdict::Lost => {
                // Before the message is tried again, so that another takes it.
                router.lost(&key, epoch);
                held.unsure(&Refusal::NotOwner { hint: None });
            }
            Verdict::Failed(error) => held.unsure(&Refusal::unsettled(error.to_string())),
        };
        let confirmations = self.router.confirmations();
        confirmations.confirm(self.id.clone(), epoch, then);
    }

    /// Whether no answer leaves that a newer owner would have given otherwise.
    fn reads_are_fresh(&self) -> bool {
        match self.router.settings().reads {
            Reads::Strict => true,
            Reads::Leased => !self.router.takes_over_on_disconnect(),
            Reads::Local => false,
        }
    }

    /// Tells those whose replies will not leave why: nothing of their messages took
    /// effect, or ever will.
    pub(super) fn undone(undone: Vec<Held<A>>, refusal: &Refusal) {
        for held in undone {
            held.undone(refusal);
        }
    }

    /// Tells those whose replies will not leave that nobody knows whether their
    /// messages took effect.
    pub(super) fn unresolved(undone: Vec<Held<A>>, why: &str) {
        for held in undone {
            let error = |kind| Error::new(kind, why).with_executed(Executed::Maybe);
            match held.result {
                Err(error) => held.delivery.finish(Err(error)),
                Ok(_) => held
                    .delivery
                    .unresolved(error(ErrorKind::Unavailable), held.copy.as_ref()),
            }
        }
    }
}
