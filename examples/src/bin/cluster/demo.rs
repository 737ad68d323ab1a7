//! The script: load, kill, come back, drain, verdict.

use std::error::Error as StdError;
use std::fmt;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use jido_testkit::counters;
use jido_testkit::history::History;
use jido_testkit::process::{
    DemoClient, Load, LoadOptions, LoadReport, ProcessCluster, unless_told_to_end,
};

use super::DemoOptions;
use super::monitor::{Monitor, UP};
use super::probe::Probe;
use super::screen::{Screen, millis};
use super::stored::Stored;

/// The cluster's name, whatever the environment says.
pub(super) const CLUSTER: &str = "cluster-demo";

/// What a node that is told to end is given for it.
const DRAIN_LIMIT: Duration = Duration::from_secs(15);

/// How long a client goes on trying when its increment was refused unexecuted.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why the demo ends without a good verdict.
#[derive(Debug)]
pub(super) struct Failure(String);

impl Failure {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: StdError> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "a program that measures real processes"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

pub(super) fn main(options: &DemoOptions) -> ExitCode {
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(run(options)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // With stderr gone the exit code has to do.
            let _ = writeln!(std::io::stderr(), "FAILED: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Whoever interrupts it, also while nodes start, has all of them killed and their folder removed.
async fn run(options: &DemoOptions) -> Result<(), Failure> {
    match unless_told_to_end(to_its_end(options)).await? {
        Some(outcome) => outcome,
        None => Err(Failure::new("interrupted")),
    }
}

async fn to_its_end(options: &DemoOptions) -> Result<(), Failure> {
    let mut screen = Screen::new();
    screen.say("three nodes are starting, over one LMDB folder")?;
    let program = std::env::current_exe()?;
    let mut cluster = ProcessCluster::builder(program)
        .args([
            "node",
            "--cluster",
            CLUSTER,
            "--takeover",
            "on-disconnect",
            "--lease-ttl",
            "4s",
        ])
        .nodes(3)
        .shared_lmdb()
        .start()
        .await?;
    let outcome = script(options, &mut cluster, screen).await;
    if outcome.is_err() {
        cluster.write_logs(&mut std::io::stderr())?;
        if let Some(dir) = cluster.keep_dir() {
            writeln!(
                std::io::stderr(),
                "logs and data are kept in {}",
                dir.display()
            )?;
        }
    }
    outcome
}

async fn script(
    options: &DemoOptions,
    cluster: &mut ProcessCluster,
    screen: Screen,
) -> Result<(), Failure> {
    let dir = cluster
        .dir()
        .ok_or_else(|| Failure::new("the cluster has no directory"))?;
    let stored = Stored::open(&dir.join("data"))?;
    let nodes: Vec<(String, DemoClient)> = cluster
        .nodes()
        .iter()
        .map(|node| (node.name().to_owned(), node.client().clone()))
        .collect();
    let load = Load::start(LoadOptions {
        nodes: nodes.iter().map(|(_, client)| client.clone()).collect(),
        clients: usize::try_from(options.clients)?,
        keys: Vec::new(),
        plain_keys: (0..options.keys)
            .map(|number| format!("key-{number}"))
            .collect(),
        reads: 0,
        seed: options.seed,
        patience: PATIENCE,
    })?;
    let mut monitor = Monitor::new(nodes, load, stored, screen);
    let quarter = Duration::from_secs(u64::from(options.seconds)) / 4;

    monitor.say(&format!(
        "{} clients increment {} keys",
        options.clients, options.keys
    ))?;
    monitor.watch(quarter).await?;
    let probe = kill(cluster, &mut monitor, "n2").await?;
    monitor.watch(quarter).await?;
    come_back(cluster, &mut monitor, "n2").await?;
    monitor.watch(quarter).await?;
    drain(cluster, &mut monitor, "n3").await?;
    monitor.watch(quarter).await?;

    let (mut report, stored, screen) = monitor.finish().await?;
    report.history.merge(History::new(probe.into_operations()));
    verdict(&cluster.client("n1")?, &report, &stored, screen).await
}

async fn kill(
    cluster: &mut ProcessCluster,
    monitor: &mut Monitor,
    name: &str,
) -> Result<Probe, Failure> {
    let survivor = cluster.client("n1")?;
    let mut probe = Probe::on(name, &survivor).await?;
    let keys = survivor
        .stats()
        .await?
        .by_node
        .get(name)
        .copied()
        .unwrap_or(0);
    monitor.say(&format!("{name}, with {keys} keys, is killed (SIGKILL)"))?;
    monitor.set_state(name, "killed");
    let killed = now();
    cluster.kill(name).await?;
    let (time, owner) = monitor
        .during(probe.until_success(&survivor, killed))
        .await?;
    monitor.say(&format!(
        "{}, which ran on {name}, answers from {owner}: {} after the kill",
        probe.key,
        millis(time)
    ))?;
    Ok(probe)
}

async fn come_back(
    cluster: &mut ProcessCluster,
    monitor: &mut Monitor,
    name: &str,
) -> Result<(), Failure> {
    monitor.say(&format!("{name} is started again"))?;
    monitor.set_state(name, "starting");
    let asked = now();
    monitor
        .during(async { Ok(cluster.restart(name).await?) })
        .await?;
    monitor.set_state(name, UP);
    monitor.say(&format!("{name} is ready after {}", millis(now() - asked)))
}

async fn drain(
    cluster: &mut ProcessCluster,
    monitor: &mut Monitor,
    name: &str,
) -> Result<(), Failure> {
    monitor.say(&format!("{name} is drained (SIGTERM)"))?;
    monitor.set_state(name, "draining");
    let (before, asked) = (monitor.counts(), now());
    let status = monitor
        .during(async { Ok(cluster.terminate(name, DRAIN_LIMIT).await?) })
        .await?;
    let after = monitor.counts();
    monitor.set_state(name, "drained");
    if !status.success() {
        return Err(Failure::new(format!("{name} ended with {status}")));
    }
    let failed = after.failed - before.failed;
    monitor.say(&format!(
        "{name} has ended after {}: {} calls went on meanwhile, {failed} failed",
        millis(now() - asked),
        after.acknowledged - before.acknowledged,
    ))?;
    if failed > 0 {
        return Err(Failure::new(format!(
            "{failed} calls failed while {name} drained; the last errors: {:#?}",
            monitor.errors()
        )));
    }
    Ok(())
}

async fn verdict(
    client: &DemoClient,
    report: &LoadReport,
    stored: &Stored,
    mut screen: Screen,
) -> Result<(), Failure> {
    let counts = stored.counts().await?;
    let verdict = counters::check(&report.history, &counts);
    for (key, count) in &counts {
        let answered = client.get(key).await?.value;
        if answered != *count {
            return Err(Failure::new(format!(
                "{key}: stored {count}, but answered {answered}"
            )));
        }
    }
    let acknowledged = verdict.acknowledged;
    let settled = i128::from(verdict.stored) - i128::from(acknowledged);
    screen.say("")?;
    if verdict.unknown > 0 {
        screen.say(&format!(
            "{} calls lost their answer with the node that was killed; {settled} of them had been stored",
            verdict.unknown
        ))?;
    }
    let refused = report.counts.failed.saturating_sub(verdict.unknown);
    if refused > 0 {
        screen.say(&format!(
            "{refused} calls were refused for good; nothing of them was executed"
        ))?;
    }
    let lost_answers = if settled == 0 {
        String::new()
    } else {
        format!(" + {settled}")
    };
    let line = format!(
        "acknowledged {acknowledged}{lost_answers} = stored {}, lost {}, doubled {}",
        verdict.stored, verdict.lost, verdict.doubled
    );
    if verdict.is_good() {
        screen.say(&format!("VERDICT: {line}"))?;
        return Ok(());
    }
    Err(Failure::new(format!(
        "{verdict}\nthe last errors that clients met: {:#?}",
        report.errors
    )))
}
