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
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "this is test code: a rule that is broken ends the run with a panic, and cases start tasks"
)]

mod appends;
mod claims;
mod delete;
mod directory;
mod erasing;
mod fixture;
mod limits;
mod model;
mod nodes;
mod races;
mod release;
mod threads;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use self::fixture::World;
use crate::Storage;

/// A case, boxed so that cases stand in a list.
type Case = (
    &'static str,
    fn(World) -> Pin<Box<dyn Future<Output = ()> + Send>>,
);

/// Makes the list of a file's cases from the names of its functions.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        pub(super) const CASES: &[super::Case] = &[
            $((concat!(module_path!(), "::", stringify!($name)), |world| Box::pin($name(world)))),*
        ];
    };
}
use cases;

/// Runs every case, each on an empty storage of its own from `factory`.
///
/// The runtime has tokio's clock on. Cases that start tasks race for real only
/// on a runtime of several threads.
///
/// # Panics
///
/// When a rule is broken. The message names the case and what it saw.
pub async fn run<F, S>(factory: F)
where
    F: Fn() -> S,
    S: Future<Output = Arc<dyn Storage>>,
{
    let files = [
        nodes::CASES,
        claims::CASES,
        appends::CASES,
        erasing::CASES,
        release::CASES,
        delete::CASES,
        threads::CASES,
        directory::CASES,
        limits::CASES,
        races::CASES,
        model::CASES,
    ];
    for (name, case) in files.into_iter().flatten() {
        let world = World::new(factory().await);
        // A task, so that a panic can be told with the case's name.
        if let Err(failed) = tokio::spawn(case(world)).await {
            let why = failed.into_panic();
            let why = why
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| why.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_default();
            let name = name.trim_start_matches("jido_storage::conformance::");
            panic!("conformance case {name}: {why}");
        }
    }
}
