//! What is asked of another node.

use std::time::Duration;

use bytes::Bytes;
use jido_core::{AgentKey, Error, Operation, RequestTry, TraceContext, write_payload};
use serde::Serialize;

/// What an ask or an answer carries. It is written where it is sent from, without a copy in between.
pub(crate) trait Payload {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), Error>;
}

impl Payload for Bytes {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        out.extend_from_slice(self);
        Ok(())
    }
}

/// A message, or a reply, which is yet to be serialized.
#[derive(Debug)]
pub(crate) struct Value<'a, T>(pub(crate) &'a T);

impl<T: Serialize> Payload for Value<'_, T> {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        write_payload(self.0, out)
    }
}

/// What an ask wants, before it is addressed.
#[derive(Debug, Clone)]
pub(crate) struct Question<P = Bytes> {
    pub(crate) operation: Operation,
    pub(crate) key: Option<AgentKey>,
    pub(crate) verify: bool,
    pub(crate) request: Option<RequestTry>,
    pub(crate) trace: Option<TraceContext>,
    pub(crate) budget: Duration,
    pub(crate) lane: u64,
    /// Which of the other members passes it on where there is no session with the asked
    /// node, as [`View::hop`](crate::members::View::hop) counts them.
    pub(crate) relay: usize,
    pub(crate) payload: P,
}

impl Question {
    /// One to a node that is about no single agent.
    pub(crate) fn of_node(operation: Operation, budget: Duration, payload: Bytes) -> Self {
        Self {
            operation,
            key: None,
            verify: false,
            request: None,
            trace: None,
            budget,
            lane: 0,
            relay: 0,
            payload,
        }
    }
}
