//! When callers stop waiting: one task wakes all whose time is up.
//!
//! A timer of the runtime for every call costs more than all else that a call does
//! on its own node. Few calls reach their deadline, so that it may be kept coarsely:
//! a call ends up to [`TICK`] late.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use slab::Slab;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::runtime::OwnedTask;

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(20);

/// Callers on different threads seldom meet at one lock.
const SHARDS: usize = 16;

#[derive(Debug)]
struct Waiting {
    id: u64,
    at: Instant,
    waker: Waker,
}

/// The deadlines of one node.
#[derive(Debug)]
pub(crate) struct Deadlines {
    table: Arc<Table>,
    _task: OwnedTask,
}

#[derive(Debug, Default)]
struct Table {
    shards: [Mutex<Slab<Waiting>>; SHARDS],
    next: AtomicU64,
    /// Woken when there is something to look at again.
    some: Notify,
}

#[allow(
    clippy::disallowed_methods,
    reason = "the runtime's own clock, as its timers have it, which tests pause"
)]
fn now() -> Instant {
    Instant::now()
}

thread_local! {
    static SHARD: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The shard of this thread. Which one it is changes nothing but who meets whom.
fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    SHARD.with(|mine| {
        mine.get().unwrap_or_else(|| {
            let shard = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
            mine.set(Some(shard));
            shard
        })
    })
}

impl Deadlines {
    pub(crate) fn new() -> Self {
        let table = Arc::new(Table::default());
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

    /// A future that ends when this much time has passed, or up to a tick later.
    pub(crate) fn after(&self, time: Duration) -> Deadline<'_> {
        let now = now();
        // A time beyond what the clock can tell is as good as none.
        let at = now.checked_add(time).unwrap_or(now);
        Deadline {
            table: &self.table,
            at,
            place: None,
        }
    }
}

impl Table {
    /// Wakes all whose time is up; false if nobody waits.
    fn wake_late(&self) -> bool {
        let now = now();
        let mut some = false;
        for shard in &self.shards {
            let mut late = Vec::new();
            let mut waiting = shard.lock();
            waiting.retain(|_, one| {
                let is_late = one.at <= now;
                if is_late {
                    late.push(one.waker.clone());
                }
                !is_late
            });
            some |= !waiting.is_empty();
            drop(waiting);
            late.into_iter().for_each(Waker::wake);
        }
        some
    }
}

/// Ends when its time is up.
#[derive(Debug)]
pub(crate) struct Deadline<'a> {
    table: &'a Table,
    at: Instant,
    /// Shard, place in it, and id there.
    place: Option<(usize, usize, u64)>,
}

impl Deadline<'_> {
    fn leave(&mut self) {
        if let Some((shard, key, id)) = self.place.take() {
            let mut waiting = self.table.shards[shard].lock();
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
            let mut waiting = self.table.shards[shard].lock();
            match waiting.get_mut(key).filter(|one| one.id == id) {
                Some(one) => {
                    one.waker.clone_from(cx.waker());
                    return Poll::Pending;
                }
                // It was woken and taken off.
                None => return Poll::Ready(()),
            }
        }
        if self.at <= now() {
            return Poll::Ready(());
        }
        let (shard, id) = (shard(), self.table.next.fetch_add(1, Ordering::Relaxed));
        let mut waiting = self.table.shards[shard].lock();
        let first = waiting.is_empty();
        let key = waiting.insert(Waiting {
            id,
            at: self.at,
            waker: cx.waker().clone(),
        });
        drop(waiting);
        self.place = Some((shard, key, id));
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
        for ms in [1, 20, 100, 5_000] {
            let start = now();
            deadlines.after(Duration::from_millis(ms)).await;
            let took = now() - start;
            assert!(took >= Duration::from_millis(ms), "{took:?}");
            assert!(took <= Duration::from_millis(ms) + 2 * TICK, "{took:?}");
        }
        deadlines.after(Duration::ZERO).await;
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_dropped_leaves_the_others_alone() {
        let deadlines = Deadlines::new();
        for _ in 0..100 {
            let mut early = Box::pin(deadlines.after(Duration::from_secs(1)));
            let mut late = Box::pin(deadlines.after(Duration::from_secs(2)));
            assert!(futures_util::poll!(&mut early).is_pending());
            assert!(futures_util::poll!(&mut late).is_pending());
            drop(early);
            let mut reused = Box::pin(deadlines.after(Duration::from_secs(3)));
            assert!(futures_util::poll!(&mut reused).is_pending());
            late.await;
            assert!(futures_util::poll!(&mut reused).is_pending());
        }
        assert!(
            deadlines
                .table
                .shards
                .iter()
                .all(|shard| shard.lock().is_empty())
        );
    }
}
