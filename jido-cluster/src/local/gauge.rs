//! What an activation counts, for the router to read.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// What `rested` is while an activation claims and loads, and while it does what may end it.
const NOT_AT_REST: u64 = u64::MAX;

/// Written by one activation, read by the router and by sweeps.
#[derive(Debug)]
pub(crate) struct Gauge {
    /// Messages that have left the mailbox.
    taken: AtomicU64,
    /// What `taken` was when nothing was under way last.
    rested: AtomicU64,
    /// When the agent was used last, in milliseconds of `Deadlines::now`.
    used_ms: AtomicU64,
    /// The length of its serialized state, as it is counted in its map's total.
    bytes: AtomicUsize,
}

impl Gauge {
    /// For an activation that starts, of an agent that was used then.
    pub(crate) fn new(used_ms: u64) -> Self {
        Self {
            taken: AtomicU64::new(0),
            rested: AtomicU64::new(NOT_AT_REST),
            used_ms: AtomicU64::new(used_ms),
            bytes: AtomicUsize::new(0),
        }
    }

    /// A message has left the mailbox.
    pub(crate) fn take(&self) {
        // Nobody else writes it.
        self.taken.store(self.taken() + 1, Ordering::Relaxed);
    }

    /// How many messages have left the mailbox.
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Nothing is under way: no message is handled, and no commit is in flight.
    pub(crate) fn rest(&self) {
        self.rested.store(self.taken(), Ordering::Release);
    }

    /// It does something that may end it, after which it rests again if it hasn't ended.
    pub(crate) fn leave(&self) {
        self.rested.store(NOT_AT_REST, Ordering::Release);
    }

    /// Whether nothing was under way after so many messages.
    pub(super) fn has_rested_after(&self, sent: u64) -> bool {
        self.rested.load(Ordering::Acquire) == sent
    }

    /// The agent is used now.
    pub(crate) fn used(&self, now: Duration) {
        self.used_ms.store(millis(now), Ordering::Relaxed);
    }

    /// When the agent was used last.
    pub(crate) fn used_ms(&self) -> u64 {
        self.used_ms.load(Ordering::Relaxed)
    }

    /// The length of the state as it is counted.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Counts another length; gives the one that was counted.
    pub(crate) fn set_bytes(&self, bytes: usize) -> usize {
        self.bytes.swap(bytes, Ordering::Relaxed)
    }
}

/// A time of `Deadlines` in whole milliseconds, as stamps have it.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
