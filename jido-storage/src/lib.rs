//! The storage contract of jido, and its adapters.
//!
//! [`Storage`] is the seam: claims, revision-checked appends, loads, node leases
//! and a directory. Its rules stand on the trait. Adapters:
//!
//! - [`MemoryStorage`]: the reference, for tests and for state that may be lost;
//! - `LmdbStorage` (feature `lmdb`): durable, shared by the processes of one machine.
//!
//! This crate knows nothing of actors, of a network, or of how a cluster decides.

mod commit;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
#[cfg(feature = "lmdb")]
mod lmdb;
mod memory;
mod records;
mod storage;

pub use commit::{AppendOutcome, Commit, Erase, RequestRecord};
pub use error::{Error, ErrorKind};
#[cfg(feature = "lmdb")]
pub use lmdb::{LmdbOptions, LmdbStorage};
pub use memory::MemoryStorage;
pub use records::{
    AgentRecord, AgentStatus, ClaimOutcome, ClaimRequest, CommittedRequest, Cursor, DirectoryPage,
    DirectoryQuery, Loaded, NodeRecord, NodeRegistration, NodeState, Registration, Renewal,
    RequestMark, RequestWindow,
};
pub use storage::{Capabilities, Sharing, Storage};
