//! jido cluster
pub mod environment;
pub mod error;
mod runtime;
pub mod transport;
