//! What Prometheus scrapes.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Bounds of what is measured in seconds: from a call on one node to one that waits for a lease.
const SECONDS: [f64; 15] = [
    0.000_01, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1,
    0.5, 1.0, 5.0,
];

/// Bounds of the sizes of batches.
const SIZES: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 256.0, 1_024.0];

/// How often what was measured is taken in, should nobody scrape.
const UPKEEP: Duration = Duration::from_secs(5);

/// The process's metrics.
#[derive(Debug, Clone)]
pub(super) struct Metrics(PrometheusHandle);

impl Metrics {
    /// Installs the recorder of the process, which has to be there before the node is.
    pub(super) fn install() -> Result<Self, BuildError> {
        let seconds = Matcher::Suffix("_seconds".to_owned());
        let sizes = Matcher::Suffix("_size".to_owned());
        PrometheusBuilder::new()
            .set_buckets_for_metric(seconds, &SECONDS)?
            .set_buckets_for_metric(sizes, &SIZES)?
            .install_recorder()
            .map(Self)
    }

    /// As Prometheus reads them.
    pub(super) fn render(&self) -> String {
        self.0.render()
    }

    /// Bounds what is kept in memory, for as long as it runs.
    pub(super) async fn keep_up(&self) {
        loop {
            tokio::time::sleep(UPKEEP).await;
            self.0.run_upkeep();
        }
    }
}
