//! The Postgres adapter keeps the rules, on real servers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "this is test code: what goes wrong ends the test, and it starts tasks and processes"
)]

mod conformance;
mod corrupt;
mod crash;
mod errors;
mod fixture;
mod lives;
mod lost;
mod numbers;
mod plans;
mod pool;
mod pooler;
mod race;
mod reminders;
mod roles;
mod schema;
mod secrets;
mod statements;
mod tls;
