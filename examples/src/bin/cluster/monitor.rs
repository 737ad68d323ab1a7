//! Samples the cluster and its load while the script runs.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, Instant};

use jido_testkit::process::{DemoClient, Load, LoadCounts, LoadReport};

use super::demo::{Failure, now};
use super::screen::{NodeRow, Sample, Screen};
use super::stored::Stored;

/// How long a node may take to say where keys are. It is only for show.
const STATS_LIMIT: Duration = Duration::from_millis(400);

pub(super) const UP: &str = "up";

#[derive(Debug)]
pub(super) struct Monitor {
    nodes: Vec<(String, DemoClient, &'static str)>,
    load: Load,
    stored: Stored,
    screen: Screen,
    started: Instant,
    last: (Instant, u64),
}

impl Monitor {
    pub(super) fn new(
        nodes: Vec<(String, DemoClient)>,
        load: Load,
        stored: Stored,
        screen: Screen,
    ) -> Self {
        let started = now();
        let nodes = nodes
            .into_iter()
            .map(|(name, client)| (name, client, UP))
            .collect();
        Self {
            nodes,
            load,
            stored,
            screen,
            started,
            last: (started, 0),
        }
    }

    /// Says in what state a node is.
    pub(super) fn set_state(&mut self, name: &str, state: &'static str) {
        for node in &mut self.nodes {
            if node.0 == name {
                node.2 = state;
            }
        }
    }

    pub(super) fn say(&mut self, line: &str) -> Result<(), Failure> {
        let at = self.started.elapsed().as_secs_f64();
        Ok(self.screen.say(&format!("{at:5.1} s  {line}"))?)
    }

    /// The last errors with which calls failed.
    pub(super) fn errors(&self) -> Vec<String> {
        self.load.errors()
    }

    pub(super) fn counts(&self) -> LoadCounts {
        self.load.counts()
    }

    /// Shows samples for so long.
    pub(super) async fn watch(&mut self, time: Duration) -> Result<(), Failure> {
        self.during(async {
            tokio::time::sleep(time).await;
            Ok(())
        })
        .await
    }

    /// Shows samples while `work` runs.
    pub(super) async fn during<T>(
        &mut self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let samples = async {
            let mut ticks = tokio::time::interval(self.screen.interval());
            // The first comes at once.
            ticks.tick().await;
            loop {
                ticks.tick().await;
                if let Err(failure) = self.sample().await {
                    return failure;
                }
            }
        };
        tokio::select! {
            biased;
            outcome = work => outcome,
            failure = samples => Err(failure),
        }
    }

    /// Ends the load, and gives what came of it, and the storage to compare with.
    pub(super) async fn finish(self) -> Result<(LoadReport, Stored, Screen), Failure> {
        Ok((self.load.stop().await?, self.stored, self.screen))
    }

    async fn sample(&mut self) -> Result<(), Failure> {
        // What was acknowledged before storage is read must be in there.
        let counts = self.load.counts();
        let stored: i64 = self.stored.counts().await?.values().sum();
        if i128::from(stored) < i128::from(counts.acknowledged) {
            return Err(Failure::new(format!(
                "{} increments are acknowledged, but only {stored} are stored",
                counts.acknowledged
            )));
        }
        let keys = self.keys_by_node().await;
        let latencies = self.load.take_latencies();
        let at = now();
        let (before, acknowledged) = std::mem::replace(&mut self.last, (at, counts.acknowledged));
        let calls = counts.acknowledged.saturating_sub(acknowledged);
        let sample = Sample {
            at: at - self.started,
            nodes: self
                .nodes
                .iter()
                .map(|(name, _, state)| NodeRow {
                    name: name.clone(),
                    state,
                    keys: keys
                        .as_ref()
                        .map(|keys| keys.get(name).copied().unwrap_or(0)),
                })
                .collect(),
            calls_per_second: calls as f64 / (at - before).as_secs_f64(),
            p50: Duration::from_micros(latencies.value_at_quantile(0.5)),
            p99: Duration::from_micros(latencies.value_at_quantile(0.99)),
            acknowledged: counts.acknowledged,
            stored,
            failed: counts.failed,
        };
        Ok(self.screen.show(&sample)?)
    }

    async fn keys_by_node(&self) -> Option<BTreeMap<String, u64>> {
        let (_, client, _) = self.nodes.iter().find(|(_, _, state)| *state == UP)?;
        // A table without the numbers is as good as none at all for half a second.
        client
            .with_timeout(STATS_LIMIT)
            .stats()
            .await
            .ok()
            .map(|stats| stats.by_node)
    }
}
