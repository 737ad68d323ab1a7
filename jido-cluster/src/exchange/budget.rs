//! Bounds on what is open to one peer.
//!
//! A share is given back by the answer. An asker that gives up takes nothing back of what
//! waits in memory to be sent: its share is kept until the peer has certainly read the ask. An
//! answer tells: to this very ask, or to one that was sent after it in the same order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use jido_core::Incarnation;
use parking_lot::Mutex;

/// Asks go by so many lanes, whatever their keys: few, so that each is used often, and more
/// than any transport tells apart.
pub(crate) const LANES: u64 = 16;

/// Asks that may be open to one peer at a time. Some ten times what the fastest
/// peer answers within a round trip; beyond it callers only wait.
const MAX_ASKS: u64 = 65_536;

/// Bytes of messages that may be open to one peer at a time, since a peer that
/// stalls keeps them all in memory.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Asks are counted above this bit and bytes below it, so that a share is taken in one
/// step: no bytes that come near it are ever let in.
const ASKS_SHIFT: u32 = 40;

/// A mark has its lane above this bit, and a number below it.
const LANE_SHIFT: u32 = u64::BITS - LANES.ilog2();

/// What is open to one peer.
#[derive(Debug, Default)]
struct Budget {
    open: AtomicU64,
    /// How many askers have given up. One that asks takes it along: whatever was given up
    /// before was sent before.
    given_up: AtomicU64,
    /// How many of their shares are kept, so that nobody looks for them in vain.
    kept_len: AtomicUsize,
    /// Those shares, by lane and by the number of who gave up.
    kept: Mutex<BTreeMap<u64, u64>>,
}

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
    /// Its lane, and how many had given up before.
    mark: u64,
    /// Under what the share is kept, once its asker has given up.
    kept: Option<u64>,
}

impl Budgets {
    /// Takes the share of one ask, if there is room.
    pub(super) fn take(&self, peer: Incarnation, lane: u64, bytes: usize) -> Option<Spent> {
        let known = self.peers.load().get(&peer).cloned();
        let budget = known.unwrap_or_else(|| self.begin(peer));
        let spent = Spent {
            share: 1 << ASKS_SHIFT | bytes as u64,
            mark: mark(lane, budget.given_up.load(Ordering::Acquire)),
            kept: None,
            budget,
        };
        let before = spent.budget.open.fetch_add(spent.share, Ordering::Relaxed);
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
            .map(|budget| budget.open.load(Ordering::Relaxed));
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

fn mark(lane: u64, number: u64) -> u64 {
    (lane % LANES) << LANE_SHIFT | number
}

impl Spent {
    /// Its asker has given up. The share is kept for as long as this is, unless another answer
    /// tells that the peer has read the ask.
    pub(super) fn give_up(&mut self) {
        let lane = self.mark >> LANE_SHIFT;
        let mut kept = self.budget.kept.lock();
        let number = mark(lane, self.budget.given_up.fetch_add(1, Ordering::AcqRel));
        kept.insert(number, self.share);
        self.budget.kept_len.store(kept.len(), Ordering::Relaxed);
        self.kept = Some(number);
    }

    /// The peer has answered: it has read this ask and all before it.
    pub(super) fn answered(self) {
        if self.budget.kept_len.load(Ordering::Relaxed) > 0 {
            self.budget
                .release(mark(self.mark >> LANE_SHIFT, 0)..self.mark);
        }
    }
}

impl Budget {
    /// Gives back what is kept under these marks.
    fn release(&self, marks: std::ops::Range<u64>) {
        let mut kept = self.kept.lock();
        let released = kept.extract_if(marks, |_, _| true);
        let share: u64 = released.map(|(_, share)| share).sum();
        self.kept_len.store(kept.len(), Ordering::Relaxed);
        self.open.fetch_sub(share, Ordering::Relaxed);
    }
}

impl Drop for Spent {
    fn drop(&mut self) {
        match self.kept {
            None => {
                self.budget.open.fetch_sub(self.share, Ordering::Relaxed);
            }
            Some(mark) => self.budget.release(mark..mark + 1),
        }
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
        let first = budgets.take(peer, 0, MAX_BYTES as usize).unwrap();
        assert!(budgets.take(peer, 0, 1).is_none());
        assert!(budgets.take(Incarnation(2), 0, 1).is_some());
        assert_eq!(budgets.bytes(), MAX_BYTES);
        drop(first);
        assert_eq!(budgets.bytes(), 0);
        let open: Vec<_> = (0..MAX_ASKS)
            .map(|_| budgets.take(peer, 0, 0).unwrap())
            .collect();
        assert!(budgets.take(peer, 0, 0).is_none());
        drop(open);
        assert!(budgets.take(peer, 0, 0).is_some());
    }

    #[test]
    fn the_share_of_who_gave_up_is_kept_until_an_answer_tells_that_the_ask_was_read() {
        let budgets = Budgets::default();
        let take = |lane| budgets.take(PEER, lane, 10).unwrap();
        let before = take(3);
        let [mut first, mut second, mut other] = [take(3), take(3 + LANES), take(4)];
        first.give_up();
        let between = take(3);
        second.give_up();
        other.give_up();
        assert_eq!(budgets.bytes(), 50);
        // It may have been read before they were.
        before.answered();
        assert_eq!(budgets.bytes(), 40);
        // This one was sent after the first.
        between.answered();
        assert_eq!(budgets.bytes(), 20);
        take(5).answered();
        assert_eq!(budgets.bytes(), 20, "that has an order of its own");
        take(3).answered();
        assert_eq!(budgets.bytes(), 10);
        // What was given back is not given back twice.
        drop((first, second));
        assert_eq!(budgets.bytes(), 10);
        other.answered();
        assert_eq!(budgets.bytes(), 0);
        assert!(budgets.peers.load()[&PEER].kept.lock().is_empty());
    }
}
