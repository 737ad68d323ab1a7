//! What is counted of a manager on one node.

use jido_core::{ManagerName, NodeName};
use metrics::{Counter, Gauge, Histogram};

use super::Since;
use super::catalogue::{self, Counters};
use crate::error::ErrorKind;
use crate::rebalance::Migrations;

/// Declares what a label can say: variants, and their texts.
macro_rules! label {
    ($(#[$doc:meta])* $name:ident, $($variant:ident = $text:literal),*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name {
            $($variant),*
        }

        impl $name {
            /// In the order of the variants.
            pub(super) const TEXTS: [&'static str; [$($text),*].len()] = [$($text),*];
        }

        impl $crate::telemetry::Text for $name {
            fn text(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),*
                }
            }
        }
    };
}
pub(super) use label;

label!(
    /// What was in the way of a try.
    Retry,
    NotOwner = "not_owner",
    Stopped = "stopped",
    Unsettled = "unsettled",
    Unreachable = "unreachable",
    NotPassedOn = "not_passed_on",
    Unresolved = "unresolved"
);

label!(
    /// How an agent handled a message.
    Handled,
    Ok = "ok",
    Failed = "failed",
    Panicked = "panicked"
);

label!(
    /// What came of the start of an activation.
    Activated,
    Claimed = "claimed",
    Resumed = "resumed",
    Refused = "refused"
);

label!(
    /// Why an activation ended.
    Deactivated,
    Hibernated = "hibernated",
    Parked = "parked",
    Deleted = "deleted",
    Fenced = "fenced",
    Abandoned = "abandoned",
    Failed = "failed"
);

label!(
    /// How a commit ended.
    CommitEnd,
    Committed = "committed",
    Failed = "failed",
    Fenced = "fenced",
    Conflict = "conflict",
    Unknown = "unknown"
);

/// The agents of a manager on this node, as they are now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AgentCounts {
    pub(crate) hot: usize,
    pub(crate) parked: usize,
    pub(crate) bytes: usize,
    /// Messages in mailboxes.
    pub(crate) waiting: u64,
}

/// What is counted of a manager on one node, through all lives of that.
#[derive(Debug)]
pub(crate) struct ManagerMetrics {
    calls: Counters<{ ErrorKind::COUNT + 1 }>,
    casts: Counters<{ ErrorKind::COUNT + 1 }>,
    call_seconds: Histogram,
    retries: Counters<{ Retry::TEXTS.len() }>,
    messages: Counters<{ Handled::TEXTS.len() }>,
    handle_seconds: Histogram,
    mailbox: Gauge,
    hot: Gauge,
    parked: Gauge,
    bytes: Gauge,
    activations: Counters<{ Activated::TEXTS.len() }>,
    activation_seconds: Histogram,
    deactivations: Counters<{ Deactivated::TEXTS.len() }>,
    commits: Counters<{ CommitEnd::TEXTS.len() }>,
    commit_seconds: Histogram,
    fences: Counter,
    reminders: Counters<2>,
    woken: Counter,
    migrations: Counters<3>,
}

impl ManagerMetrics {
    pub(crate) fn new(manager: &ManagerName, node: &NodeName) -> Self {
        let (manager, node) = (manager.as_str(), node.as_str());
        let own = &[manager, node][..];
        let requests = |operation| {
            let labels = [manager, node, operation];
            Counters::new(&catalogue::CALLS, &labels, call_outcomes())
        };
        let agents = |state| catalogue::AGENTS.gauge(&[manager, node, state]);
        Self {
            calls: requests("call"),
            casts: requests("cast"),
            call_seconds: catalogue::CALL_SECONDS.histogram(own),
            retries: Counters::new(&catalogue::CALL_RETRIES, own, Retry::TEXTS),
            messages: Counters::new(&catalogue::MESSAGES, own, Handled::TEXTS),
            handle_seconds: catalogue::HANDLE_SECONDS.histogram(own),
            mailbox: catalogue::MAILBOX.gauge(own),
            hot: agents("hot"),
            parked: agents("parked"),
            bytes: catalogue::AGENT_BYTES.gauge(own),
            activations: Counters::new(&catalogue::ACTIVATIONS, own, Activated::TEXTS),
            activation_seconds: catalogue::ACTIVATION_SECONDS.histogram(own),
            deactivations: Counters::new(&catalogue::DEACTIVATIONS, own, Deactivated::TEXTS),
            commits: Counters::new(&catalogue::COMMITS, own, CommitEnd::TEXTS),
            commit_seconds: catalogue::COMMIT_SECONDS.histogram(own),
            fences: catalogue::FENCES.counter(own),
            reminders: Counters::new(&catalogue::REMINDERS, own, ["ok", "failed"]),
            woken: catalogue::REMINDERS_WOKEN.counter(own),
            migrations: Counters::new(
                &catalogue::MIGRATIONS,
                own,
                ["succeeded", "failed", "skipped"],
            ),
        }
    }

    /// A request of a caller here has ended: well, or with an error of a kind.
    pub(crate) fn called(&self, cast: bool, error: Option<ErrorKind>, since: Since<'_>) {
        let outcome = error.map_or(0, |kind| kind as usize);
        if cast {
            self.casts.count(outcome);
        } else {
            self.calls.count(outcome);
            self.call_seconds.record(since);
        }
    }

    pub(crate) fn retried(&self, why: Retry) {
        self.retries.count(why as usize);
    }

    pub(crate) fn handled(&self, how: Handled, since: Since<'_>) {
        self.messages.count(how as usize);
        self.handle_seconds.record(since);
    }

    pub(crate) fn activated(&self, what: Activated, since: Since<'_>) {
        self.activations.count(what as usize);
        self.activation_seconds.record(since);
    }

    pub(crate) fn deactivated(&self, why: Deactivated) {
        self.deactivations.count(why as usize);
    }

    pub(crate) fn committed(&self, how: CommitEnd, since: Since<'_>) {
        self.commits.count(how as usize);
        self.commit_seconds.record(since);
    }

    pub(crate) fn fenced(&self) {
        self.fences.increment(1);
    }

    /// An occurrence of a reminder was handled, or failed and will be tried again.
    pub(crate) fn reminded(&self, well: bool) {
        self.reminders.count(usize::from(!well));
    }

    pub(crate) fn woken(&self) {
        self.woken.increment(1);
    }

    pub(crate) fn migrated(&self, done: &Migrations) {
        self.migrations.each(
            [done.succeeded, done.failed, done.skipped],
            Counter::increment,
        );
    }

    pub(crate) fn publish(&self, counts: AgentCounts) {
        self.hot.set(counts.hot as f64);
        self.parked.set(counts.parked as f64);
        self.bytes.set(counts.bytes as f64);
        self.mailbox.set(counts.waiting as f64);
    }
}

/// Well, and every kind of error in the place of its number.
fn call_outcomes() -> [&'static str; ErrorKind::COUNT + 1] {
    let mut outcomes = ["ok"; ErrorKind::COUNT + 1];
    for kind in ErrorKind::ALL {
        if let Some(place) = outcomes.get_mut(kind as usize) {
            *place = kind.label();
        }
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Text;

    #[test]
    fn every_kind_of_error_has_its_place_and_a_label_of_its_own() {
        let outcomes = call_outcomes();
        assert_eq!(outcomes[0], "ok");
        for kind in ErrorKind::ALL {
            assert_eq!(outcomes[kind as usize], kind.label());
        }
        let mut labels = outcomes.to_vec();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), ErrorKind::COUNT + 1);
    }

    #[test]
    fn a_label_counts_under_its_own_text() {
        assert_eq!(
            Retry::TEXTS[Retry::Unresolved as usize],
            Retry::Unresolved.text()
        );
        assert_eq!(Deactivated::TEXTS[Deactivated::Failed as usize], "failed");
        assert_eq!(CommitEnd::TEXTS[CommitEnd::Unknown as usize], "unknown");
    }
}
