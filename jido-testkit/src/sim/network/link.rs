//! Two lives, and the session between them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use jido_cluster::Incarnation;
use jido_cluster::transport::{Inbox, Peer};

/// Two lives, the smaller first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pair(Incarnation, Incarnation);

impl Pair {
    pub(super) fn of(one: Incarnation, other: Incarnation) -> Self {
        Self(one.min(other), one.max(other))
    }

    pub(super) fn ends(self) -> (Incarnation, Incarnation) {
        (self.0, self.1)
    }

    pub(super) fn has(self, life: Incarnation) -> bool {
        self.0 == life || self.1 == life
    }

    pub(super) fn other(self, life: Incarnation) -> Incarnation {
        if self.0 == life { self.1 } else { self.0 }
    }

    fn place(self, life: Incarnation) -> usize {
        usize::from(self.1 == life)
    }
}

/// One life on the network.
pub(super) struct Port {
    pub(super) peer: Peer,
    /// What it is called in the trace: its name, and which of its lives it is.
    pub(super) label: String,
    pub(super) inbox: Arc<dyn Inbox>,
    /// The peers that it sees up, with the session's number.
    pub(super) up: BTreeMap<Incarnation, u64>,
    /// The number of the pause that it is in.
    pub(super) paused: Option<u64>,
    /// What happens when it goes on.
    pub(super) deferred: Vec<Box<dyn FnOnce() + Send>>,
    /// Whether it takes no further envelopes, because it leaves.
    pub(super) stopping: bool,
}

impl Port {
    pub(super) fn new(peer: Peer, label: String, inbox: Arc<dyn Inbox>) -> Self {
        Self {
            peer,
            label,
            inbox,
            up: BTreeMap::new(),
            paused: None,
            deferred: Vec::new(),
            stopping: false,
        }
    }

    pub(super) fn name(&self) -> &str {
        self.peer.name.as_str()
    }
}

/// How one end sees a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum End {
    #[default]
    Down,
    Opening,
    Up,
}

/// What is between two lives.
#[derive(Default)]
pub(super) struct Link {
    /// The number of the last session; 0 before the first.
    pub(super) session: u64,
    /// Whether they know of each other.
    pub(super) found: bool,
    /// Whether the next try is on its way.
    pub(super) dialing: bool,
    ends: [End; 2],
    ways: [Way; 2],
}

impl Link {
    pub(super) fn new(found: bool) -> Self {
        Self {
            found,
            ..Self::default()
        }
    }

    pub(super) fn open(&mut self, session: u64) {
        self.session = session;
        self.ends = [End::Opening; 2];
        self.ways = Default::default();
    }

    pub(super) fn end(&mut self, pair: Pair, life: Incarnation) -> &mut End {
        &mut self.ends[pair.place(life)]
    }

    /// The way from an end to the other.
    pub(super) fn way(&mut self, pair: Pair, from: Incarnation) -> &mut Way {
        &mut self.ways[pair.place(from)]
    }

    pub(super) fn is_over(&self) -> bool {
        self.ends == [End::Down; 2]
    }
}

/// One direction of a session.
#[derive(Default)]
pub(super) struct Way {
    lanes: BTreeMap<u64, Lane>,
    /// How many envelopes were sent, and the last of them that arrived.
    sent: u64,
    last: u64,
    /// Whether its sender has ended the session and the other end could not be told.
    pub(super) hung_up: bool,
}

#[derive(Default)]
struct Lane {
    envelopes: VecDeque<(u64, Bytes)>,
    /// How many of them are due, but were held.
    owed: u32,
}

impl Way {
    pub(super) fn push(&mut self, lane: u64, envelope: Bytes, held: bool) {
        self.sent += 1;
        let lane = self.lanes.entry(lane).or_default();
        lane.envelopes.push_back((self.sent, envelope));
        lane.owed += u32::from(held);
    }

    /// The first envelope of a lane, unless it is held, and whether one that was sent
    /// after it has arrived before.
    pub(super) fn arrive(&mut self, lane: u64, held: bool) -> Option<(Bytes, bool)> {
        let lane = self.lanes.get_mut(&lane)?;
        if held {
            lane.owed += 1;
            return None;
        }
        let (number, envelope) = lane.envelopes.pop_front()?;
        let overtaken = number < self.last;
        self.last = self.last.max(number);
        Some((envelope, overtaken))
    }

    /// The lanes of the envelopes that were held, one each.
    pub(super) fn take_owed(&mut self) -> Vec<u64> {
        let mut owed = Vec::new();
        for (number, lane) in &mut self.lanes {
            owed.extend((0..std::mem::take(&mut lane.owed)).map(|_| *number));
        }
        owed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lanes.values().all(|lane| lane.envelopes.is_empty())
    }

    /// Drops what has not arrived; tells how much that was.
    pub(super) fn clear(&mut self) -> usize {
        let lanes = std::mem::take(&mut self.lanes);
        lanes.values().map(|lane| lane.envelopes.len()).sum()
    }
}
