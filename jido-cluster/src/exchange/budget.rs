//! Bounds on what is open to one peer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use jido_core::Incarnation;

/// Asks that may be open to one peer at a time. Some ten times what the fastest
/// peer answers within a round trip; beyond it callers only wait.
const MAX_ASKS: u64 = 65_536;

/// Bytes of messages that may be open to one peer at a time, since a peer that
/// stalls keeps them all in memory.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Asks are counted above this bit and bytes below it, so that a share is taken in one
/// step: no bytes that come near it are ever let in.
const ASKS_SHIFT: u32 = 40;

/// What is open to one peer.
#[derive(Debug, Default)]
struct Budget(AtomicU64);

/// What is open to each peer. Read for every ask, so without a lock.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    peers: ArcSwap<BTreeMap<Incarnation, Arc<Budget>>>,
}

/// A share of a budget; given back when dropped.
#[derive(Debug)]
pub(super) struct Spent {
    budget: Arc<Budget>,
    share: u64,
}

impl Budgets {
    /// Takes the share of one ask, if there is room.
    pub(super) fn take(&self, peer: Incarnation, bytes: usize) -> Option<Spent> {
        let known = self.peers.load().get(&peer).cloned();
        let spent = Spent {
            budget: known.unwrap_or_else(|| self.begin(peer)),
            share: 1 << ASKS_SHIFT | bytes as u64,
        };
        let before = spent.budget.0.fetch_add(spent.share, Ordering::Relaxed);
        let asks = before >> ASKS_SHIFT;
        let open = before & ((1 << ASKS_SHIFT) - 1);
        // The first message passes whatever its size: sizes have their own limit.
        (asks < MAX_ASKS && (open == 0 || open + bytes as u64 <= MAX_BYTES)).then_some(spent)
    }

    fn begin(&self, peer: Incarnation) -> Arc<Budget> {
        let budget = Arc::new(Budget::default());
        self.peers.rcu(|peers| {
            let mut peers = BTreeMap::clone(peers);
            peers.entry(peer).or_insert_with(|| budget.clone());
            peers
        });
        // Another may have been faster, and its one counts.
        self.peers.load().get(&peer).cloned().unwrap_or(budget)
    }

    /// The bytes that are open to all peers.
    pub(super) fn bytes(&self) -> u64 {
        let peers = self.peers.load();
        let open = peers
            .values()
            .map(|budget| budget.0.load(Ordering::Relaxed));
        open.map(|open| open & ((1 << ASKS_SHIFT) - 1)).sum()
    }

    pub(super) fn forget(&self, peer: Incarnation) {
        self.peers.rcu(|peers| {
            let mut peers = BTreeMap::clone(peers);
            peers.remove(&peer);
            peers
        });
    }
}

impl Drop for Spent {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.share, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_trait::async_trait;
    use jido_core::{ManagerName, NodeName, Operation};

    use super::super::{AskError, Exchange, Payload, Question};
    use super::*;
    use crate::error::Error;
    use crate::members::{Member, Members};
    use crate::transport::{Inbox, Peer, SendError, Transport};

    const PEER: Incarnation = Incarnation(2);

    /// Takes what is sent, or refuses it.
    #[derive(Debug)]
    struct Taker(bool);

    #[async_trait]
    impl Transport for Taker {
        async fn start(&self, _: Arc<dyn Inbox>) -> Result<(), Error> {
            Ok(())
        }

        fn address(&self) -> String {
            String::new()
        }

        fn send(&self, _: Incarnation, _: u64, _: &[u8]) -> Result<(), SendError> {
            self.0.then_some(()).ok_or(SendError::Unreachable)
        }

        fn discovered(&self, _: Peer) {}

        fn is_settled(&self) -> bool {
            true
        }

        async fn stop(&self) {}
    }

    /// A message; the session with the peer may end while it is written.
    struct Ends<'a>(Option<&'a Exchange>);

    impl Payload for Ends<'_> {
        fn write(&self, out: &mut Vec<u8>) -> Result<(), jido_core::Error> {
            out.extend_from_slice(b"a message");
            if let Some(exchange) = self.0 {
                exchange.peer_down(PEER);
            }
            Ok(())
        }
    }

    fn name(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    #[tokio::test]
    async fn an_ask_that_comes_in_between_leaves_no_budget_of_a_peer_that_is_gone() {
        for takes in [true, false] {
            let me = Member::new(name("n1"), Incarnation(1), String::new());
            let exchange = Exchange::new(Arc::new(Taker(takes)), Arc::new(Members::new(me)));
            exchange.peer_up(Peer {
                name: name("n2"),
                incarnation: PEER,
                address: String::new(),
            });
            let ask = |payload| {
                let question = Question {
                    operation: Operation::Stats,
                    key: None,
                    verify: false,
                    request: None,
                    trace: None,
                    budget: Duration::ZERO,
                    lane: 0,
                    relay: 0,
                    payload,
                };
                exchange.ask(PEER, &ManagerName::new("counters").unwrap(), question)
            };
            let known = || exchange.budgets.peers.load().contains_key(&PEER);
            let before = ask(Ends(None));
            assert!(known());
            let late = ask(Ends(Some(&exchange)));
            assert!(!known());
            for asked in [before, late] {
                match asked {
                    Ok(answer) => assert!(takes && answer.await.is_none()),
                    Err(AskError::Send(SendError::Unreachable)) => assert!(!takes),
                    Err(error) => panic!("{error:?}"),
                }
            }
            assert_eq!(exchange.budgets.bytes(), 0);
        }
    }

    #[test]
    fn a_share_is_refused_beyond_the_bound_and_given_back_by_its_drop() {
        let budgets = Budgets::default();
        let peer = Incarnation(1);
        let first = budgets.take(peer, MAX_BYTES as usize).unwrap();
        assert!(budgets.take(peer, 1).is_none());
        assert!(budgets.take(Incarnation(2), 1).is_some());
        assert_eq!(budgets.bytes(), MAX_BYTES);
        drop(first);
        assert_eq!(budgets.bytes(), 0);
        let open: Vec<_> = (0..MAX_ASKS)
            .map(|_| budgets.take(peer, 0).unwrap())
            .collect();
        assert!(budgets.take(peer, 0).is_none());
        drop(open);
        assert!(budgets.take(peer, 0).is_some());
    }
}
