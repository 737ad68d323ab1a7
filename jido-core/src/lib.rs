//! The vocabulary of jido: agents, keys, identities, envelopes, threads,
//! checkpoints, the codec and errors.
//!
//! This crate is pure: it knows nothing of actors, runtimes, sockets or
//! storage. Everything here can be tested without one.
//!
//! Users of jido depend on `jido-cluster`, which re-exports this crate.

mod agent;
mod checkpoint;
mod codec;
mod context;
mod counters;
mod envelope;
mod error;
mod event_sourced;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod id;
mod key;
mod labels;
mod name;
mod reminder;
mod request;
mod thread;
mod trace_context;

pub use agent::{Agent, AgentError, Checkpoints};
pub use checkpoint::Checkpoint;
pub use codec::{
    BLOB_HEADER_LEN, Blob, decode_payload, decode_state, encode_payload, encode_state,
    write_payload,
};
pub use context::{Context, Effects, MAX_TIMERS, Timer, Turn};
pub use counters::{Epoch, Incarnation, Revision, Seq, Timestamp};
pub use envelope::{
    Answer, AnswerStatus, Ask, Envelope, EnvelopeError, Notice, Operation, PROTOCOL_VERSION,
    Renewal, Route,
};
pub use error::{Error, ErrorKind, Executed};
pub use event_sourced::{EventSourced, Sourced};
pub use id::AgentId;
pub use key::{AgentKey, MAX_KEY_LEN};
pub use labels::{DEFAULT_WEIGHT, Labels, MAX_WEIGHT};
pub use name::{ClusterName, MAX_NAME_LEN, ManagerName, NodeName};
pub use reminder::{
    DueReminder, LAST_TIME, MAX_REMINDER_BYTES, MAX_REMINDER_NAME_LEN, MAX_REMINDERS, MIN_INTERVAL,
    Missed, Occurrence, Reminder, ReminderList, SKIP_AFTER, Schedule,
};
pub use request::{RequestId, RequestTry};
pub use thread::{Entry, MAX_ENTRY_KIND_LEN, NewEntry};
pub use trace_context::{MAX_TRACE_STATE_LEN, TraceContext, TraceIdHex};
