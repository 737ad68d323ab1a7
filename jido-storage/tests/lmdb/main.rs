//! The LMDB adapter keeps the rules, alone and among processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "this is test code: what goes wrong ends the test, and it starts tasks and processes"
)]

mod child;
mod conformance;
mod growth;
mod kill;
mod ledger;
mod locks;
mod reserve;
mod waiting;
