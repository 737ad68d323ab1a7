//! Asks that wait for their answer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use jido_core::{Answer, Incarnation};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Exchange;
use super::budget::Spent;

/// Tables are split so that tasks on different cores seldom meet at one lock.
const SHARDS: usize = 16;

#[derive(Debug)]
struct Open {
    to: Incarnation,
    answer: oneshot::Sender<Answer>,
    _spent: Spent,
}

type Table = HashMap<u64, Open, foldhash::fast::FixedState>;

#[derive(Debug, Default)]
pub(super) struct Pending {
    next: AtomicU64,
    shards: [Mutex<Table>; SHARDS],
}

/// An ask that was sent. Dropping it forgets the answer.
#[derive(Debug)]
pub(crate) struct PendingAnswer {
    correlation: u64,
    answer: oneshot::Receiver<Answer>,
    exchange: Weak<Exchange>,
    /// Whether it may still be in the table.
    is_open: bool,
}

impl Pending {
    fn shard(&self, correlation: u64) -> &Mutex<Table> {
        &self.shards[(correlation % SHARDS as u64) as usize]
    }

    pub(super) fn open(
        &self,
        exchange: &Arc<Exchange>,
        to: Incarnation,
        spent: Spent,
    ) -> PendingAnswer {
        let correlation = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, receiver) = oneshot::channel();
        self.shard(correlation).lock().insert(
            correlation,
            Open {
                to,
                answer,
                _spent: spent,
            },
        );
        PendingAnswer {
            correlation,
            answer: receiver,
            exchange: Arc::downgrade(exchange),
            is_open: true,
        }
    }

    fn close(&self, correlation: u64) -> Option<Open> {
        self.shard(correlation).lock().remove(&correlation)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.lock().is_empty())
    }

    /// Hands an answer to whoever waits for it, if it comes from the asked peer.
    pub(super) fn answer(&self, from: Incarnation, answer: Answer) {
        let correlation = answer.correlation;
        let mut shard = self.shard(correlation).lock();
        if shard.get(&correlation).is_none_or(|open| open.to != from) {
            // Its caller has stopped waiting.
            tracing::trace!(%from, correlation, "an answer that nobody waits for");
            return;
        }
        let open = shard.remove(&correlation);
        drop(shard);
        if let Some(open) = open {
            let _ = open.answer.send(answer);
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Ends all asks to a peer whose session has ended.
    pub(super) fn interrupt(&self, peer: Incarnation) {
        for shard in &self.shards {
            // Dropping the sender tells the waiting caller.
            shard.lock().retain(|_, open| open.to != peer);
        }
    }

    pub(super) fn interrupt_one(&self, correlation: u64) {
        drop(self.close(correlation));
    }
}

impl PendingAnswer {
    pub(super) fn correlation(&self) -> u64 {
        self.correlation
    }

    /// Waits for the answer; none when the session ended first, and then the ask
    /// may have been executed.
    pub(crate) async fn wait(mut self) -> Option<Answer> {
        let answer = (&mut self.answer).await.ok();
        self.is_open = false;
        answer
    }
}

impl Drop for PendingAnswer {
    fn drop(&mut self) {
        // What was answered or interrupted is out of the table already.
        if self.is_open
            && let Some(exchange) = self.exchange.upgrade()
        {
            drop(exchange.pending.close(self.correlation));
        }
    }
}
