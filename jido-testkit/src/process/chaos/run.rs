//! Load on a cluster that is broken again and again.

use std::time::Duration;

use super::fault::FaultKind;
use super::injector::Injector;
use super::report::Report;
use super::stage::Stage;
use crate::Error;
use crate::process::{DemoClient, Load, LoadOptions};

/// How long a client tries: longer than anything stays broken.
const PATIENCE: Duration = Duration::from_secs(90);

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
            faults: FaultKind::ALL.to_vec(),
            seed: 1,
        }
    }
}

/// Runs it and judges it; `tell` hears of each fault once it is over.
///
/// # Errors
///
/// Those of starting a cluster and its server, and of nodes that don't come back.
/// What clients and nodes did wrong stands in the report.
pub async fn run(options: &Options, mut tell: impl FnMut(&str)) -> Result<Report, Error> {
    let stage = &options.stage;
    let running = stage.start().await?;
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
        patience: PATIENCE,
    })?;
    let mut kinds = options.faults.clone();
    kinds.retain(|kind| kind.fits(stage.store));
    let mut injector = Injector::new(running, kinds, stage.lease_ttl, options.seed);
    while load.elapsed() < options.duration || !injector.is_through() {
        tell(&injector.one(&load).await?);
    }
    let took = load.elapsed();
    let done = load.stop().await?;
    let (stored, unread) = done.stored(&nodes).await;
    if let Some(error) = unread.into_iter().next() {
        return Err(error);
    }
    Ok(Report::new(options, took, done, stored, injector))
}
