//! What is asked of another node.

use std::time::Duration;

use bytes::Bytes;
use jido_core::{AgentKey, Operation, RequestTry, TraceContext};

/// What an ask wants, before it is addressed.
#[derive(Debug, Clone)]
pub(crate) struct Question {
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
    pub(crate) payload: Bytes,
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
