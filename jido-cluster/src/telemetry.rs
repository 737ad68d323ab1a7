//! What a node tells of itself: metrics, and spans that follow a call.
//!
//! Metrics go through the [`metrics`](https://docs.rs/metrics) facade: they cost next to nothing until a
//! recorder is installed, and one has to be before the first [`Node`](crate::Node) is built, since what is counted is
//! looked up then. [`METRICS`] lists them all. What is counted as it happens is always up to date; what is
//! read off the node's state is put there by [`Node::publish_metrics`](crate::Node::publish_metrics). No metric has an
//! agent's key among its labels.
//!
//! Spans are those of [`tracing`](https://docs.rs/tracing), of the level info and with the target `jido_cluster::trace`:
//!
//! | span | from | to |
//! |---|---|---|
//! | `jido.call` | a caller's request | its answer, through all tries |
//! | `jido.handle` | its message's turn at the agent | the answer, through the commit that it waits for |
//! | `jido.commit` | a commit is handed to storage | its outcome is known |
//! | `jido.activate` | an activation starts | it is ready, or refused |
//!
//! They have the fields `manager`, `node` and `outcome`, and `trace_id` where the call belongs to a trace. An agent's
//! `key` is a field only where the level debug is enabled for the target, since keys may name people.
//!
//! A call takes its [`TraceContext`](crate::TraceContext) along: the one that
//! [`Request::trace_context`](crate::Request::trace_context) gave it, or that of the message which is being
//! handled by the agent that calls. With the feature `opentelemetry`, and a layer of `tracing-opentelemetry`
//! installed, it is that of the call's own span, and the spans of all nodes make up one trace.

mod catalogue;
mod manager;
mod node;
mod trace;
#[cfg_attr(feature = "opentelemetry", path = "telemetry/opentelemetry.rs")]
#[cfg_attr(not(feature = "opentelemetry"), path = "telemetry/apart.rs")]
mod wire;

use std::time::Duration;

use metrics::IntoF64;

use crate::deadlines::Deadlines;

pub use catalogue::{METRICS, Metric, MetricKind, MetricUnit};
pub(crate) use manager::{
    Activated, AgentCounts, CommitEnd, Deactivated, Handled, ManagerMetrics, Retry,
};
pub(crate) use node::{NodeCounts, NodeMetrics, RenewalEnd};
pub(crate) use trace::{Trace, UNTRACED, Whose};

/// What labels and spans can say.
pub(crate) trait Text {
    fn text(self) -> &'static str;
}

/// The time since something began. The clock is read only where somebody records it.
pub(crate) struct Since<'a> {
    pub(crate) clock: &'a Deadlines,
    /// As `Deadlines::now` has it.
    pub(crate) began: Duration,
}

impl IntoF64 for Since<'_> {
    fn into_f64(self) -> f64 {
        self.clock.now().saturating_sub(self.began).as_secs_f64()
    }
}
