//! Runs cases.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;

use super::case::{Body, Case, Unmet};
use super::report::{Outcome, Report};
use super::stage::Stage;
use crate::Storage;

/// The suite, on its way to run: over which storages, and with what help.
///
/// [`run`](super::run) is enough for an adapter that keeps nothing beyond its
/// process. One that does says where, so that the cases about reopening and
/// about several processes run too:
///
/// ```no_run
/// # use std::sync::Arc;
/// # use jido_storage::{MemoryStorage, Storage, conformance::{self, Suite}};
/// # async fn my_storage(place: String) -> Arc<dyn Storage> { Arc::new(MemoryStorage::new()) }
/// # fn place() -> String { String::new() }
/// #[tokio::test(flavor = "multi_thread")]
/// async fn conformance() {
///     Suite::at(place, my_storage).processes("child").run().await;
/// }
///
/// /// This test, in a process of its own, is a part of the one above; else it does nothing.
/// #[tokio::test(flavor = "multi_thread")]
/// async fn child() {
///     conformance::child(my_storage).await;
/// }
/// # fn main() {}
/// ```
pub struct Suite<'s> {
    stage: Stage<'s>,
}

impl<'s> Suite<'s> {
    /// A suite over storages that `factory` makes, each of them empty. Cases that open
    /// a storage again are not run, and are reported so where they apply.
    pub fn new<F, S>(factory: F) -> Self
    where
        F: Fn() -> S + 's,
        S: Future<Output = Arc<dyn Storage>> + 's,
    {
        Self {
            stage: Stage::fresh_from(factory),
        }
    }

    /// A suite over storages that can be opened again: `place` names a place where
    /// nothing is yet (a new folder, a new schema), and `open` opens what is there, also
    /// after it was closed, and from another process too. A place stays until the
    /// suite is dropped.
    pub fn at<P, F, S>(place: P, open: F) -> Self
    where
        P: Fn() -> String + 's,
        F: Fn(String) -> S + 's,
        S: Future<Output = Arc<dyn Storage>> + 's,
    {
        Self {
            stage: Stage::placed(place, open),
        }
    }

    /// Lets cases start processes: this same test program, with nothing but the test of
    /// the path `test` (`child`, `module::child`), which calls [`child`](super::child).
    #[must_use]
    pub fn processes(mut self, test: impl Into<String>) -> Self {
        self.stage.set_child_test(test.into());
        self
    }

    /// Runs every case, each on an empty storage of its own, prints the report and gives it back.
    ///
    /// The runtime has tokio's clock on and not paused. Cases that start tasks race for
    /// real only on a runtime of several threads.
    ///
    /// # Panics
    ///
    /// When a rule is broken. The message names every case that failed, its rule and what it saw.
    #[allow(clippy::print_stdout, reason = "what did not run is never silent")]
    pub async fn run(&self) -> Report {
        let report = self.report().await;
        println!("{report}");
        assert!(report.failures().next().is_none(), "{report}");
        report
    }

    /// Runs every case, and leaves it to the caller what to do about failures.
    pub async fn report(&self) -> Report {
        let start = now();
        let mut outcomes = Vec::new();
        for case in super::cases() {
            let began = now();
            let outcome = self.outcome(&case).await;
            outcomes.push((case, outcome, now().duration_since(began)));
        }
        Report {
            outcomes,
            took: now().duration_since(start),
        }
    }

    /// Runs the case of a name, as [`Case::name`] gives it.
    ///
    /// # Panics
    ///
    /// When there is no case of that name.
    pub async fn case(&self, name: &str) -> Outcome {
        let found = super::cases().find(|case| case.name() == name);
        let case = found.unwrap_or_else(|| panic!("there is no conformance case {name:?}"));
        self.outcome(&case).await
    }

    async fn outcome(&self, case: &Case) -> Outcome {
        let world = self.stage.fresh().await;
        match case
            .needs()
            .unmet(world.storage.capabilities(), &self.stage)
        {
            Some(Unmet::Capability(why)) => return Outcome::NotApplicable(why),
            Some(Unmet::Seam(why)) => return Outcome::NotRun(why),
            None => {}
        }
        let body = async {
            match case.body() {
                Body::Alone(body) => body(world).await,
                Body::Over(body) => {
                    drop(world);
                    body(&self.stage).await;
                }
            }
        };
        let limited = tokio::time::timeout(case.limit(), body);
        match AssertUnwindSafe(limited).catch_unwind().await {
            Ok(Ok(())) => Outcome::Passed,
            Ok(Err(_)) => Outcome::Failed(format!("it did not end within {:?}", case.limit())),
            Err(panic) => Outcome::Failed(message(&*panic)),
        }
    }
}

impl std::fmt::Debug for Suite<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Suite")
            .field("reopens", &self.stage.reopens())
            .field("child_test", &self.stage.child_test())
            .finish_non_exhaustive()
    }
}

fn now() -> Instant {
    Instant::now()
}

/// What a panic says.
pub(super) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("it panicked without a message")
        .to_owned()
}
