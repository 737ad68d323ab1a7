//! What an activation has changed, and how far that is durable.
//!
//! While a commit is in flight the agent goes on handling messages. What they
//! change is collected for the next commit, and every reply, a read's too, is
//! held until the state that it saw is durable. When a commit fails, all that was
//! built on it is undone. A pure state machine: it commits nothing by itself.

mod versions;

use bytes::Bytes;
use jido_core::{NewEntry, ReminderList, RequestId, Timestamp};
use jido_storage::{RequestRecord, is_planted};

use crate::local::Unsaved;
use crate::reminders::Listing;
use versions::Versions;

/// When changes are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Before the reply leaves: nothing that was acknowledged is ever lost.
    Command,
    /// When the agent hibernates, is stopped or moves: fastest, and a crash loses
    /// what came since. Of what an agent journals that is at most a quarter of the largest
    /// commit, beyond which it is written in between. That goes for reminders too: those set since are lost, and those
    /// that came since come again, to the state of before.
    Hibernate,
}

/// What one commit writes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) entries: Vec<NewEntry>,
    pub(super) requests: Vec<RequestRecord>,
    pub(super) state: Bytes,
    /// The reminders, if they changed.
    pub(super) reminders: Option<Listing>,
}

#[derive(Debug)]
struct Stage<H> {
    changed: bool,
    entries: Vec<NewEntry>,
    requests: Vec<RequestRecord>,
    held: Vec<H>,
    /// Of entries and of the requests' replies.
    bytes: usize,
}

impl<H> Stage<H> {
    fn empty() -> Self {
        Self {
            changed: false,
            entries: Vec::new(),
            requests: Vec::new(),
            held: Vec::new(),
            bytes: 0,
        }
    }

    fn add(&mut self, entries: Vec<NewEntry>, requests: impl IntoIterator<Item = RequestRecord>) {
        for entry in entries {
            self.bytes += entry.kind.len() + entry.payload.len();
            self.entries.push(entry);
        }
        for record in requests {
            self.bytes += record.reply.len();
            self.requests.push(record);
        }
    }
}

/// The states that an activation is between. `H` is a reply that is held.
#[derive(Debug)]
pub(super) struct Pipeline<H> {
    durability: Durability,
    /// Whether entries alone make a change, since they tell the state.
    by_entries: bool,
    /// The state as it is in storage; for an agent that was never committed, as
    /// it was made.
    committed: Bytes,
    /// The state after the last message.
    current: Bytes,
    reminders: Versions,
    staged: Stage<H>,
    in_flight: Option<InFlight<H>>,
    /// Whether the last commit was put back, and no message came since.
    put_back: bool,
}

/// What the commit in flight carries.
#[derive(Debug)]
struct InFlight<H> {
    state: Bytes,
    entries: Vec<NewEntry>,
    requests: Vec<RequestRecord>,
    held: Vec<H>,
    bytes: usize,
}

impl<H> Pipeline<H> {
    pub(super) fn new(durability: Durability, by_entries: bool, state: Bytes) -> Self {
        Self {
            durability,
            by_entries,
            committed: state.clone(),
            current: state,
            reminders: Versions::default(),
            staged: Stage::empty(),
            in_flight: None,
            put_back: false,
        }
    }

    /// With the reminders that are in storage.
    #[must_use]
    pub(super) fn with_reminders(self, listing: Listing) -> Self {
        Self {
            reminders: Versions::new(listing),
            ..self
        }
    }

    /// Goes on where a pipeline was left that had nothing in flight, with the reminders that
    /// there were.
    #[must_use]
    pub(super) fn resumed(self, unsaved: Option<Unsaved>, listing: Listing) -> Self {
        let mut pipeline = self.with_reminders(listing.clone());
        if let Some(Unsaved {
            committed,
            entries,
            reminders,
        }) = unsaved
        {
            pipeline.reminders = Versions::resumed(reminders, listing);
            pipeline.committed = committed;
            pipeline.staged.add(entries, None);
            pipeline.staged.changed = true;
        }
        pipeline
    }

    /// Whether the reminders are others than those in storage, by which a parked agent is woken.
    pub(super) fn has_unsaved_reminders(&self) -> bool {
        self.reminders.is_unsaved()
    }

    /// What is changed and not in storage, while nothing is in flight.
    pub(super) fn unsaved(&self) -> Option<Unsaved> {
        self.staged.changed.then(|| Unsaved {
            committed: self.committed.clone(),
            entries: self.staged.entries.clone(),
            reminders: self.reminders.unsaved(),
        })
    }

    /// Whether nothing is on its way to storage, and nobody waits for it.
    pub(super) fn is_at_rest(&self) -> bool {
        self.in_flight.is_none() && self.staged.held.is_empty()
    }

    /// The state that a message that fails is undone to.
    pub(super) fn current(&self) -> &Bytes {
        &self.current
    }

    /// The reminders after the last message.
    pub(super) fn reminders(&self) -> &ReminderList {
        self.reminders.current().list()
    }

    pub(super) fn listing(&self) -> &Listing {
        self.reminders.current()
    }

    /// Takes in the reminders that a message left behind, before its state.
    pub(super) fn remind(&mut self, listing: Listing) {
        self.reminders.set(listing);
        self.staged.changed = true;
    }

    /// Whether what a commit that fails has carried was acknowledged before.
    pub(super) fn keeps(&self) -> bool {
        self.durability == Durability::Hibernate
    }

    /// The bytes that wait for the next commit.
    pub(super) fn staged_len(&self) -> usize {
        // What may be put back.
        let flying = self.in_flight.as_ref().filter(|_| self.keeps());
        self.staged.bytes + flying.map_or(0, |flying| flying.bytes) + self.reminders.staged_len()
    }

    /// Whether a message that leaves this state and these entries has changed anything.
    pub(super) fn is_changed_by(&self, state: &[u8], entries: &[NewEntry]) -> bool {
        !entries.is_empty() || !self.by_entries && *self.current != *state
    }

    /// Whether a request's effect is on its way to storage.
    pub(super) fn is_pending(&self, request: RequestId) -> bool {
        let flying = self.in_flight.iter().flat_map(|flying| &flying.requests);
        self.staged
            .requests
            .iter()
            .chain(flying)
            .any(|record| record.request == request)
    }

    /// Whether something is not yet in storage.
    pub(super) fn is_dirty(&self) -> bool {
        self.staged.changed || self.in_flight.is_some()
    }

    /// Takes in what a message left behind, and the record of its request if one is
    /// kept, which is a change of its own. Gives the reply back if it may leave at once, and
    /// keeps it otherwise.
    pub(super) fn turn(
        &mut self,
        state: &[u8],
        entries: Vec<NewEntry>,
        request: Option<RequestRecord>,
        reply: H,
    ) -> Option<H> {
        self.staged.changed |= request.is_some();
        self.staged.add(Vec::new(), request);
        self.change(state, entries);
        self.hold(reply)
    }

    /// Takes in a state and entries that no reply waits for.
    pub(super) fn change(&mut self, state: &[u8], entries: Vec<NewEntry>) {
        if *self.current != *state {
            self.current = Bytes::copy_from_slice(state);
            self.staged.changed |= !self.by_entries;
        }
        if !entries.is_empty() {
            self.staged.add(entries, None);
            self.staged.changed = true;
        }
    }

    /// Holds a reply that saw the current state, or gives it back if that is durable.
    pub(super) fn hold(&mut self, reply: H) -> Option<H> {
        self.put_back = false;
        if self.keeps() || !self.is_dirty() || is_planted!(AcknowledgeBeforeCommit) {
            return Some(reply);
        }
        self.staged.held.push(reply);
        None
    }

    /// The next commit, if it is time for one: nothing is in flight and something changed that
    /// doesn't wait for hibernation, or does and has more than `room` bytes. Then it is tried
    /// once for each message, should it fail.
    pub(super) fn next(&mut self, room: usize) -> Option<Plan> {
        let waits = self.keeps() && (self.put_back || self.staged_len() <= room);
        if waits { None } else { self.all() }
    }

    /// The same with all that waits for hibernation.
    pub(super) fn all(&mut self) -> Option<Plan> {
        if self.in_flight.is_some() || !self.staged.changed {
            return None;
        }
        let stage = std::mem::replace(&mut self.staged, Stage::empty());
        self.in_flight = Some(InFlight {
            state: self.current.clone(),
            entries: stage.entries.clone(),
            requests: stage.requests.clone(),
            held: stage.held,
            bytes: stage.bytes,
        });
        Some(Plan {
            entries: stage.entries,
            requests: stage.requests,
            state: self.current.clone(),
            reminders: self.reminders.take(),
        })
    }

    /// How many replies are held.
    pub(super) fn held_len(&self) -> usize {
        let flying = self.in_flight.as_ref();
        self.staged.held.len() + flying.map_or(0, |flying| flying.held.len())
    }

    /// What waits for the commit in flight.
    pub(super) fn flying(&self) -> impl Iterator<Item = &H> {
        self.in_flight.iter().flat_map(|flying| &flying.held)
    }

    /// The requests whose effects the commit in flight carries, and when they were made.
    pub(super) fn applied(&self) -> impl Iterator<Item = (RequestId, Timestamp)> {
        let flying = self.in_flight.iter().flat_map(|flying| &flying.requests);
        flying.map(|record| (record.request, record.issued_at))
    }

    /// The commit in flight is durable: gives back the replies that waited for it.
    /// Replies that saw nothing newer leave with it.
    pub(super) fn committed(&mut self) -> Vec<H> {
        let Some(InFlight {
            state, mut held, ..
        }) = self.in_flight.take()
        else {
            return Vec::new();
        };
        self.committed = state;
        self.reminders.committed();
        if !self.staged.changed {
            held.append(&mut self.staged.held);
        }
        held
    }

    /// The commit in flight was not made, and its changes stay: they wait for the
    /// next one again.
    pub(super) fn put_back(&mut self) {
        let Some(InFlight {
            entries,
            requests,
            held,
            state: _,
            bytes: _,
        }) = self.in_flight.take()
        else {
            return;
        };
        self.put_back = true;
        self.reminders.put_back();
        let later = std::mem::replace(&mut self.staged, Stage::empty());
        self.staged.changed = true;
        self.staged.add(entries, requests);
        self.staged.add(later.entries, later.requests);
        self.staged.held = held;
        self.staged.held.extend(later.held);
    }

    /// The commit in flight, or the next one, will not be: undoes it and all that
    /// was built on it. Gives back the replies that will not leave.
    pub(super) fn undo(&mut self) -> Vec<H> {
        let mut undone = self
            .in_flight
            .take()
            .map(|flying| flying.held)
            .unwrap_or_default();
        undone.append(&mut self.staged.held);
        self.staged = Stage::empty();
        self.current = self.committed.clone();
        self.reminders.undo();
        undone
    }
}

#[cfg(test)]
mod tests;
