//! Bounds on what is open to one peer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jido_core::Incarnation;
use parking_lot::RwLock;

/// Asks that may be open to one peer at a time. Some ten times what the fastest
/// peer answers within a round trip; beyond it callers only wait.
const MAX_ASKS: usize = 65_536;

/// Bytes of messages that may be open to one peer at a time, since a peer that
/// stalls keeps them all in memory.
const MAX_BYTES: usize = 64 * 1024 * 1024;

#[derive(Debug, Default)]
struct Budget {
    asks: AtomicUsize,
    bytes: AtomicUsize,
}

/// What is open to each peer.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    peers: RwLock<BTreeMap<Incarnation, Arc<Budget>>>,
}

/// A share of a budget; given back when dropped.
#[derive(Debug)]
pub(super) struct Spent {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budgets {
    /// Takes the share of one ask, if there is room.
    pub(super) fn take(&self, peer: Incarnation, bytes: usize) -> Option<Spent> {
        let known = self.peers.read().get(&peer).cloned();
        let budget = known.unwrap_or_else(|| self.peers.write().entry(peer).or_default().clone());
        let spent = Spent { budget, bytes };
        let asks = spent.budget.asks.fetch_add(1, Ordering::Relaxed);
        let open = spent.budget.bytes.fetch_add(bytes, Ordering::Relaxed);
        // The first message passes whatever its size: sizes have their own limit.
        (asks < MAX_ASKS && (open == 0 || open + bytes <= MAX_BYTES)).then_some(spent)
    }

    /// The bytes that are open to all peers.
    pub(super) fn bytes(&self) -> usize {
        let peers = self.peers.read();
        peers
            .values()
            .map(|budget| budget.bytes.load(Ordering::Relaxed))
            .sum()
    }

    pub(super) fn forget(&self, peer: Incarnation) {
        self.peers.write().remove(&peer);
    }
}

impl Drop for Spent {
    fn drop(&mut self) {
        self.budget.asks.fetch_sub(1, Ordering::Relaxed);
        self.budget.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_refused_beyond_the_bound_and_given_back_by_its_drop() {
        let budgets = Budgets::default();
        let peer = Incarnation(1);
        let first = budgets.take(peer, MAX_BYTES).unwrap();
        assert!(budgets.take(peer, 1).is_none());
        assert!(budgets.take(Incarnation(2), 1).is_some());
        drop(first);
        let open: Vec<_> = (0..MAX_ASKS)
            .map(|_| budgets.take(peer, 0).unwrap())
            .collect();
        assert!(budgets.take(peer, 0).is_none());
        drop(open);
        assert!(budgets.take(peer, 0).is_some());
    }
}
