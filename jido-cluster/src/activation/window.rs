//! Which requests an agent has applied, as far back as it remembers: a pure state machine.
//!
//! Each request whose effect is committed leaves a record, by which a later try of
//! it gets the same reply. Records are dropped in the order in which the requests
//! were made, when there are too many or they are too old. The **floor** is the time
//! up to which records may have been dropped: of a try of a request made before it
//! and without a record nobody can tell whether it was applied, so it is refused
//! rather than risked.

use std::collections::{BTreeMap, BTreeSet};
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

#[derive(Debug)]
pub(super) struct Window {
    limits: Limits,
    floor: Timestamp,
    /// The floor as it was when the agent was loaded, above those loaded records that were
    /// dropped since.
    loaded_floor: Timestamp,
    /// When the latest of the loaded requests was made.
    latest_loaded: Timestamp,
    made: BTreeMap<RequestId, Timestamp>,
    by_age: BTreeSet<(Timestamp, RequestId)>,
}

impl Window {
    /// A window that remembers these requests, and when they were made.
    pub(super) fn new(
        limits: Limits,
        floor: Timestamp,
        requests: impl Iterator<Item = (RequestId, Timestamp)> + Clone,
    ) -> Self {
        Self {
            limits,
            floor,
            loaded_floor: floor,
            latest_loaded: requests
                .clone()
                .map(|(_, made)| made)
                .max()
                .unwrap_or_default(),
            made: requests.clone().collect(),
            by_age: requests.map(|(id, made)| (made, id)).collect(),
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
        self.made.iter().map(|(id, made)| (*id, *made)).collect()
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
        if self.made.contains_key(&request.id) {
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
        let surplus = self.made.len().saturating_sub(room);
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
        for id in &forgotten.ids {
            if let Some(made) = self.made.remove(id) {
                self.by_age.remove(&(made, *id));
                if made <= self.latest_loaded {
                    let beyond = Timestamp(made.0.saturating_add(1));
                    self.loaded_floor = self.loaded_floor.max(beyond);
                }
            }
        }
        self.floor = self.floor.max(forgotten.floor.unwrap_or_default());
        for (id, made) in added {
            if self.made.insert(id, made).is_none() {
                self.by_age.insert((made, id));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use jido_core::Revision;
    use jido_storage::RequestMark;

    const LIMITS: Limits = Limits {
        count: 3,
        age: Duration::from_millis(100),
    };

    fn id(seq: u64) -> RequestId {
        RequestId::new(1, seq)
    }

    fn tried(seq: u64, at: u64) -> RequestTry {
        RequestTry {
            id: id(seq),
            issued_at: Timestamp(at),
            first: false,
        }
    }

    fn record(seq: u64, at: u64) -> RequestRecord {
        RequestRecord {
            request: id(seq),
            issued_at: Timestamp(at),
            reply: Bytes::new(),
        }
    }

    fn add(window: &mut Window, seq: u64, at: u64, now: u64) -> Vec<RequestId> {
        let adding = [record(seq, at)];
        let forgotten = window.forgotten(&adding, Timestamp(now));
        window.committed([(id(seq), Timestamp(at))], &forgotten);
        forgotten.ids
    }

    fn fresh() -> Window {
        Window::stored(LIMITS, &RequestWindow::default())
    }

    #[test]
    fn what_was_applied_is_known_and_what_was_not_isnt() {
        let mut window = fresh();
        assert_eq!(window.seen(&tried(1, 0)), Seen::No);
        assert!(add(&mut window, 1, 10, 10).is_empty());
        assert_eq!(window.seen(&tried(1, 10)), Seen::Applied);
        assert_eq!(
            window.seen(&tried(2, 5)),
            Seen::No,
            "nothing was dropped yet"
        );
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many_whatever_the_order_they_came_in() {
        let mut window = fresh();
        for (seq, at) in [(1, 30), (2, 10), (3, 20)] {
            assert!(add(&mut window, seq, at, 30).is_empty());
        }
        assert_eq!(add(&mut window, 4, 40, 40), [id(2)]);
        assert_eq!(window.seen(&tried(2, 10)), Seen::Expired);
        assert_eq!(window.seen(&tried(9, 10)), Seen::Expired);
        assert_eq!(window.seen(&tried(9, 11)), Seen::No);
        assert_eq!(window.seen(&tried(3, 20)), Seen::Applied);
    }

    #[test]
    fn what_is_too_old_goes() {
        let mut window = fresh();
        add(&mut window, 1, 10, 10);
        add(&mut window, 2, 50, 50);
        assert!(add(&mut window, 3, 110, 110).is_empty());
        assert_eq!(add(&mut window, 4, 111, 111), [id(1)]);
    }

    #[test]
    fn one_that_comes_late_is_kept_all_the_same() {
        let mut window = fresh();
        assert!(add(&mut window, 1, 10, 500).is_empty());
        assert_eq!(window.seen(&tried(1, 10)), Seen::Applied);
    }

    #[test]
    fn a_commit_that_did_not_take_effect_changes_nothing() {
        let mut window = fresh();
        for seq in 1..=3 {
            add(&mut window, seq, seq, 5);
        }
        assert_eq!(window.forgotten(&[record(4, 4)], Timestamp(5)).ids, [id(1)]);
        assert_eq!(window.seen(&tried(1, 1)), Seen::Applied);
    }

    #[test]
    fn a_first_try_that_others_were_dropped_before_is_believed_unless_its_own_may_be_among_them() {
        let first = |seq, at| RequestTry {
            first: true,
            ..tried(seq, at)
        };
        let stored = RequestWindow {
            floor: Timestamp(7),
            marks: vec![RequestMark {
                request: id(1),
                issued_at: Timestamp(10),
                revision: Revision(1),
            }],
        };
        let mut window = Window::stored(LIMITS, &stored);
        for (seq, at) in [(2, 20), (3, 21)] {
            add(&mut window, seq, at, 30);
        }
        assert_eq!(window.seen(&first(1, 10)), Seen::Applied);
        // The loaded one goes: whoever applied it, it was not this activation.
        assert_eq!(add(&mut window, 4, 22, 30), [id(1)]);
        assert_eq!(window.seen(&first(1, 10)), Seen::Expired);
        assert_eq!(window.seen(&first(9, 11)), Seen::No);
        // One of its own goes: a first try of that came here before.
        assert_eq!(add(&mut window, 5, 23, 30), [id(2)]);
        assert_eq!(window.seen(&first(9, 11)), Seen::No);
        assert_eq!(window.seen(&tried(9, 11)), Seen::Expired);
    }

    #[test]
    fn it_comes_back_as_storage_has_it() {
        let stored = RequestWindow {
            floor: Timestamp(7),
            marks: vec![RequestMark {
                request: id(1),
                issued_at: Timestamp(8),
                revision: Revision(1),
            }],
        };
        let window = Window::stored(LIMITS, &stored);
        assert_eq!(window.seen(&tried(1, 8)), Seen::Applied);
        assert_eq!(window.seen(&tried(2, 6)), Seen::Expired);
        assert_eq!(window.seen(&tried(2, 7)), Seen::No);
    }
}
