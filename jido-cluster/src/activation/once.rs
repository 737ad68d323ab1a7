//! A further try of a request meets what the one before it left behind.

use jido_core::{Agent, Executed};
use jido_storage::is_planted;

use super::running::Running;
use super::window::Seen;
use crate::delivery::{Delivery, Refusal};
use crate::error::{Error, ErrorKind};

impl<A: Agent> Running<A> {
    /// Whether a message's request may have been applied before: a further try of it, or
    /// a first that further ones may have overtaken.
    pub(super) fn may_be_applied(&self, delivery: &Delivery<A>) -> bool {
        let (Some(window), Some(request)) = (&self.window, delivery.request()) else {
            return false;
        };
        if is_planted!(NoDeduplication) {
            return false;
        }
        !request.first || delivery.is_remote() && window.seen(&request) != Seen::No
    }

    /// Answers a try of a request that was applied as it was answered then; gives it back
    /// when it was not applied, to be handled now.
    pub(super) async fn repeated(&mut self, delivery: Delivery<A>) -> Option<Delivery<A>> {
        let (Some(window), Some(request)) = (&self.window, delivery.request()) else {
            return Some(delivery);
        };
        if self.pipeline.is_pending(request.id) {
            self.waiting.push(delivery);
            return None;
        }
        match window.seen(&request) {
            Seen::Expired if is_planted!(WindowIgnored) => Some(delivery),
            Seen::No => Some(delivery),
            Seen::Applied => {
                let storage = &self.router.settings().storage;
                match storage.reply_of(&self.id, request.id).await {
                    Ok(Some(kept)) => delivery.repeat(self.epoch, kept.revision, kept.reply),
                    Ok(None) => {
                        // Fenced meanwhile, and deleted or forgotten by another: its
                        // next commit will tell; the try goes where the agent is now.
                        delivery.refuse(Refusal::NotOwner { hint: None });
                    }
                    Err(error) => delivery.refuse(Refusal::unsettled(error.to_string())),
                }
                None
            }
            Seen::Expired => {
                let why = "the agent has forgotten which requests of that time it had applied";
                let error = Error::new(ErrorKind::Expired, why).with_executed(Executed::Maybe);
                delivery.finish(Err(error));
                None
            }
        }
    }

    /// Takes up the tries that waited for the commit that has ended.
    pub(super) async fn resume_waiting(&mut self) {
        for delivery in std::mem::take(&mut self.waiting) {
            // One before it has failed, and could not be undone.
            if self.unreadable.is_some() {
                delivery.refuse(Refusal::Stopped);
                continue;
            }
            let delivery = self.repeated(delivery).await;
            let now = self.router.core().deadlines.now();
            if let Some(begun) = delivery.and_then(|delivery| self.begin(delivery, now)) {
                self.turn(begun).await;
            }
        }
    }
}
