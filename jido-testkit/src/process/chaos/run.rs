//! Load on a cluster that is broken again and again.

use std::time::Duration;

use super::fault::FaultKind;
use super::injector::Injector;
use super::report::Report;
use super::stage::{Running, Stage};
use crate::Error;
use crate::process::{DemoClient, Load, LoadOptions};

/// How long a client waits for an answer before it tries the same again elsewhere.
/// Shorter than a node tries itself, so that tries of one request meet.
const ANSWER: Duration = Duration::from_secs(2);

/// What is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The cluster.
    pub stage: Stage,
    /// How long things go wrong, at the least: until all kinds have done so equally often.
    pub duration: Duration,
    /// How many clients there are.
    pub clients: usize,
    /// How many keys they work on. The increments of three quarters of them have ids,
    /// and are tried until they are acknowledged.
    pub keys: usize,
    /// How many of a hundred operations are reads.
    pub reads: u32,
    /// How long a client tries: longer than anything that is mended stays broken.
    pub patience: Duration,
    /// What goes wrong; what doesn't fit the storage is left out.
    pub faults: Vec<FaultKind>,
    /// What choices are drawn from.
    pub seed: u64,
}

impl Options {
    /// Half a minute of everything that fits the storage.
    pub fn new(stage: Stage) -> Self {
        Self {
            stage,
            duration: Duration::from_secs(30),
            clients: 8,
            keys: 20,
            reads: 25,
            patience: Duration::from_secs(90),
            faults: FaultKind::ALL.to_vec(),
            seed: 1,
        }
    }
}

/// Runs it and judges it; `tell` hears of each fault once it is over. One that can't be
/// mended ends the run.
///
/// # Errors
///
/// Those of starting a cluster and its server, and of a client that panics. What clients and
/// nodes did wrong stands in the report, also that they did not come back, and that keys
/// can't be read in the end: all else that was seen is needed to find out why.
pub async fn run(options: &Options, mut tell: impl FnMut(&str)) -> Result<Report, Error> {
    let mut running = options.stage.start().await?;
    let report = carry_out(options, &mut running, &mut tell).await;
    let kept = match &report {
        Ok(report) if report.is_good() => None,
        _ => running.cluster.keep_dir(),
    };
    match (report, kept) {
        (Ok(report), kept) => Ok(Report { kept, ..report }),
        (Err(error), kept) => {
            if let Some(dir) = kept {
                tell(&format!("logs are kept in {}", dir.display()));
            }
            Err(error)
        }
    }
}

async fn carry_out(
    options: &Options,
    running: &mut Running,
    tell: &mut impl FnMut(&str),
) -> Result<Report, Error> {
    let stage = &options.stage;
    let nodes: Vec<DemoClient> = running
        .cluster
        .nodes()
        .iter()
        .map(|node| node.client().with_timeout(ANSWER))
        .collect();
    let plain = options.keys / 4;
    let load = Load::start(LoadOptions {
        nodes: nodes.clone(),
        clients: options.clients,
        keys: (plain..options.keys)
            .map(|key| format!("once-{key}"))
            .collect(),
        plain_keys: (0..plain).map(|key| format!("plain-{key}")).collect(),
        reads: options.reads,
        seed: options.seed,
        patience: options.patience,
    })?;
    let mut kinds = options.faults.clone();
    kinds.retain(|kind| kind.fits(stage.store));
    let mut injector = Injector::new(running, kinds, stage.lease_ttl, options.seed);
    while load.elapsed() < options.duration || !injector.is_through() {
        match injector.one(&load).await {
            Ok(done) => tell(&done),
            Err(error) => {
                let spoiled = format!("what went wrong could not be mended: {error}");
                tell(&spoiled);
                injector.complaints.push(spoiled);
                break;
            }
        }
    }
    let took = load.elapsed();
    let done = load.stop().await?;
    let stored = done.stored(&nodes).await;
    Ok(Report::new(options, took, done, stored, injector))
}
