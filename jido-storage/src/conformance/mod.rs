//! The rules of [`Storage`], as cases that every adapter has to pass.
//!
//! ```
//! # use std::sync::Arc;
//! # use jido_storage::{MemoryStorage, Storage, conformance};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! conformance::run(|| async { Arc::new(MemoryStorage::new()) as Arc<dyn Storage> }).await;
//! # }
//! ```
//!
//! [`run`] is one call for everything; a durable or shared adapter takes [`Suite::at`], which
//! also reopens storages and starts processes. Which cases there are, and which rule each of
//! them holds, stands in `docs/conformance.md`, and [`cases`] lists them.
//!
//! The sequences of operations that the suite generates are the same in every run.
//! `JIDO_LONG=1` makes them twenty times as many, from seeds that are new each time;
//! `JIDO_CONFORMANCE_SEED=n` runs the one of a seed, which a failure names.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "this is test code: a rule that is broken ends the case with a panic, and cases start tasks"
)]

mod appends;
mod batches;
mod case;
mod claims;
mod delete;
mod directory;
mod erasing;
mod fixture;
mod generated;
mod heads;
mod hostile;
mod journal;
mod keys;
mod limits;
mod nodes;
mod processes;
mod races;
mod release;
mod reminders;
mod reopening;
mod report;
mod requests;
mod settled;
mod stage;
mod suite;
mod threads;
mod witness;

use std::future::Future;
use std::sync::Arc;

pub use self::case::{Case, Rule};
pub use self::hostile::hostile_cursor;
pub use self::processes::child;
pub use self::report::{Outcome, Report};
pub use self::suite::Suite;
use crate::Storage;
use case::cases;

/// Every case of the suite, in the order in which they run.
pub fn cases() -> impl Iterator<Item = Case> {
    let files = [
        nodes::CASES,
        claims::CASES,
        appends::CASES,
        batches::CASES,
        requests::CASES,
        erasing::CASES,
        settled::CASES,
        release::CASES,
        reminders::CASES,
        delete::CASES,
        threads::CASES,
        journal::CASES,
        directory::CASES,
        heads::CASES,
        limits::CASES,
        keys::CASES,
        races::CASES,
        generated::CASES,
        reopening::CASES,
        processes::CASES,
    ];
    files.into_iter().flatten().copied()
}

/// Runs every case, each on an empty storage of its own from `factory`, prints the report
/// and gives it back. The same as [`Suite::new`] and [`Suite::run`].
///
/// # Panics
///
/// When a rule is broken. The message names every case that failed, its rule and what it saw.
pub async fn run<F, S>(factory: F) -> Report
where
    F: Fn() -> S,
    S: Future<Output = Arc<dyn Storage>>,
{
    Suite::new(factory).run().await
}
