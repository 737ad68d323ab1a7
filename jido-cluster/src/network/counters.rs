//! What became of connections, counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// What became of a node's connections since it was started, through all its lives.
///
/// An end of a peer that is not a failure of this list (it stopped, or its process ended) is
/// counted nowhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkStats {
    /// Connections that were accepted, whatever became of them.
    pub accepted: u64,
    /// Sessions that were ready.
    pub sessions: u64,
    /// Sessions that had been ready and ended.
    pub ended: u64,
    /// Heartbeats that were sent to peers.
    pub heartbeats_sent: u64,
    /// Heartbeats that came from peers.
    pub heartbeats_received: u64,
    /// Ends of connections that have another cookie, whoever had dialed.
    pub wrong_cookie: u64,
    /// Ends whose certificate was refused: none, of another authority, not valid at this
    /// time, or not for the name that the node gave.
    pub wrong_certificate: u64,
    /// Connections that were accepted from nodes of another cluster.
    pub wrong_cluster: u64,
    /// Connections that were accepted and brought what no node says.
    pub unreadable: u64,
    /// Connections that were accepted and not ready in time.
    pub too_slow: u64,
    /// Connections that were closed because too many were opening, or open at all.
    pub turned_away: u64,
    /// Sessions that were ended because nothing came any more.
    pub fell_silent: u64,
}

/// Counts for [`NetworkStats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(super) accepted: AtomicU64,
    pub(super) sessions: AtomicU64,
    pub(super) ended: AtomicU64,
    pub(super) heartbeats_sent: AtomicU64,
    pub(super) heartbeats_received: AtomicU64,
    pub(super) wrong_cookie: AtomicU64,
    pub(super) wrong_certificate: AtomicU64,
    pub(super) wrong_cluster: AtomicU64,
    pub(super) unreadable: AtomicU64,
    pub(super) too_slow: AtomicU64,
    pub(super) turned_away: AtomicU64,
    pub(super) fell_silent: AtomicU64,
}

/// One more. Answers whether this is a time to tell of it: the 1st, 2nd, 4th, 8th and so
/// on, since how many come is a stranger's to choose.
pub(super) fn count(counter: &AtomicU64) -> bool {
    (counter.fetch_add(1, Ordering::Relaxed) + 1).is_power_of_two()
}

impl Counters {
    pub(crate) fn stats(&self) -> NetworkStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        NetworkStats {
            accepted: read(&self.accepted),
            sessions: read(&self.sessions),
            ended: read(&self.ended),
            heartbeats_sent: read(&self.heartbeats_sent),
            heartbeats_received: read(&self.heartbeats_received),
            wrong_cookie: read(&self.wrong_cookie),
            wrong_certificate: read(&self.wrong_certificate),
            wrong_cluster: read(&self.wrong_cluster),
            unreadable: read(&self.unreadable),
            too_slow: read(&self.too_slow),
            turned_away: read(&self.turned_away),
            fell_silent: read(&self.fell_silent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_told_of_ever_more_seldom() {
        let counters = Counters::default();
        let told = (0..100).filter(|_| count(&counters.wrong_cookie)).count();
        assert_eq!(told, 7);
        assert_eq!(counters.stats().wrong_cookie, 100);
    }
}
