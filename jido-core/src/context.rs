//! What a handler knows about the message it handles.

use std::fmt;

use serde::Serialize;

use crate::{
    AgentId, Epoch, Error, NewEntry, NodeName, RequestId, Revision, Timestamp, encode_payload,
};

/// The facts of one turn: one message handled by one activation.
///
/// A runtime fills it in before it calls a handler. It is public so that an
/// agent can be tested alone:
///
/// ```
/// use jido_core::*;
///
/// # async fn test<A: Agent>(mut agent: A, message: A::Message) -> Result<(), AgentError> {
/// let id = AgentId::new(
///     ClusterName::new("test")?,
///     ManagerName::new("counters")?,
///     AgentKey::new("counter-1")?,
/// );
/// let turn = Turn {
///     id: &id,
///     node: &NodeName::new("n1")?,
///     epoch: Epoch(1),
///     revision: Revision::ZERO,
///     now: Timestamp(1_700_000_000_000),
///     request: None,
/// };
/// let mut ctx = Context::new(turn);
/// agent.handle(message, &mut ctx).await?;
/// assert!(ctx.into_entries().is_empty());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Turn<'a> {
    /// The agent.
    pub id: &'a AgentId,
    /// The node that it runs on.
    pub node: &'a NodeName,
    /// The epoch of its activation.
    pub epoch: Epoch,
    /// The revision that a commit of this turn will have at the least.
    pub revision: Revision,
    /// The time, read once for the whole turn.
    pub now: Timestamp,
    /// The id of the request, where it has one.
    pub request: Option<RequestId>,
}

/// Handed to a handler with every message: who it is, and what it may append.
pub struct Context<'a> {
    turn: Turn<'a>,
    entries: Vec<NewEntry>,
}

impl<'a> Context<'a> {
    /// A context for one turn.
    pub fn new(turn: Turn<'a>) -> Self {
        Self {
            turn,
            entries: Vec::new(),
        }
    }

    /// The agent's identity.
    pub fn id(&self) -> &AgentId {
        self.turn.id
    }

    /// The agent's key.
    pub fn key(&self) -> &str {
        self.turn.id.key.as_str()
    }

    /// The node that the agent runs on.
    pub fn node(&self) -> &NodeName {
        self.turn.node
    }

    /// The epoch of this activation. With [`id`](Context::id) and
    /// [`revision`](Context::revision) it makes an idempotency key for effects
    /// outside of the agent.
    pub fn epoch(&self) -> Epoch {
        self.turn.epoch
    }

    /// The revision that a commit of this message will have at the least.
    pub fn revision(&self) -> Revision {
        self.turn.revision
    }

    /// The time on the node's wall clock, the same during the whole message.
    pub fn now(&self) -> Timestamp {
        self.turn.now
    }

    /// The id of the request that brought the message, where it has one.
    pub fn request_id(&self) -> Option<RequestId> {
        self.turn.request
    }

    /// Journals an entry. It is committed together with the state, before the
    /// reply leaves, or not at all.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) when the kind is refused
    /// (see [`NewEntry::new`]), [`Encode`](crate::ErrorKind::Encode) when the
    /// payload does not serialize. Nothing is appended then.
    pub fn append<T: Serialize>(&mut self, kind: &str, payload: &T) -> Result<(), Error> {
        let entry = NewEntry::new(kind, self.turn.now, encode_payload(payload)?)?;
        self.entries.push(entry);
        Ok(())
    }

    /// What was appended during this turn, for the runtime to commit.
    pub fn into_entries(self) -> Vec<NewEntry> {
        self.entries
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("turn", &self.turn)
            .field("entries", &self.entries.len())
            .finish()
    }
}
