//! What an activation does about what it is told.

use std::time::Duration;

use futures_util::future::BoxFuture;
use jido_core::Agent;
use ractor::ActorRef;

use super::running::{After, Failed};
use super::{ActivationMessage, Phase, State};
use crate::delivery::{Delivery, Refusal};
use crate::telemetry::Deactivated;

/// What is left to do.
pub(super) enum Step<'a, A: Agent> {
    Done,
    /// The turn of a message that has been begun.
    Turn {
        state: &'a mut State<A>,
        message: A::Message,
        now: Duration,
    },
    /// Something rarer, for which turns pay no larger future.
    Other(BoxFuture<'a, ()>),
}

impl<A: Agent> State<A> {
    /// Does what needs no waiting.
    pub(super) fn step<'a>(
        &'a mut self,
        message: ActivationMessage<A>,
        myself: &ActorRef<ActivationMessage<A>>,
    ) -> Step<'a, A> {
        match message {
            ActivationMessage::Errand(errand, done) if self.is_done(errand, myself) => {
                let _ = done.send(Ok(()));
                Step::Done
            }
            ActivationMessage::Deliver(delivery) => self.deliver(delivery, myself),
            message => Step::Other(Box::pin(self.other(message, myself.clone()))),
        }
    }

    fn deliver<'a>(
        &'a mut self,
        delivery: Delivery<A>,
        myself: &ActorRef<ActivationMessage<A>>,
    ) -> Step<'a, A> {
        let now = self.start.router.core().deadlines.now();
        self.start.gauge.take();
        self.start.gauge.used(now);
        let running = match &mut self.phase {
            // Calls of this node are seldom repeated.
            Phase::Running(running) if !running.may_be_applied(&delivery) => running,
            _ => {
                let message = ActivationMessage::Deliver(delivery);
                return Step::Other(Box::pin(self.other(message, myself.clone())));
            }
        };
        match running.begin(delivery, now) {
            Some(message) => Step::Turn {
                state: self,
                message,
                now,
            },
            None => {
                self.go_on(myself);
                Step::Done
            }
        }
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
        let running = match &mut self.phase {
            Phase::Running(running) => running,
            Phase::Refused(refusal) => {
                match message {
                    ActivationMessage::Deliver(delivery) => delivery.refuse(refusal.clone()),
                    ActivationMessage::Errand(_, done) => {
                        let _ = done.send(Err(refusal.clone()));
                    }
                    ActivationMessage::CommitEnded
                    | ActivationMessage::Lost(_)
                    | ActivationMessage::Confirm(_)
                    | ActivationMessage::Wake => {}
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
                if let Some(message) = delivery.and_then(|delivery| running.begin(delivery, now)) {
                    running.turn(message, now).await;
                }
                None
            }
            ActivationMessage::CommitEnded => match running.commit_ended().await {
                Ok(()) => {
                    running.resume_waiting(deadlines.now()).await;
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
            ActivationMessage::Errand(errand, done) => match running.errand(errand).await {
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
            },
        };
        let Some(refusal) = lost else {
            return self.go_on(&myself);
        };
        let why = match refusal {
            Refusal::NotOwner { .. } => Deactivated::Fenced,
            _ => Deactivated::Failed,
        };
        self.start.router.settings().metrics.deactivated(why);
        self.end(&myself, refusal);
    }
}
