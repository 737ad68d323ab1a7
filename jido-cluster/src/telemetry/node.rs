//! What is counted of a node.

use std::sync::Arc;

use jido_core::NodeName;
use jido_storage::BatchWatcher;
use metrics::{Counter, Gauge, Histogram};

use super::catalogue::{self, Counters};
use super::manager::label;
use crate::network::NetworkStats;

label!(
    /// What came of the renewal of a lease.
    RenewalEnd,
    Renewed = "renewed",
    Failed = "failed",
    Dead = "dead"
);

const REFUSALS: [&str; 6] = [
    "wrong_cookie",
    "wrong_certificate",
    "wrong_cluster",
    "unreadable",
    "too_slow",
    "turned_away",
];

/// What is under way at a node now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct NodeCounts {
    pub(crate) members: usize,
    pub(crate) asks_open: usize,
    pub(crate) asks_open_bytes: u64,
    pub(crate) asks_unanswered: usize,
    pub(crate) commit_queue: usize,
}

/// What is counted of a node, through all its lives.
#[derive(Debug)]
pub(crate) struct NodeMetrics {
    renewals: Counters<{ RenewalEnd::TEXTS.len() }>,
    lapses: Counter,
    expired: Counter,
    batches: Arc<dyn BatchWatcher>,
    members: Gauge,
    asks_open: Gauge,
    asks_open_bytes: Gauge,
    asks_unanswered: Gauge,
    commit_queue: Gauge,
    accepted: Counter,
    refused: Counters<{ REFUSALS.len() }>,
    opened: Counter,
    ended: Counter,
    silent: Counter,
    heartbeats_sent: Counter,
    heartbeats_received: Counter,
}

/// Where the sizes of batches go.
#[derive(Debug)]
struct BatchSizes(Histogram);

impl BatchWatcher for BatchSizes {
    fn batch(&self, operations: usize) {
        self.0.record(operations as f64);
    }
}

impl NodeMetrics {
    /// Looks up what is counted, with the recorder that is installed by now.
    pub(crate) fn new(node: &NodeName) -> Self {
        catalogue::describe();
        let own = &[node.as_str()][..];
        let counter = |metric: catalogue::Metric| metric.counter(own);
        let gauge = |metric: catalogue::Metric| metric.gauge(own);
        Self {
            renewals: Counters::new(&catalogue::LEASE_RENEWALS, own, RenewalEnd::TEXTS),
            lapses: counter(catalogue::LEASE_LAPSES),
            expired: counter(catalogue::LEASES_EXPIRED),
            batches: Arc::new(BatchSizes(catalogue::COMMIT_BATCH.histogram(own))),
            members: gauge(catalogue::MEMBERS),
            asks_open: gauge(catalogue::ASKS_OPEN),
            asks_open_bytes: gauge(catalogue::ASKS_OPEN_BYTES),
            asks_unanswered: gauge(catalogue::ASKS_UNANSWERED),
            commit_queue: gauge(catalogue::COMMIT_QUEUE),
            accepted: counter(catalogue::ACCEPTED),
            refused: Counters::new(&catalogue::REFUSED, own, REFUSALS),
            opened: counter(catalogue::SESSIONS_OPENED),
            ended: counter(catalogue::SESSIONS_ENDED),
            silent: counter(catalogue::SESSIONS_SILENT),
            heartbeats_sent: counter(catalogue::HEARTBEATS_SENT),
            heartbeats_received: counter(catalogue::HEARTBEATS_RECEIVED),
        }
    }

    pub(crate) fn renewed(&self, how: RenewalEnd) {
        self.renewals.count(how as usize);
    }

    /// A lease is no longer sure.
    pub(crate) fn lapsed(&self) {
        self.lapses.increment(1);
    }

    /// Another node's lease has run out.
    pub(crate) fn expired(&self) {
        self.expired.increment(1);
    }

    /// Who is told of batches.
    pub(crate) fn batches(&self) -> &Arc<dyn BatchWatcher> {
        &self.batches
    }

    pub(crate) fn publish(&self, counts: NodeCounts) {
        self.members.set(counts.members as f64);
        self.asks_open.set(counts.asks_open as f64);
        self.asks_open_bytes.set(counts.asks_open_bytes as f64);
        self.asks_unanswered.set(counts.asks_unanswered as f64);
        self.commit_queue.set(counts.commit_queue as f64);
    }

    /// Passes on what the network has counted.
    pub(crate) fn publish_network(&self, stats: &NetworkStats) {
        self.accepted.absolute(stats.accepted);
        let refused = [
            stats.wrong_cookie,
            stats.wrong_certificate,
            stats.wrong_cluster,
            stats.unreadable,
            stats.too_slow,
            stats.turned_away,
        ];
        self.refused.each(refused, Counter::absolute);
        self.opened.absolute(stats.sessions);
        self.ended.absolute(stats.ended);
        self.silent.absolute(stats.fell_silent);
        self.heartbeats_sent.absolute(stats.heartbeats_sent);
        self.heartbeats_received.absolute(stats.heartbeats_received);
    }
}
