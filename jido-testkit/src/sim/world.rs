//! The simulated world: its one clock, its one queue of events, its chance.
//!
//! Whatever takes time outside of a node (an envelope on its way, an operation in
//! storage) is an event in one queue, ordered by the time when it is due in
//! microseconds and then by when it was queued. The runtime's own timers know whole
//! milliseconds only, and their order within one is nobody's promise.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

use fastrand::Rng;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::panics::Watch;
use super::trace::{Trace, Traced};
use crate::wiring;

struct Event {
    due: Duration,
    number: u64,
    happen: Box<dyn FnOnce() + Send>,
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

#[derive(Default)]
struct Queue {
    events: BinaryHeap<Reverse<Event>>,
    next: u64,
}

struct Inner {
    seed: u64,
    start: Instant,
    queue: Mutex<Queue>,
    sooner: Notify,
    trace: Mutex<Trace>,
}

/// The world of one simulation. Clones are handles to the same one.
#[derive(Clone)]
pub struct World(Arc<Inner>);

#[allow(
    clippy::disallowed_methods,
    reason = "the paused clock of the simulation's runtime"
)]
fn clock() -> Instant {
    Instant::now()
}

/// Tells whether anything is left of a world.
pub(crate) struct Remains(Weak<Inner>);

impl Remains {
    /// Whether anybody still holds it.
    pub(crate) fn are_held(&self) -> bool {
        self.0.strong_count() > 0
    }
}

/// Runs a simulation from a seed to its end on a runtime of its own, on this thread:
/// `body` gets the world, and all that it starts lives on one paused clock, which
/// goes on by itself whenever nothing else can happen. What is still under way when
/// `body` ends is dropped. With `keep`, the trace's lines are kept, not its hash alone.
///
/// # Errors
///
/// [`Machine`](crate::ErrorKind::Machine) when no runtime can be made.
pub fn simulate<F, T>(
    seed: u64,
    keep: bool,
    body: impl FnOnce(World) -> F,
) -> Result<(T, Traced), crate::Error>
where
    F: Future<Output = T>,
{
    let panics = Watch::begin();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| {
            crate::Error::new(crate::ErrorKind::Machine, "no runtime for a simulation")
                .caused_by(error)
        })?;
    let (output, mut traced) = runtime.block_on(async {
        let world = World::new(seed, keep);
        let driver = wiring::spawn(world.clone().drive());
        let output = Box::pin(body(world.clone())).await;
        driver.abort();
        let traced = world.0.trace.lock().end();
        // Events hold the world, which holds the events.
        world.0.queue.lock().events.clear();
        (output, traced)
    });
    // What is dropped with it may panic as well.
    drop(runtime);
    traced.panics = panics.seen();
    Ok((output, traced))
}

impl World {
    fn new(seed: u64, keep: bool) -> Self {
        Self(Arc::new(Inner {
            seed,
            start: clock(),
            queue: Mutex::default(),
            sooner: Notify::new(),
            trace: Mutex::new(Trace::new(keep)),
        }))
    }

    /// Tells later whether anything is left of the world.
    pub(crate) fn remains(&self) -> Remains {
        Remains(Arc::downgrade(&self.0))
    }

    /// The seed that everything is drawn from.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// The time since the start of the simulation.
    pub fn now(&self) -> Duration {
        clock() - self.0.start
    }

    /// A source of chance of its own for each label, so that what one part of the
    /// world draws does not change what another does.
    pub fn chance(&self, label: &str) -> Rng {
        Rng::with_seed(xxh3_64_with_seed(label.as_bytes(), self.0.seed))
    }

    /// Lets something happen after a delay. What is due at the same time happens in
    /// the order of the calls.
    pub fn after(&self, delay: Duration, happen: impl FnOnce() + Send + 'static) {
        let due = self.now() + delay;
        let mut queue = self.0.queue.lock();
        let number = queue.next;
        queue.next += 1;
        let first = queue.events.peek().is_none_or(|Reverse(e)| due < e.due);
        queue.events.push(Reverse(Event {
            due,
            number,
            happen: Box::new(happen),
        }));
        drop(queue);
        if first {
            self.0.sooner.notify_one();
        }
    }

    /// Writes a line to the trace, and so into its hash.
    pub fn note(&self, line: fmt::Arguments<'_>) {
        self.0.trace.lock().note(self.now(), line);
    }

    /// Counts an event of a kind.
    pub fn count(&self, kind: &'static str) {
        self.0.trace.lock().count(kind);
    }

    /// Leaves all that follows out of the trace: the end of a simulation, when nodes
    /// are taken down in no particular order.
    pub fn end_trace(&self) {
        self.0.trace.lock().close();
    }

    fn pop(&self) -> Result<Event, Option<Duration>> {
        let mut queue = self.0.queue.lock();
        let Some(Reverse(first)) = queue.events.peek() else {
            return Err(None);
        };
        if first.due > self.now() {
            return Err(Some(first.due));
        }
        queue.events.pop().map(|Reverse(event)| event).ok_or(None)
    }

    async fn drive(self) {
        loop {
            match self.pop() {
                Ok(event) => {
                    // The watch has seen a panic; without this loop time would stand still.
                    let _ = catch_unwind(AssertUnwindSafe(event.happen));
                    // Whoever was woken goes on before the next thing happens.
                    tokio::task::yield_now().await;
                }
                Err(None) => self.0.sooner.notified().await,
                Err(Some(due)) => {
                    tokio::select! {
                        biased;
                        () = self.0.sooner.notified() => {}
                        () = tokio::time::sleep_until(self.0.start + due) => {}
                    }
                }
            }
        }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("seed", &self.0.seed)
            .finish_non_exhaustive()
    }
}

/// A random time between two, the second excluded.
pub(crate) fn between(chance: &mut Rng, from: Duration, to: Duration) -> Duration {
    let (from, to) = (from.as_micros() as u64, to.as_micros() as u64);
    Duration::from_micros(if from < to {
        chance.u64(from..to)
    } else {
        from
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn events_within_one_millisecond_happen_in_their_own_order() {
        let (order, _) = simulate(1, false, |world| async move {
            let order = Arc::new(Mutex::new(Vec::new()));
            for (name, micros) in [("c", 700), ("a", 100), ("d", 700), ("b", 300)] {
                let order = order.clone();
                world.after(Duration::from_micros(micros), move || {
                    order.lock().push(name);
                });
            }
            tokio::time::sleep(5 * MS).await;
            order.lock().clone()
        })
        .unwrap();
        assert_eq!(order, ["a", "b", "c", "d"]);
    }

    #[test]
    fn chance_differs_by_label_and_by_seed_alone() {
        let draw = |seed, label: &str| {
            let label = label.to_owned();
            let (number, _) = simulate(
                seed,
                false,
                |world| async move { world.chance(&label).u64(..) },
            )
            .unwrap();
            number
        };
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
    }
}
