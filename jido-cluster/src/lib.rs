//! Keyed, stateful agents that live exactly once in a cluster.
//!
//! Implement [`Agent`] on a struct, start an [`InstanceManager`] on every [`Node`],
//! and send messages by key. Each key has one live agent in the whole cluster; it
//! sleeps when idle, comes back with its state, moves when nodes come and go, and
//! what it acknowledged is never lost.
//!
//! ```
//! use jido_cluster::{Agent, AgentError, Context, InstanceManager, Node, storage::MemoryStorage};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct Counter {
//!     count: i64,
//! }
//!
//! #[derive(Serialize, Deserialize)]
//! enum CounterMessage {
//!     Add(i64),
//!     Get,
//! }
//!
//! impl Agent for Counter {
//!     const KIND: &'static str = "counter";
//!     type Message = CounterMessage;
//!     type Reply = i64;
//!
//!     async fn handle(
//!         &mut self,
//!         message: CounterMessage,
//!         _ctx: &mut Context<'_>,
//!     ) -> Result<i64, AgentError> {
//!         if let CounterMessage::Add(by) = message {
//!             self.count += by;
//!         }
//!         Ok(self.count)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), jido_cluster::Error> {
//! let node = Node::builder("n1")
//!     .cluster("demo")
//!     .listen(([127, 0, 0, 1], 0).into())
//!     .cookie("a secret of sixteen bytes or more")
//!     .start()
//!     .await?;
//! let counters = InstanceManager::<Counter>::builder("counters")
//!     .storage(MemoryStorage::new())
//!     .start(&node)
//!     .await?;
//!
//! assert_eq!(counters.call("counter-1", CounterMessage::Add(2)).await?, 2);
//! assert_eq!(counters.call("counter-1", CounterMessage::Get).await?, 2);
//! node.drain().await;
//! # Ok(()) }
//! ```

mod activation;
mod agent_ref;
mod attachment;
#[cfg(feature = "conformance")]
pub mod conformance;
mod deadlines;
mod delivery;
pub mod environment;
mod error;
mod exchange;
mod handle;
mod lease;
mod local;
pub mod loopback;
mod manager;
mod members;
pub mod network;
mod node;
pub mod placement;
mod reads;
pub mod rebalance;
mod reminders;
mod request;
mod router;
mod runtime;
pub mod telemetry;
pub mod transport;
mod watched;

/// Storage adapters, and the contract that they keep.
pub mod storage {
    pub use jido_storage::*;
}

pub use activation::Durability;
pub use agent_ref::AgentRef;
pub use attachment::Attachment;
pub use delivery::Reply;
pub use error::{Error, ErrorKind};
pub use handle::{DEFAULT_CALL_TIMEOUT, Handle, MAX_CALL_TIMEOUT};
pub use jido_core::{
    Agent, AgentError, AgentId, AgentKey, Checkpoint, ClusterName, Context, DEFAULT_WEIGHT,
    Effects, Entry, Epoch, EventSourced, Executed, Incarnation, LAST_TIME, Labels, MAX_KEY_LEN,
    MAX_REMINDER_BYTES, MAX_REMINDER_NAME_LEN, MAX_REMINDERS, MAX_TIMERS, MAX_TRACE_STATE_LEN,
    MAX_WEIGHT, MIN_INTERVAL, ManagerName, Missed, NodeName, Occurrence, Reminder, ReminderList,
    RequestId, Revision, SKIP_AFTER, Schedule, Seq, Sourced, Timer, Timestamp, TraceContext, Turn,
    decode_payload, encode_payload,
};
pub use lease::Takeover;
pub use manager::{
    DEFAULT_REQUEST_AGE, DEFAULT_REQUEST_COUNT, DEFAULT_WAKE_EVERY, InstanceManager,
    ManagerBuilder, ManagerMessage, ManagerState,
};
pub use members::Member;
pub use node::{Node, NodeBuilder};
pub use reads::Reads;
pub use rebalance::{
    DEFAULT_REBALANCE_INTERVAL, MAX_MIGRATIONS, Migration, MigrationReason, Migrations,
    RebalancePlan, Rebalanced,
};
pub use request::{Request, RequestOutcome};
pub use router::{AgentPage, DrainProgress, Ownership, Stats};

/// Compiles the example of the project's README.
#[cfg(all(doctest, feature = "lmdb"))]
#[doc = include_str!("../../README.md")]
struct Readme;
