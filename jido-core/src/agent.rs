//! What a user implements.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Context, Entry, Error, decode_payload};

/// A keyed, stateful agent: the struct is its state, [`handle`](Agent::handle)
/// its behaviour.
///
/// There is one live instance of each key in the whole cluster, and it handles
/// one message at a time. The runtime serializes the struct after every message
/// and commits what changed before the reply leaves. Fields that are no state
/// are marked `#[serde(skip)]` and set by the manager's `prepare` hook.
///
/// ```
/// use jido_core::{Agent, AgentError, Context};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct Counter {
///     count: i64,
/// }
///
/// #[derive(Serialize, Deserialize)]
/// enum CounterMessage {
///     Add(i64),
///     Get,
/// }
///
/// impl Agent for Counter {
///     const KIND: &'static str = "counter";
///     type Message = CounterMessage;
///     type Reply = i64;
///
///     async fn handle(
///         &mut self,
///         message: CounterMessage,
///         _ctx: &mut Context<'_>,
///     ) -> Result<i64, AgentError> {
///         if let CounterMessage::Add(by) = message {
///             self.count += by;
///         }
///         Ok(self.count)
///     }
/// }
/// ```
pub trait Agent: Serialize + DeserializeOwned + Send + 'static {
    /// The kind's name, for errors and telemetry.
    const KIND: &'static str;

    /// The version of the state's shape. Raise it with a change that
    /// `#[serde(default)]` can't bridge, and read the older ones in
    /// [`migrate`](Agent::migrate).
    const VERSION: u32 = 1;

    /// When commits carry the state: set by [`Sourced`](crate::Sourced) alone, which also
    /// implements `replay`.
    #[doc(hidden)]
    const CHECKPOINTS: Checkpoints = Checkpoints::EveryCommit;

    /// What is sent to the agent.
    type Message: Serialize + DeserializeOwned + Send + 'static;

    /// What it answers. A refusal by the agent's own rules belongs in here.
    type Reply: Serialize + DeserializeOwned + Send + 'static;

    /// Handles one message.
    ///
    /// # Errors
    ///
    /// `Err` means that the message failed: nothing that it changed or appended
    /// is kept, the caller gets the error, and the next message meets the state
    /// from before. A panic is treated the same way.
    fn handle(
        &mut self,
        message: Self::Message,
        ctx: &mut Context<'_>,
    ) -> impl Future<Output = Result<Self::Reply, AgentError>> + Send;

    /// Runs when an activation of the agent starts, before its first message: once for each
    /// time that the agent comes from storage. What it changes and appends is committed as
    /// that of a message is, and what it schedules stays scheduled.
    ///
    /// It does not run again when the same activation reads the agent from its serialized state:
    /// after a message or a commit that failed, and when it was parked. Fields that are no
    /// part of the state are lost then, so it is the manager's `prepare` hook that sets those, each
    /// time that the agent is read.
    ///
    /// # Errors
    ///
    /// After `Err` or a panic nothing of it is kept and the agent does not start: whoever
    /// sent it a message gets the error, and the next message tries again.
    fn started(
        &mut self,
        ctx: &mut Context<'_>,
    ) -> impl Future<Output = Result<(), AgentError>> + Send {
        let _ = ctx;
        async { Ok(()) }
    }

    /// Runs before the agent hibernates, because it was idle, was stopped, or has to
    /// move. What it changes and appends goes into the last commit. It does not run when
    /// the node dies, or when another node has taken the agent over, and again when the last
    /// commit failed: nothing may depend on it alone.
    ///
    /// # Errors
    ///
    /// After `Err` or a panic nothing of it is kept; the agent hibernates all the same.
    fn stopping(
        &mut self,
        ctx: &mut Context<'_>,
    ) -> impl Future<Output = Result<(), AgentError>> + Send {
        let _ = ctx;
        async { Ok(()) }
    }

    /// Reads the MessagePack of a state that code with a smaller
    /// [`VERSION`](Agent::VERSION) wrote.
    ///
    /// By default it is read as it stands, which does for added fields that have
    /// a default.
    ///
    /// # Errors
    ///
    /// An error leaves the stored state alone, and the agent can't be activated.
    fn migrate(version: u32, payload: &[u8]) -> Result<Self, AgentError> {
        let _ = version;
        Ok(decode_payload(payload)?)
    }

    /// Takes in an entry that no checkpoint covers, when the agent is read.
    #[doc(hidden)]
    fn replay(&mut self, entry: &Entry) -> Result<(), AgentError> {
        let _ = entry;
        Ok(())
    }
}

/// When the commits of an agent carry its state.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checkpoints {
    /// Each does: a change of the state is what is committed.
    EveryCommit,
    /// One in so many entries does: entries are what is committed, and tell the state.
    Every(u64),
    /// None does.
    Never,
}

/// Why a message failed, in the agent's own words.
///
/// Any error converts into it with `?`; [`AgentError::new`] takes a text.
pub struct AgentError {
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl AgentError {
    /// An error with a text for people. It travels to the caller, so it must
    /// hold no secret.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            source: None,
        }
    }

    /// The error that caused it, if it was made from one.
    pub fn cause(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.source.as_deref()
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for AgentError {
    fn from(error: E) -> Self {
        Self {
            message: error.to_string(),
            source: Some(Box::new(error)),
        }
    }
}

impl fmt::Display for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentError")
            .field("message", &self.message)
            .field("source", &self.source)
            .finish()
    }
}

// `AgentError` itself is no `std::error::Error`, so that the blanket `From`
// above is possible; as a cause of our own error it travels as its text.
impl From<AgentError> for Box<dyn StdError + Send + Sync> {
    fn from(error: AgentError) -> Self {
        error.source.unwrap_or_else(|| error.message.into())
    }
}

impl From<AgentError> for Error {
    fn from(error: AgentError) -> Self {
        Self::corrupt(error.to_string()).caused_by(error)
    }
}
