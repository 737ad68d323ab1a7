//! What is left in memory of an agent that is parked, and how it goes on from there.

use bytes::Bytes;
use jido_core::{Agent, AgentId, Timestamp};

use super::Start;
use super::occurrences::Own;
use super::pipeline::Pipeline;
use super::running::{Running, by_entries};
use super::window::{Forgotten, Window};
use crate::local::{Parked, Rest};
use crate::reminders::Listing;

impl<A: Agent> Running<A> {
    /// An agent as it was parked.
    pub(super) fn resumed(start: &Start<A>, id: AgentId, agent: A, parked: &Parked) -> Self {
        let router = start.router.clone();
        let settings = router.settings();
        let rest = parked.rest.as_deref();
        let window = settings.requests.map(|limits| {
            let requests = rest.map_or(&[][..], |rest| &rest.requests);
            let (floor, loaded_floor) = rest.map_or_else(Default::default, |rest| rest.floors);
            Window::new(limits, floor, requests.iter().copied()).since(loaded_floor)
        });
        let unsaved = rest.and_then(|rest| rest.unsaved.as_deref().cloned());
        let reminders = rest.map_or_else(Listing::default, |rest| rest.reminders.clone());
        Self {
            // What it did when it started may be among what is not saved.
            starting: unsaved.is_some(),
            window,
            pipeline: Pipeline::new(settings.durability, by_entries::<A>(), parked.state.clone())
                .resumed(unsaved, reminders),
            covered: parked.covered,
            covering: None,
            id,
            me: start.me.clone(),
            agent,
            epoch: parked.epoch,
            revision: parked.revision,
            thread_len: parked.thread_len,
            forgetting: Forgotten::default(),
            waiting: Vec::new(),
            appending: 0,
            in_flight: None,
            unreadable: None,
            own: Own::default(),
            router,
        }
    }

    /// What it takes to go on later, while nothing is under way.
    pub(super) fn park(&self, used_ms: u64) -> Parked {
        let (floors, requests) = match &self.window {
            Some(window) => (window.floors(), window.requests()),
            None => Default::default(),
        };
        let unsaved = self.pipeline.unsaved().map(Box::new);
        let reminders = self.pipeline.listing().clone();
        let has_more = unsaved.is_some()
            || floors.0 != Timestamp::default()
            || !requests.is_empty()
            || !reminders.is_empty();
        let rest = has_more.then(|| {
            Box::new(Rest {
                unsaved,
                reminders,
                floors,
                requests,
            })
        });
        Parked {
            // A copy has no bytes to spare.
            state: Bytes::copy_from_slice(self.pipeline.current()),
            epoch: self.epoch,
            revision: self.revision,
            thread_len: self.thread_len,
            covered: self.covered,
            used_ms,
            rest,
        }
    }
}
