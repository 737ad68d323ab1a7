//! When callers stop waiting: one task wakes all whose time is up.
//!
//! A timer of the runtime for every call costs more than all else that a call does
//! on its own node. Few calls reach their deadline, so that it may be kept coarsely:
//! a call ends up to [`TICK`] late.
//!
//! Deadlines are kept on the runtime's own clock, as its timers are, so that tests can
//! pause both: as the time since the node's start.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use slab::Slab;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::runtime::{self, OwnedTask, SHARDS};

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
struct Shard {
    waiting: Slab<Waiting>,
    /// Tells those apart that had a place in turn.
    next: u64,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    at: Duration,
    waker: Waker,
}

/// The deadlines of one node.
#[derive(Debug)]
pub(crate) struct Deadlines {
    table: Arc<Table>,
    _task: OwnedTask,
}

#[derive(Debug)]
struct Table {
    start: Instant,
    shards: [CachePadded<Mutex<Shard>>; SHARDS],
    /// Woken when there is something to look at again.
    some: Notify,
}

impl Deadlines {
    pub(crate) fn new() -> Self {
        let table = Arc::new(Table {
            start: clock(),
            shards: Default::default(),
            some: Notify::new(),
        });
        let watched = table.clone();
        Self {
            table,
            _task: OwnedTask::spawn(async move {
                loop {
                    if watched.wake_late() {
                        tokio::time::sleep(TICK).await;
                    } else {
                        watched.some.notified().await;
                    }
                }
            }),
        }
    }

    /// The time since the node's start.
    pub(crate) fn now(&self) -> Duration {
        self.table.now()
    }

    /// A future that ends at this time, or up to a tick later.
    pub(crate) fn at(&self, at: Duration) -> Deadline<'_> {
        Deadline {
            table: &self.table,
            at,
            place: None,
        }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the clock of the runtime's timers"
)]
fn clock() -> Instant {
    Instant::now()
}

impl Table {
    fn now(&self) -> Duration {
        clock() - self.start
    }

    /// Wakes all whose time is up; false if nobody waits.
    fn wake_late(&self) -> bool {
        let now = self.now();
        let mut some = false;
        for shard in &self.shards {
            let mut late = Vec::new();
            let mut shard = shard.lock();
            shard.waiting.retain(|_, one| {
                let is_late = one.at <= now;
                if is_late {
                    late.push(one.waker.clone());
                }
                !is_late
            });
            some |= !shard.waiting.is_empty();
            drop(shard);
            late.into_iter().for_each(Waker::wake);
        }
        some
    }
}

/// Ends when its time is up.
#[derive(Debug)]
pub(crate) struct Deadline<'a> {
    table: &'a Table,
    at: Duration,
    /// Shard, place in it, and id there.
    place: Option<(usize, usize, u64)>,
}

impl Deadline<'_> {
    fn leave(&mut self) {
        if let Some((shard, key, id)) = self.place.take() {
            let waiting = &mut self.table.shards[shard].lock().waiting;
            // The place may be another's by now.
            if waiting.get(key).is_some_and(|one| one.id == id) {
                waiting.remove(key);
            }
        }
    }
}

impl Future for Deadline<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some((shard, key, id)) = self.place {
            let waiting = &mut self.table.shards[shard].lock().waiting;
            match waiting.get_mut(key).filter(|one| one.id == id) {
                Some(one) => {
                    one.waker.clone_from(cx.waker());
                    return Poll::Pending;
                }
                // It was woken and taken off.
                None => return Poll::Ready(()),
            }
        }
        let number = runtime::shard();
        let mut shard = self.table.shards[number].lock();
        let first = shard.waiting.is_empty();
        let id = shard.next;
        shard.next += 1;
        let key = shard.waiting.insert(Waiting {
            id,
            at: self.at,
            waker: cx.waker().clone(),
        });
        drop(shard);
        self.place = Some((number, key, id));
        if first {
            self.table.some.notify_one();
        }
        Poll::Pending
    }
}

impl Drop for Deadline<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_ends_at_its_time_or_up_to_a_tick_later() {
        let deadlines = Deadlines::new();
        for ms in [0, 1, 20, 100, 5_000] {
            let (start, time) = (deadlines.now(), Duration::from_millis(ms));
            deadlines.at(start + time).await;
            let took = deadlines.now() - start;
            assert!(took >= time && took <= time + 2 * TICK, "{took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_dropped_leaves_the_others_alone() {
        let deadlines = Deadlines::new();
        for _ in 0..100 {
            let mut early = Box::pin(deadlines.at(deadlines.now() + Duration::from_secs(1)));
            let mut late = Box::pin(deadlines.at(deadlines.now() + Duration::from_secs(2)));
            assert!(futures_util::poll!(&mut early).is_pending());
            assert!(futures_util::poll!(&mut late).is_pending());
            drop(early);
            let mut reused = Box::pin(deadlines.at(deadlines.now() + Duration::from_secs(3)));
            assert!(futures_util::poll!(&mut reused).is_pending());
            late.await;
            assert!(futures_util::poll!(&mut reused).is_pending());
        }
        assert!(
            deadlines
                .table
                .shards
                .iter()
                .all(|shard| shard.lock().waiting.is_empty())
        );
    }
}
