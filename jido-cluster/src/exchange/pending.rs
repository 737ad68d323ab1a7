//! Asks that wait for their answer.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crossbeam_utils::CachePadded;
use jido_core::{Answer, Incarnation};
use parking_lot::Mutex;
use slab::Slab;

use super::budget::Spent;
use crate::runtime::{self, SHARDS};

/// A correlation number has its table in its highest bits, then the place in it (there is no
/// memory for as many as fit), and counts below them: answers go by the lane of their number, so
/// neighbours are to have different ones.
const SHARD_SHIFT: u32 = u64::BITS - SHARDS.ilog2();
const PLACE_SHIFT: u32 = u32::BITS;

/// A table that is empty keeps no more places than these.
const KEPT: usize = 4_096;

struct Open {
    correlation: u64,
    to: Incarnation,
    /// Its share of what may be open to the peer, until the answer is there.
    spent: Option<Spent>,
    state: State,
}

/// What an ask leaves that has ended. Dropped, its share is given back.
struct Left {
    waker: Option<Waker>,
    spent: Option<Spent>,
}

impl Open {
    /// Sets how it has ended, unless that is known.
    fn settle(&mut self, ended: State) -> Option<Left> {
        let State::Waiting(waker) = &mut self.state else {
            return None;
        };
        let left = Left {
            waker: waker.take(),
            spent: self.spent.take(),
        };
        self.state = ended;
        Some(left)
    }
}

enum State {
    Waiting(Option<Waker>),
    Answered(Answer),
    /// The session has ended.
    Interrupted,
    /// Its asker has given up, and its share is kept for an answer to come.
    GivenUp,
}

#[derive(Default)]
struct Table {
    /// Those that wait, those whose caller hasn't taken the answer yet, and those whose caller
    /// has given up and that were not answered.
    open: Slab<Open>,
    waiting: usize,
    /// Tells those apart that had a place in turn.
    opened: u32,
}

/// Without the answers, which are their askers'.
impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("open", &self.open.len())
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}

type Shard = CachePadded<Mutex<Table>>;

#[derive(Debug, Default)]
pub(super) struct Pending {
    shards: [Arc<Shard>; SHARDS],
}

/// An ask that was sent. Dropping it gives up the answer.
#[derive(Debug)]
pub(crate) struct PendingAnswer {
    correlation: u64,
    shard: Arc<Shard>,
    /// Whether it is in the table.
    is_open: bool,
}

impl Pending {
    /// A correlation number says which table has it.
    fn shard(&self, correlation: u64) -> &Shard {
        &self.shards[(correlation >> SHARD_SHIFT) as usize]
    }

    pub(super) fn open(&self, to: Incarnation, spent: Spent) -> PendingAnswer {
        let number = runtime::shard();
        let shard = &self.shards[number];
        let correlation = shard.lock().open((number as u64) << SHARD_SHIFT, to, spent);
        PendingAnswer {
            correlation,
            shard: shard.clone(),
            is_open: true,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands an answer to whoever waits for it, if it comes from the asked peer.
    pub(super) fn answer(&self, from: Incarnation, answer: Answer) {
        let correlation = answer.correlation;
        let mut table = self.shard(correlation).lock();
        let asked = table.get(correlation).is_some_and(|open| open.to == from);
        if !asked {
            tracing::trace!(%from, correlation, "an answer that nobody waits for");
            return;
        }
        let left = match table.settle(correlation, State::Answered(answer)) {
            Some(left) => Some(left),
            // Its caller has stopped waiting, but it tells how far the peer has come.
            None => table.remove_given_up(correlation),
        };
        drop(table);
        left.into_iter().for_each(Left::answered);
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().waiting).sum()
    }

    /// Ends all asks to a peer whose session has ended.
    pub(super) fn interrupt(&self, peer: Incarnation) {
        for shard in &self.shards {
            let mut table = shard.lock();
            let asked = table.open.iter_mut().map(|(_, open)| open);
            let left: Vec<_> = asked
                .filter(|open| open.to == peer)
                .filter_map(|open| open.settle(State::Interrupted))
                .collect();
            table.waiting -= left.len();
            let given_up = table.given_up_to(peer);
            drop(table);
            drop(given_up);
            left.into_iter().for_each(Left::wake);
        }
    }

    pub(super) fn interrupt_one(&self, correlation: u64) {
        let left = self
            .shard(correlation)
            .lock()
            .settle(correlation, State::Interrupted);
        left.into_iter().for_each(Left::wake);
    }
}

impl Left {
    fn answered(mut self) {
        if let Some(spent) = self.spent.take() {
            spent.answered();
        }
        self.wake();
    }

    fn wake(self) {
        if let Some(waker) = self.waker {
            waker.wake();
        }
    }
}

fn place(correlation: u64) -> usize {
    ((correlation & !(u64::MAX << SHARD_SHIFT)) >> PLACE_SHIFT) as usize
}

/// Wakers and answers are given out, to be dropped when the table is not locked: with one a
/// task may end that has asks of its own.
impl Table {
    fn open(&mut self, shard: u64, to: Incarnation, spent: Spent) -> u64 {
        self.opened = self.opened.wrapping_add(1);
        self.waiting += 1;
        let entry = self.open.vacant_entry();
        let correlation = shard | (entry.key() as u64) << PLACE_SHIFT | u64::from(self.opened);
        entry.insert(Open {
            correlation,
            to,
            spent: Some(spent),
            state: State::Waiting(None),
        });
        correlation
    }

    fn get(&mut self, correlation: u64) -> Option<&mut Open> {
        let open = self.open.get_mut(place(correlation));
        // The place may be another's by now.
        open.filter(|open| open.correlation == correlation)
    }

    fn settle(&mut self, correlation: u64, ended: State) -> Option<Left> {
        let left = self.get(correlation)?.settle(ended)?;
        self.waiting -= 1;
        Some(left)
    }

    /// Takes an ask off that has ended. While it hasn't, it waits on with this waker, and the
    /// one that it had before is given out.
    fn take(&mut self, correlation: u64, waker: &Waker) -> Result<Option<Open>, Option<Waker>> {
        match self.get(correlation).map(|open| &mut open.state) {
            Some(State::Waiting(Some(known))) if known.will_wake(waker) => Err(None),
            Some(State::Waiting(known)) => Err(known.replace(waker.clone())),
            Some(State::Answered(_) | State::Interrupted | State::GivenUp) | None => {
                Ok(self.close(correlation))
            }
        }
    }

    /// Nobody waits for the answer any more. What is given out is dropped when the table is not
    /// locked.
    fn give_up(&mut self, correlation: u64) -> Option<(State, Option<Open>)> {
        let open = self.get(correlation)?;
        let State::Waiting(_) = open.state else {
            return Some((State::GivenUp, self.close(correlation)));
        };
        let before = std::mem::replace(&mut open.state, State::GivenUp);
        if let Some(spent) = &mut open.spent {
            spent.give_up();
        }
        self.waiting -= 1;
        Some((before, None))
    }

    fn remove_given_up(&mut self, correlation: u64) -> Option<Left> {
        self.get(correlation)
            .filter(|open| matches!(open.state, State::GivenUp))?;
        let Open { spent, .. } = self.close(correlation)?;
        Some(Left { waker: None, spent })
    }

    /// Takes off those to a peer that nobody waits for.
    fn given_up_to(&mut self, peer: Incarnation) -> Vec<Open> {
        let given_up = self
            .open
            .iter()
            .filter(|(_, open)| open.to == peer && matches!(open.state, State::GivenUp));
        let given_up: Vec<u64> = given_up.map(|(_, open)| open.correlation).collect();
        given_up
            .into_iter()
            .filter_map(|correlation| self.close(correlation))
            .collect()
    }

    fn close(&mut self, correlation: u64) -> Option<Open> {
        self.get(correlation)?;
        let open = self.open.remove(place(correlation));
        if let State::Waiting(_) = open.state {
            self.waiting -= 1;
        }
        if self.open.is_empty() && self.open.capacity() > KEPT {
            self.open.shrink_to_fit();
        }
        Some(open)
    }
}

impl PendingAnswer {
    pub(super) fn correlation(&self) -> u64 {
        self.correlation
    }

    /// It went on its way, or, with an error, did not: no answer will come then.
    pub(super) fn sent<E>(mut self, sent: Result<(), E>) -> Result<Self, E> {
        if let Err(error) = sent {
            self.is_open = false;
            let open = self.shard.lock().close(self.correlation);
            drop(open);
            return Err(error);
        }
        Ok(self)
    }
}

/// Ends with the answer; with none when the session ended first, and then the ask may
/// have been executed.
impl Future for PendingAnswer {
    type Output = Option<Answer>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Answer>> {
        let taken = self.shard.lock().take(self.correlation, cx.waker());
        let Ok(taken) = taken else {
            return Poll::Pending;
        };
        self.is_open = false;
        Poll::Ready(match taken.map(|open| open.state) {
            Some(State::Answered(answer)) => Some(answer),
            Some(State::Interrupted | State::Waiting(_) | State::GivenUp) | None => None,
        })
    }
}

impl Drop for PendingAnswer {
    fn drop(&mut self) {
        if self.is_open {
            let left = self.shard.lock().give_up(self.correlation);
            drop(left);
        }
    }
}

#[cfg(test)]
mod tests;
