//! Every metric: its name, its unit, its labels and what it means. `docs/telemetry.md` lists the
//! same, which a test holds.

use std::fmt;

use metrics::{Counter, Gauge, Histogram, Label, Unit};

/// What kind of metric one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows, from 0 at the start of the process.
    Counter,
    /// Goes up and down: what was last published.
    Gauge,
    /// Values, and how often each came.
    Histogram,
}

impl fmt::Display for MetricKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

/// What a metric counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricUnit {
    /// Whole things.
    Count,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

impl fmt::Display for MetricUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Unit::from(*self).as_str())
    }
}

impl From<MetricUnit> for Unit {
    fn from(unit: MetricUnit) -> Self {
        match unit {
            MetricUnit::Count => Self::Count,
            MetricUnit::Seconds => Self::Seconds,
            MetricUnit::Bytes => Self::Bytes,
        }
    }
}

/// One metric of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: MetricKind,
    /// What it counts in.
    pub unit: MetricUnit,
    /// The names of its labels. Each has few values, whatever is done with the cluster.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub meaning: &'static str,
}

const NODE: &[&str] = &["node"];
const MANAGER: &[&str] = &["manager", "node"];

const fn metric(
    name: &'static str,
    kind: MetricKind,
    unit: MetricUnit,
    labels: &'static [&'static str],
    meaning: &'static str,
) -> Metric {
    Metric {
        name,
        kind,
        unit,
        labels,
        meaning,
    }
}

/// Declares each metric as a constant, and all of them as a list.
macro_rules! metrics_of_a_node {
    ($($id:ident = $name:literal, $kind:ident of $unit:ident, $labels:expr, $meaning:literal;)*) => {
        $(pub(super) const $id: Metric =
            metric($name, MetricKind::$kind, MetricUnit::$unit, $labels, $meaning);)*

        /// Every metric of a node, in the order of the documentation.
        pub const METRICS: &[Metric] = &[$($id),*];
    };
}

metrics_of_a_node! {
    CALLS = "jido_calls_total", Counter of Count, &["manager", "node", "operation", "outcome"],
        "Requests that callers on this node made, and how they ended";
    CALL_SECONDS = "jido_call_seconds", Histogram of Seconds, MANAGER,
        "From a call on this node to its end, through all tries";
    CALL_RETRIES = "jido_call_retries_total", Counter of Count, &["manager", "node", "reason"],
        "Further tries of requests, by what was in the way of the one before";
    MESSAGES = "jido_messages_total", Counter of Count, &["manager", "node", "outcome"],
        "Messages that agents on this node handled, reminders and timers among them";
    HANDLE_SECONDS = "jido_handle_seconds", Histogram of Seconds, MANAGER,
        "The run of an agent's handler, without the commit after it";
    MAILBOX = "jido_mailbox_messages", Gauge of Count, MANAGER,
        "Messages that wait for agents on this node";
    AGENTS = "jido_agents", Gauge of Count, &["manager", "node", "state"],
        "Agents that this node has claimed";
    AGENT_BYTES = "jido_agent_bytes", Gauge of Bytes, MANAGER,
        "Their serialized states";
    ACTIVATIONS = "jido_activations_total", Counter of Count, &["manager", "node", "outcome"],
        "Starts of activations, and what came of them";
    ACTIVATION_SECONDS = "jido_activation_seconds", Histogram of Seconds, MANAGER,
        "From the start of an activation until it is ready or refused";
    DEACTIVATIONS = "jido_deactivations_total", Counter of Count, &["manager", "node", "reason"],
        "Ends of activations that were ready";
    COMMITS = "jido_commits_total", Counter of Count, &["manager", "node", "outcome"],
        "Commits that agents on this node handed to storage, and how they ended";
    COMMIT_SECONDS = "jido_commit_seconds", Histogram of Seconds, MANAGER,
        "From a commit's start until its outcome is known, the wait for its batch among it";
    FENCES = "jido_fences_total", Counter of Count, MANAGER,
        "Activations on this node that learned that their agent has a newer owner";
    COMMIT_BATCH = "jido_commit_batch_size", Histogram of Count, NODE,
        "Operations in a batch: commits and deletions; with LMDB also claims, renewals and all else that is written";
    COMMIT_QUEUE = "jido_commit_queue", Gauge of Count, NODE,
        "Operations that wait for a batch";
    REMINDERS = "jido_reminders_total", Counter of Count, &["manager", "node", "outcome"],
        "Occurrences of reminders that agents on this node came to";
    REMINDERS_WOKEN = "jido_reminders_woken_total", Counter of Count, MANAGER,
        "Agents that this node activated because a reminder was due";
    MIGRATIONS = "jido_migrations_total", Counter of Count, &["manager", "node", "outcome"],
        "Moves that this node had made as the leader of a rebalance";
    MEMBERS = "jido_members", Gauge of Count, NODE,
        "Nodes that this one has a session with, itself included";
    LEASE_RENEWALS = "jido_lease_renewals_total", Counter of Count, &["node", "outcome"],
        "Renewals of this node's leases";
    LEASE_LAPSES = "jido_lease_lapses_total", Counter of Count, NODE,
        "Times that a lease of this node was no longer sure, so that leased reads stopped";
    LEASES_EXPIRED = "jido_leases_expired_total", Counter of Count, NODE,
        "Lives of other nodes that this one saw run out";
    ASKS_OPEN = "jido_asks_open", Gauge of Count, NODE,
        "Asks of this node to all peers that are not answered yet";
    ASKS_OPEN_BYTES = "jido_asks_open_bytes", Gauge of Bytes, NODE,
        "Their messages";
    ASKS_UNANSWERED = "jido_asks_unanswered", Gauge of Count, NODE,
        "Asks of peers that this node has taken and not answered yet";
    ACCEPTED = "jido_connections_accepted_total", Counter of Count, NODE,
        "Connections that were accepted, whatever became of them";
    REFUSED = "jido_connections_refused_total", Counter of Count, &["node", "reason"],
        "Connections that did not become sessions, by what was wrong";
    SESSIONS_OPENED = "jido_sessions_opened_total", Counter of Count, NODE,
        "Sessions with peers that became ready";
    SESSIONS_ENDED = "jido_sessions_ended_total", Counter of Count, NODE,
        "Sessions that had been ready and ended";
    SESSIONS_SILENT = "jido_sessions_silent_total", Counter of Count, NODE,
        "Those of them that were ended because nothing came any more";
    HEARTBEATS_SENT = "jido_heartbeats_sent_total", Counter of Count, NODE,
        "Heartbeats to peers";
    HEARTBEATS_RECEIVED = "jido_heartbeats_received_total", Counter of Count, NODE,
        "Heartbeats from peers";
}

/// Tells the recorder what each metric means.
pub(super) fn describe() {
    for metric in METRICS {
        let Metric {
            name,
            unit,
            meaning,
            ..
        } = *metric;
        match metric.kind {
            MetricKind::Counter => metrics::describe_counter!(name, unit.into(), meaning),
            MetricKind::Gauge => metrics::describe_gauge!(name, unit.into(), meaning),
            MetricKind::Histogram => metrics::describe_histogram!(name, unit.into(), meaning),
        }
    }
}

impl Metric {
    /// With these values of its labels.
    fn labelled(&self, values: &[&str]) -> Vec<Label> {
        let labels = self.labels.iter().zip(values);
        labels
            .map(|(name, value)| Label::new(*name, (*value).to_owned()))
            .collect()
    }

    pub(super) fn counter(&self, values: &[&str]) -> Counter {
        metrics::counter!(self.name, self.labelled(values))
    }

    pub(super) fn gauge(&self, values: &[&str]) -> Gauge {
        metrics::gauge!(self.name, self.labelled(values))
    }

    pub(super) fn histogram(&self, values: &[&str]) -> Histogram {
        metrics::histogram!(self.name, self.labelled(values))
    }
}

/// A counter for each value of a metric's last label.
#[derive(Debug)]
pub(super) struct Counters<const N: usize>([Counter; N]);

impl<const N: usize> Counters<N> {
    pub(super) fn new(metric: &Metric, labels: &[&str], values: [&'static str; N]) -> Self {
        Self(values.map(|value| metric.counter(&[labels, &[value]].concat())))
    }

    /// One more of the value in this place.
    pub(super) fn count(&self, place: usize) {
        if let Some(counter) = self.0.get(place) {
            counter.increment(1);
        }
    }

    /// Takes in a number for each value, in their order.
    pub(super) fn each(&self, numbers: [u64; N], take: impl Fn(&Counter, u64)) {
        for (counter, number) in self.0.iter().zip(numbers) {
            take(counter, number);
        }
    }
}
