//! The real clock, for what runs against real processes, and where tasks are started.

use std::future::Future;
use std::time::Instant;

use tokio::task::JoinHandle;

/// The time now, for deadlines and for the order of events.
#[allow(
    clippy::disallowed_methods,
    reason = "real processes live by the real clock"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Starts a task whose handle the caller keeps.
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
