//! A Postgres server for tests.
//!
//! [`TemporaryPostgres`] is made from the machine's own programs in a temporary
//! folder, and goes with all that it wrote. Where `DATABASE_URL` is set, that
//! server is used instead.

mod account;
mod builder;
mod children;
mod keeper;
mod programs;
mod psql;
mod server;
mod temporary;

pub use builder::TemporaryPostgresBuilder;
pub use server::Shutdown;
pub use temporary::TemporaryPostgres;
