//! jido cluster
pub mod environment;
pub mod error;
pub mod network;
mod runtime;
pub mod transport;
