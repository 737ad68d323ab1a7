//! What the HTTP routes see of the node.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use jido_cluster::{Handle, Node, NodeName};

use super::counter::Counter;
use super::errors::ApiError;
use super::metrics::Metrics;

/// The running node and its manager.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) node: Node,
    pub(super) counters: Handle<Counter>,
}

/// The node's life, from before its start to its end: HTTP answers through all of it.
#[derive(Debug)]
pub(super) struct State {
    name: NodeName,
    metrics: Metrics,
    serving: OnceLock<Serving>,
    draining: AtomicBool,
}

impl State {
    pub(super) fn new(name: NodeName, metrics: Metrics) -> Self {
        Self {
            name,
            metrics,
            serving: OnceLock::new(),
            draining: AtomicBool::new(false),
        }
    }

    pub(super) fn name(&self) -> &NodeName {
        &self.name
    }

    /// The process's metrics, as they are now.
    pub(super) async fn metrics(&self) -> String {
        if let Some(Serving { node, .. }) = self.serving.get() {
            node.publish_metrics().await;
        }
        self.metrics.render()
    }

    /// Has requests answered from now on.
    pub(super) fn serve(&self, serving: Serving) {
        // It is called once, at the end of the start; a second node would be a
        // second life, which no process has.
        let _ = self.serving.set(serving);
    }

    /// Reports the node as not ready from now on, while it still answers.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(super) fn serving(&self) -> Result<&Serving, ApiError> {
        self.serving
            .get()
            .ok_or_else(|| ApiError::not_ready("the node is starting"))
    }

    /// Whether requests should be sent here.
    pub(super) async fn check_ready(&self) -> Result<(), ApiError> {
        if self.is_draining() {
            return Err(ApiError::not_ready("the node is shutting down"));
        }
        let ready = self.serving()?.node.ready().await;
        ready.map_err(|error| ApiError::not_ready(&error.to_string()))
    }
}
