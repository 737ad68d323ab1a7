//! Asks that wait for their answer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crossbeam_utils::CachePadded;
use jido_core::{Answer, Incarnation};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::budget::Spent;
use crate::runtime;

/// Each thread opens asks in one of so many tables, so that threads seldom meet at one
/// lock or at one counter.
const SHARDS: usize = 16;

/// A correlation number has its table in its highest bits, and counts below them: answers go by
/// the lane of their number, so neighbours are to have different ones.
const SHARD_SHIFT: u32 = u64::BITS - SHARDS.ilog2();

#[derive(Debug)]
struct Open {
    to: Incarnation,
    answer: oneshot::Sender<Answer>,
    _spent: Spent,
}

#[derive(Debug, Default)]
struct Table {
    opened: u64,
    open: HashMap<u64, Open, foldhash::fast::FixedState>,
}

type Shard = CachePadded<Mutex<Table>>;

#[derive(Debug, Default)]
pub(super) struct Pending {
    shards: [Arc<Shard>; SHARDS],
}

/// An ask that was sent. Dropping it forgets the answer.
#[derive(Debug)]
pub(crate) struct PendingAnswer {
    correlation: u64,
    answer: oneshot::Receiver<Answer>,
    shard: Arc<Shard>,
    /// Whether it may still be in the table.
    is_open: bool,
}

impl Pending {
    /// A correlation number says which table has it.
    fn shard(&self, correlation: u64) -> &Shard {
        &self.shards[(correlation >> SHARD_SHIFT) as usize]
    }

    pub(super) fn open(&self, to: Incarnation, spent: Spent) -> PendingAnswer {
        let number = runtime::thread_number() % SHARDS;
        let shard = &self.shards[number];
        let (answer, receiver) = oneshot::channel();
        let open = Open {
            to,
            answer,
            _spent: spent,
        };
        let mut table = shard.lock();
        let correlation = (number as u64) << SHARD_SHIFT | table.opened;
        table.opened += 1;
        table.open.insert(correlation, open);
        drop(table);
        PendingAnswer {
            correlation,
            answer: receiver,
            shard: shard.clone(),
            is_open: true,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.lock().open.is_empty())
    }

    /// Hands an answer to whoever waits for it, if it comes from the asked peer.
    pub(super) fn answer(&self, from: Incarnation, answer: Answer) {
        let correlation = answer.correlation;
        let mut table = self.shard(correlation).lock();
        let open = match table.open.entry(correlation) {
            Entry::Occupied(open) if open.get().to == from => open.remove(),
            Entry::Occupied(_) | Entry::Vacant(_) => {
                // Its caller has stopped waiting.
                tracing::trace!(%from, correlation, "an answer that nobody waits for");
                return;
            }
        };
        drop(table);
        let _ = open.answer.send(answer);
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().open.len())
            .sum()
    }

    /// Ends all asks to a peer whose session has ended.
    pub(super) fn interrupt(&self, peer: Incarnation) {
        for shard in &self.shards {
            // Dropping the sender tells the waiting caller.
            shard.lock().open.retain(|_, open| open.to != peer);
        }
    }

    pub(super) fn interrupt_one(&self, correlation: u64) {
        close(self.shard(correlation), correlation);
    }
}

/// Forgets an ask; whoever still waits for its answer is told.
fn close(shard: &Shard, correlation: u64) {
    let open = shard.lock().open.remove(&correlation);
    drop(open);
}

impl PendingAnswer {
    pub(super) fn correlation(&self) -> u64 {
        self.correlation
    }
}

/// Ends with the answer; with none when the session ended first, and then the ask may
/// have been executed.
impl Future for PendingAnswer {
    type Output = Option<Answer>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Answer>> {
        let answer = ready!(Pin::new(&mut self.answer).poll(cx));
        self.is_open = false;
        Poll::Ready(answer.ok())
    }
}

impl Drop for PendingAnswer {
    fn drop(&mut self) {
        // What was answered or interrupted is out of the table already.
        if self.is_open {
            close(&self.shard, self.correlation);
        }
    }
}
