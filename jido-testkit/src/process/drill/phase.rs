//! How calls went in one part of a drill.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::spread::Spread;
use crate::process::{Load, LoadCounts};

/// How calls went in one part of a drill. A call belongs to the part in which it ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// How long it lasted.
    pub seconds: f64,
    /// Increments that were acknowledged.
    pub acknowledged: u64,
    /// Reads that were answered.
    pub reads: u64,
    /// Calls that failed for their client, or whose outcome stayed unknown.
    pub failed: u64,
    /// Tries that were refused or got no answer, and were made again under the same id.
    pub retried: u64,
    /// How long acknowledged increments took, tries and pauses included.
    pub latency: Option<Spread>,
    /// How often a try ended with each kind of error.
    pub errors: BTreeMap<String, u64>,
}

/// Tells one phase from the next by what is counted of a load.
#[derive(Debug)]
pub(super) struct Meter {
    since: Duration,
    counts: LoadCounts,
    errors: BTreeMap<String, u64>,
}

impl Meter {
    /// The first phase begins.
    pub(super) fn start(load: &Load) -> Self {
        drop(load.take_latencies());
        Self {
            since: load.elapsed(),
            counts: load.counts(),
            errors: load.errors_by_kind(),
        }
    }

    /// A phase ends, and the next begins.
    pub(super) fn phase(&mut self, load: &Load, name: &str) -> Phase {
        let latency = Spread::of_micros(&load.take_latencies());
        let now = Self {
            since: load.elapsed(),
            counts: load.counts(),
            errors: load.errors_by_kind(),
        };
        let before = std::mem::replace(self, now);
        let (counts, former) = (self.counts, before.counts);
        Phase {
            name: name.to_owned(),
            seconds: (self.since - before.since).as_secs_f64(),
            acknowledged: counts.acknowledged - former.acknowledged,
            reads: counts.reads - former.reads,
            failed: counts.failed - former.failed,
            retried: counts.refused - former.refused,
            latency,
            errors: more(&self.errors, &before.errors),
        }
    }
}

/// How much more there is of each.
fn more(now: &BTreeMap<String, u64>, before: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let grown = now.iter().map(|(kind, count)| {
        let former = before.get(kind).copied().unwrap_or(0);
        (kind.clone(), count.saturating_sub(former))
    });
    grown.filter(|(_, count)| *count > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_came_since_is_counted() {
        let counts = |counts: &[(&str, u64)]| {
            let counts = counts
                .iter()
                .map(|(kind, count)| ((*kind).to_owned(), *count));
            counts.collect::<BTreeMap<_, _>>()
        };
        let before = counts(&[("a", 1), ("b", 2)]);
        let now = counts(&[("a", 1), ("b", 5), ("c", 7)]);
        assert_eq!(more(&now, &before), counts(&[("b", 3), ("c", 7)]));
    }
}
