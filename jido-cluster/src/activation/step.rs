//! What an activation does about what it is told.

use futures_util::future::BoxFuture;
use jido_core::Agent;
use ractor::ActorRef;

use super::running::{After, Failed};
use super::{ActivationMessage, Phase, State};
use crate::delivery::{Delivery, Refusal};
use crate::telemetry::Deactivated;

/// What is left to do, in a box: ractor moves what its handler returns about, and
/// memory that was given back just now is nearer than that of an agent among thousands.
pub(super) type Remaining<'a> = BoxFuture<'a, ()>;

impl<A: Agent> State<A> {
    /// Does what needs no waiting, and gives what does.
    pub(super) fn step<'a>(
        &'a mut self,
        message: ActivationMessage<A>,
        myself: ActorRef<ActivationMessage<A>>,
    ) -> Option<Remaining<'a>> {
        match message {
            ActivationMessage::Errand(errand, done) if self.is_done(errand, &myself) => {
                let _ = done.send(Ok(()));
                None
            }
            ActivationMessage::Deliver(delivery) => self.deliver(delivery, myself),
            message => Some(Box::pin(self.other(message, myself))),
        }
    }

    fn deliver<'a>(
        &'a mut self,
        delivery: Delivery<A>,
        myself: ActorRef<ActivationMessage<A>>,
    ) -> Option<Remaining<'a>> {
        let now = self.start.router.core().deadlines.now();
        self.start.gauge.take();
        self.start.gauge.used(now);
        let running = match &mut self.phase {
            Phase::Running(running) if running.is_crowded() => {
                delivery.refuse(Refusal::Overloaded);
                self.go_on(&myself);
                return None;
            }
            // Calls of this node are seldom repeated.
            Phase::Running(running) if !running.may_be_applied(&delivery) => running,
            _ => {
                let message = ActivationMessage::Deliver(delivery);
                return Some(Box::pin(self.other(message, myself)));
            }
        };
        let Some(begun) = running.begin(delivery, now) else {
            self.go_on(&myself);
            return None;
        };
        Some(Box::pin(async move {
            if let Phase::Running(running) = &mut self.phase {
                running.turn(begun).await;
                if running.unreadable.is_some() {
                    return Box::pin(self.retire(&myself)).await;
                }
            }
            self.go_on(&myself);
        }))
    }

    /// Commits if that is due, and waits for the next message.
    pub(super) fn go_on(&mut self, myself: &ActorRef<ActivationMessage<A>>) {
        if let Phase::Running(running) = &mut self.phase {
            running.commit_if_due(myself);
        }
        self.arm(myself);
        self.note();
    }

    async fn other(
        &mut self,
        message: ActivationMessage<A>,
        myself: ActorRef<ActivationMessage<A>>,
    ) {
        let start = &self.start;
        let running = match &mut self.phase {
            Phase::Running(running) => running,
            Phase::Refused(refusal) => {
                match message {
                    ActivationMessage::Deliver(delivery) => delivery.refuse(refusal.clone()),
                    ActivationMessage::Errand(_, done) => {
                        let _ = done.send(Err(refusal.clone()));
                    }
                    // The agent may have been parked just before, and is owned all the same.
                    ActivationMessage::Lost(epoch) => start.router.lost(&start.key, epoch),
                    ActivationMessage::Confirm(done) => {
                        start.router.confirm_here(&start.key, done);
                    }
                    ActivationMessage::CommitEnded | ActivationMessage::Wake => {}
                }
                return;
            }
        };
        let deadlines = &self.start.router.core().deadlines;
        let lost = match message {
            // A further try of a request.
            ActivationMessage::Deliver(delivery) => {
                let now = deadlines.now();
                let delivery = running.repeated(delivery).await;
                if let Some(begun) = delivery.and_then(|delivery| running.begin(delivery, now)) {
                    running.turn(begun).await;
                }
                None
            }
            ActivationMessage::CommitEnded => match running.commit_ended().await {
                Ok(()) => {
                    running.resume_waiting().await;
                    None
                }
                Err(refusal) => Some(refusal),
            },
            ActivationMessage::Wake => {
                let now = deadlines.now();
                // One at a time, so that others' messages come between.
                if running.wake(now).await {
                    self.start.gauge.used(now);
                }
                None
            }
            ActivationMessage::Confirm(done) => {
                running.confirm(done);
                None
            }
            ActivationMessage::Lost(epoch) => running.lost(epoch).await.err(),
            ActivationMessage::Errand(errand, done) => {
                // Whoever looks for agents that rest doesn't tell it once more.
                self.start.gauge.leave();
                match running.errand(errand).await {
                    Ok(After::GoOn) => {
                        let _ = done.send(Ok(()));
                        None
                    }
                    Ok(After::End) => {
                        // Whoever waits may ask for the agent again at once, so
                        // this activation is out of the way first.
                        self.end(&myself, Refusal::Stopped);
                        let metrics = &self.start.router.settings().metrics;
                        metrics.deactivated(errand.ends_as());
                        let _ = done.send(Ok(()));
                        return;
                    }
                    Err(Failed::Undone(refusal)) => {
                        let _ = done.send(Err(refusal));
                        None
                    }
                    Err(Failed::Lost(refusal)) => {
                        let _ = done.send(Err(refusal.clone()));
                        Some(refusal)
                    }
                }
            }
        };
        if lost.is_none() && running.unreadable.is_some() {
            return self.retire(&myself).await;
        }
        match lost {
            Some(refusal) => self.fail(&myself, refusal),
            None => self.go_on(&myself),
        }
    }

    /// Ends an agent that can't be put back to its last good state, once that is written.
    async fn retire(&mut self, myself: &ActorRef<ActivationMessage<A>>) {
        let Phase::Running(running) = &mut self.phase else {
            return;
        };
        let written = running.write_all().await;
        let why = running.unreadable.take().map(|why| *why);
        self.fail(myself, written.err().or(why).unwrap_or(Refusal::Stopped));
    }

    /// Ends for this reason.
    fn fail(&mut self, myself: &ActorRef<ActivationMessage<A>>, refusal: Refusal) {
        let why = match refusal {
            Refusal::NotOwner { .. } => Deactivated::Fenced,
            _ => Deactivated::Failed,
        };
        self.start.router.settings().metrics.deactivated(why);
        self.end(myself, refusal);
    }
}
