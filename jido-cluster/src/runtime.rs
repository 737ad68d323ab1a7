//! Where tasks are started: the one wiring file that spawns.

use std::cell::Cell;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinHandle;

/// Starts a task. Its owner keeps the handle, or the task ends by itself when
/// the channel that it reads is closed.
#[allow(
    clippy::disallowed_methods,
    reason = "the one place where tasks are started"
)]
pub(crate) fn spawn<F>(task: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::task::spawn(task)
}

thread_local! {
    static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
}

/// In so many parts is split what each call changes, so that threads seldom meet at one lock or
/// at one counter.
pub(crate) const SHARDS: usize = 16;

/// The part that is this thread's, below [`SHARDS`]. It is 0 where the runtime has one thread
/// alone, so that a run there is the same on every thread.
pub(crate) fn shard() -> usize {
    thread_number() % SHARDS
}

fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NUMBER.with(|mine| {
        mine.get().unwrap_or_else(|| {
            let flavor = Handle::try_current().map(|runtime| runtime.runtime_flavor());
            let number = match flavor {
                Ok(RuntimeFlavor::CurrentThread) => 0,
                _ => NEXT.fetch_add(1, Ordering::Relaxed),
            };
            mine.set(Some(number));
            number
        })
    })
}

/// A task that ends when its owner is dropped.
#[derive(Debug)]
pub(crate) struct OwnedTask(JoinHandle<()>);

impl OwnedTask {
    /// Starts a task that lives as long as what is returned.
    pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(spawn(task))
    }
}

impl Drop for OwnedTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}
