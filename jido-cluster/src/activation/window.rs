//! Which requests an agent has applied, as far back as it remembers: a pure state machine.
//!
//! Each request whose effect is committed leaves a record, by which a later try of
//! it gets the same reply. Records are dropped in the order in which the requests
//! were made, when there are too many or they are too old. The **floor** is the time
//! up to which records may have been dropped: of a try of a request made before it
//! and without a record nobody can tell whether it was applied, so it is refused
//! rather than risked.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use jido_core::{RequestId, RequestTry, Timestamp};
use jido_storage::{RequestRecord, RequestWindow};

/// How far back an agent remembers the requests that it has applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// How many requests at the most.
    pub(crate) count: usize,
    /// For how long after a request was made at the most.
    pub(crate) age: Duration,
}

/// What is known of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It was not applied.
    No,
    /// It was, and its reply is in storage.
    Applied,
    /// It is older than what is remembered.
    Expired,
}

/// What a commit drops from the window.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Forgotten {
    pub(super) ids: Vec<RequestId>,
    pub(super) floor: Option<Timestamp>,
}

/// So many requests are looked through one by one. Most agents remember no more, and an
/// index would take more memory than all that they remember.
const LOOKED_THROUGH: usize = 16;

#[derive(Debug)]
pub(super) struct Window {
    limits: Limits,
    floor: Timestamp,
    /// The floor as it was when the agent was loaded, above those loaded records that were
    /// dropped since.
    loaded_floor: Timestamp,
    /// When the latest of the loaded requests was made.
    latest_loaded: Timestamp,
    /// The requests, and when they were made, the oldest first.
    by_age: VecDeque<(Timestamp, RequestId)>,
    /// The same requests, where there are more than are looked through.
    index: Option<BTreeSet<RequestId>>,
}

impl Window {
    /// A window that remembers these requests, each of which stands there once, and when
    /// they were made.
    pub(super) fn new(
        limits: Limits,
        floor: Timestamp,
        requests: impl Iterator<Item = (RequestId, Timestamp)>,
    ) -> Self {
        let mut by_age: Vec<_> = requests.map(|(id, made)| (made, id)).collect();
        by_age.sort_unstable();
        let mut window = Self {
            limits,
            floor,
            loaded_floor: floor,
            latest_loaded: by_age.last().map_or(Timestamp(0), |(made, _)| *made),
            by_age: by_age.into(),
            index: None,
        };
        window.keep_index();
        window
    }

    /// Has an index as long as there are more requests than are looked through.
    fn keep_index(&mut self) {
        if self.by_age.len() <= LOOKED_THROUGH {
            self.index = None;
        } else if self.index.is_none() {
            self.index = Some(self.by_age.iter().map(|(_, id)| *id).collect());
        }
    }

    fn remembers(&self, request: RequestId) -> bool {
        match &self.index {
            Some(index) => index.contains(&request),
            None => self.by_age.iter().any(|(_, id)| *id == request),
        }
    }

    /// The window as storage has it.
    pub(super) fn stored(limits: Limits, stored: &RequestWindow) -> Self {
        let marks = stored.marks.iter();
        let requests = marks.map(|mark| (mark.request, mark.issued_at));
        Self::new(limits, stored.floor, requests)
    }

    /// The same window, of an agent that was loaded when its floor was this.
    pub(super) fn since(self, loaded_floor: Timestamp) -> Self {
        Self {
            loaded_floor,
            ..self
        }
    }

    /// Up to when records may have been dropped, now and when the agent was loaded.
    pub(super) fn floors(&self) -> (Timestamp, Timestamp) {
        (self.floor, self.loaded_floor)
    }

    /// The requests that are remembered, and when they were made.
    pub(super) fn requests(&self) -> Box<[(RequestId, Timestamp)]> {
        self.by_age.iter().map(|(made, id)| (*id, *made)).collect()
    }

    /// What is known of a request that is tried. What came before a first try was not of
    /// its own, but it may have been overtaken by a further one. That went to another
    /// owner, before this one has loaded the agent: a later session with the same sender
    /// would have ended the one that the first try came by, and where tries come by way
    /// of another node, none is taken for a first one.
    pub(super) fn seen(&self, request: &RequestTry) -> Seen {
        let floor = match request.first {
            true => self.loaded_floor,
            false => self.floor,
        };
        if self.remembers(request.id) {
            Seen::Applied
        } else if request.issued_at < floor {
            Seen::Expired
        } else {
            Seen::No
        }
    }

    /// What goes when `adding` comes, at a time.
    pub(super) fn forgotten(&self, adding: &[RequestRecord], now: Timestamp) -> Forgotten {
        let age = u64::try_from(self.limits.age.as_millis()).unwrap_or(u64::MAX);
        let oldest = Timestamp(now.0.saturating_sub(age));
        // What is added stays, however old: its own try is still under way.
        let room = self.limits.count.saturating_sub(adding.len());
        let surplus = self.by_age.len().saturating_sub(room);
        let mut forgotten = Forgotten::default();
        for (at, (made, id)) in self.by_age.iter().enumerate() {
            if at >= surplus && *made >= oldest {
                break;
            }
            forgotten.ids.push(*id);
            forgotten.floor = Some(Timestamp(made.0.saturating_add(1)));
        }
        forgotten
    }

    /// A commit has added these, and dropped those.
    pub(super) fn committed(
        &mut self,
        added: impl IntoIterator<Item = (RequestId, Timestamp)>,
        forgotten: &Forgotten,
    ) {
        // What goes is what was the oldest when that was decided, and nothing came since.
        let gone = self.by_age.iter().zip(&forgotten.ids);
        let gone = gone.take_while(|((_, id), forgotten)| id == *forgotten);
        let gone = gone.count();
        debug_assert_eq!(gone, forgotten.ids.len());
        for (made, id) in self.by_age.drain(..gone) {
            if made <= self.latest_loaded {
                let beyond = Timestamp(made.0.saturating_add(1));
                self.loaded_floor = self.loaded_floor.max(beyond);
            }
            if let Some(index) = &mut self.index {
                index.remove(&id);
            }
        }
        self.floor = self.floor.max(forgotten.floor.unwrap_or_default());
        for (id, made) in added {
            if self.remembers(id) {
                continue;
            }
            if self.by_age.is_empty() {
                // An agent that was woken by its only request needs room for no more.
                self.by_age.reserve_exact(1);
            }
            let place = self.by_age.partition_point(|other| *other < (made, id));
            self.by_age.insert(place, (made, id));
            if let Some(index) = &mut self.index {
                index.insert(id);
            }
        }
        self.keep_index();
    }
}

#[cfg(test)]
mod tests;
