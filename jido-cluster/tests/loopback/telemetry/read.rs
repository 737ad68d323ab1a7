//! What was told to a recorder.

use std::collections::BTreeMap;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

type Series = (String, BTreeMap<String, String>);

/// What was told so far: the sum of a counter, the largest value of a gauge, how many values of
/// a histogram.
pub(super) struct Read {
    snapshotter: Snapshotter,
    pub(super) told: BTreeMap<Series, f64>,
}

impl Read {
    pub(super) fn new(recorder: &DebuggingRecorder) -> Self {
        Self {
            snapshotter: recorder.snapshotter(),
            told: BTreeMap::new(),
        }
    }

    pub(super) fn read(&mut self) {
        // A snapshot takes what it gives.
        for (key, _, _, value) in self.snapshotter.snapshot().into_vec() {
            let (_, key) = key.into_parts();
            let labels = key.labels();
            let labels = labels.map(|label| (label.key().to_owned(), label.value().to_owned()));
            let series = (key.name().to_owned(), labels.collect());
            let told = self.told.entry(series).or_default();
            match value {
                DebugValue::Counter(count) => *told += count as f64,
                DebugValue::Gauge(value) => *told = told.max(value.into_inner()),
                DebugValue::Histogram(values) => *told += values.len() as f64,
            }
        }
    }

    /// The sum over all series of a name that have these labels among theirs.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |all: &BTreeMap<String, String>| {
            let mut labels = labels.iter();
            labels.all(|(key, value)| all.get(*key).map(String::as_str) == Some(*value))
        };
        let series = self.told.iter();
        let series = series.filter(|((told, all), _)| told == name && has(all));
        series.map(|(_, value)| value).sum()
    }
}
