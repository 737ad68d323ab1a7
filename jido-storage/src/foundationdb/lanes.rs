//! How the outcome of a commit is found out that the engine doesn't know.
//!
//! Every transaction that writes runs in a **lane** of the storage's instance and
//! writes the lane's **marker**: one small key, with a number that no other
//! transaction of the lane has. A lane has one transaction at a time, which takes it before
//! it reads: so it reads what the one before it has written, and doesn't conflict with it.
//! There are as many lanes as it takes: nobody waits for one.
//!
//! When a commit ends with an error of which the engine can't say whether it took
//! effect, the marker tells. If it holds the transaction's number, the transaction
//! was committed, whole. If it doesn't, the transaction may still be on its way:
//! after a time-out the engine makes no promise that it isn't. So the marker is
//! read in a new transaction that also adds it to its write conflicts, and that
//! one is committed. The one in question has the marker among its read conflicts, at
//! an older version, so once the new one is committed it can't be any more. And had it
//! been committed after the look, the new one would conflict with it and look
//! again. So a look that commits is final, and it may be made as often as needed.
//!
//! This way no operation has to be idempotent, and none is applied twice: an append,
//! a claim, a renewal that adds one to a beat.
//!
//! A lane whose last transaction was never resolved is not used again: it might
//! still come. Markers of instances that are gone are swept away when a
//! storage is opened, see `schema.rs`.

use std::sync::atomic::{AtomicU64, Ordering};

use foundationdb_tuple::{pack, unpack};
use parking_lot::Mutex;

/// The lanes of one instance of a storage.
#[derive(Debug)]
pub(super) struct Lanes {
    pub(super) instance: u128,
    free: Mutex<Vec<u64>>,
    next_lane: AtomicU64,
    next_number: AtomicU64,
}

/// A lane in use.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lane(pub(super) u64);

/// What a lane's marker holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marker {
    /// The transaction that wrote it.
    pub(super) number: u64,
    /// The version that it read, by which its age is told.
    pub(super) version: i64,
}

impl Lanes {
    /// `instance` is random: no two instances share one.
    pub(super) fn new(instance: u128) -> Self {
        Self {
            instance,
            free: Mutex::default(),
            next_lane: AtomicU64::new(0),
            next_number: AtomicU64::new(1),
        }
    }

    /// Takes a lane that nobody uses.
    pub(super) fn take(&self) -> Lane {
        let free = self.free.lock().pop();
        Lane(free.unwrap_or_else(|| self.next_lane.fetch_add(1, Ordering::Relaxed)))
    }

    /// Gives a lane back, all of whose transactions are known to have ended.
    pub(super) fn give_back(&self, lane: Lane) {
        self.free.lock().push(lane.0);
    }

    /// A number for a transaction, never given before.
    pub(super) fn number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }
}

impl Marker {
    pub(super) fn encode(self) -> Vec<u8> {
        pack(&(self.number, self.version))
    }

    /// None for bytes that no marker has.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (number, version) = unpack(bytes).ok()?;
        Some(Self { number, version })
    }
}

/// What a look at a marker says of the transaction with a number.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// It was committed.
    Committed,
    /// It wasn't at the version of the look.
    NotYet,
    /// The marker is none.
    Unreadable,
}

/// Compares a lane's marker with the number of its last transaction.
pub(super) fn look(stored: Option<&[u8]>, number: u64) -> Look {
    match stored.map(Marker::decode) {
        Some(Some(marker)) if marker.number == number => Look::Committed,
        // What a transaction before it has left, or nothing.
        Some(Some(_)) | None => Look::NotYet,
        Some(None) => Look::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_tells_its_own_transaction_from_others() {
        let marker = Marker {
            number: 7,
            version: -3,
        };
        let stored = marker.encode();
        assert_eq!(Marker::decode(&stored), Some(marker));
        assert_eq!(look(Some(&stored), 7), Look::Committed);
        assert_eq!(look(Some(&stored), 8), Look::NotYet);
        assert_eq!(look(None, 8), Look::NotYet);
        for odd in [&b""[..], b"x", &stored[..3]] {
            assert_eq!(look(Some(odd), 7), Look::Unreadable);
        }
    }

    #[test]
    fn a_lane_has_one_user_and_numbers_never_come_back() {
        let lanes = Lanes::new(1);
        let (a, b) = (lanes.take(), lanes.take());
        assert_ne!(a, b);
        lanes.give_back(a);
        // The lane that wasn't given back stays away.
        assert_eq!(lanes.take(), Lane(0));
        assert_eq!(lanes.take(), Lane(2));
        assert_ne!(lanes.number(), lanes.number());
    }
}
