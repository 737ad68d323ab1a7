//! The storage contract of jido, and its adapters.
//!
//! [`Storage`] is the seam: claims, revision-checked appends, loads, node leases
//! and a directory. Its rules stand on the trait. Adapters:
//!
//! - [`MemoryStorage`]: the reference, for tests and for state that may be lost;
//! - `LmdbStorage` (feature `lmdb`): durable, shared by the processes of one machine;
//! - `PostgresStorage` (feature `postgres`): durable, shared by all nodes of a cluster;
//! - `FoundationDbStorage` (feature `foundationdb`): durable, shared by every node of a cluster.
//!
//! A [`GroupCommitter`] stands in front of those that make no batches of their own.
//!
//! [`Journal`] gives tools and migrations an agent's checkpoint and thread by themselves.
//!
//! This crate knows nothing of actors, of a network, or of how a cluster decides.

mod batches;
mod commit;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
// What needs no client library is compiled for its tests without the feature too.
#[cfg(any(feature = "foundationdb", test))]
mod foundationdb;
mod group;
mod journal;
mod layer;
#[cfg(feature = "lmdb")]
mod lmdb;
mod memory;
#[cfg(feature = "planted-bugs")]
pub mod planted;
#[cfg(not(feature = "planted-bugs"))]
mod planted;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "foundationdb", feature = "lmdb", test))]
mod record_codec;
mod records;
mod storage;

#[cfg(feature = "foundationdb")]
pub use self::foundationdb::{FoundationDbOptions, FoundationDbStorage};
pub use batches::BatchWatcher;
pub use commit::{AppendOutcome, Commit, Erase, RequestRecord};
pub use error::{Error, ErrorKind};
pub use group::{GroupCommitter, GroupDriver, GroupOptions};
pub use journal::{Journal, Thread, ThreadAppend};
pub use layer::Layer;
#[cfg(feature = "lmdb")]
pub use lmdb::{LmdbOptions, LmdbStorage};
pub use memory::MemoryStorage;
#[cfg(feature = "postgres")]
pub use postgres::{PostgresOptions, PostgresStorage};
pub use records::{
    AgentRecord, AgentStatus, ClaimOutcome, ClaimRequest, CommittedRequest, Cursor, DirectoryPage,
    DirectoryQuery, Due, DueQuery, Loaded, NodeRecord, NodeRegistration, NodeState, Registration,
    Reminders, Renewal, RequestMark, RequestWindow,
};
pub use storage::{Batching, Capabilities, Sharing, Storage};

/// By which the targets of a fuzzer see what a decoder takes.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: jido_core::fuzz::PeakAlloc = jido_core::fuzz::PeakAlloc;
