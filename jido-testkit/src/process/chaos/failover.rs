//! How soon what was lost serves again.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use hdrhistogram::Histogram;

use super::figures::Figures;
use super::stage::{Running, Stage};
use crate::postgres::Shutdown;
use crate::process::{DemoClient, Inc, Load, LoadCounts, LoadOptions, ProcessCluster, request_id};
use crate::wiring::now;
use crate::{Error, ErrorKind};

/// When the wait for a success is given up.
const LIMIT: Duration = Duration::from_secs(60);

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(2);

/// How long a node that is told to end is given.
const END_WITHIN: Duration = Duration::from_secs(20);

/// How long Postgres stays away.
const AWAY: Duration = Duration::from_secs(1);

/// How many clients increment under load.
const CLIENTS: usize = 16;

/// How many increments go before and after each thing that happens under load.
const CALLS: u64 = 200;

/// Kills the owner of a key, over and over, each node in its turn: how long it takes
/// until another node has acknowledged an increment of the key.
///
/// # Errors
///
/// Those of starting the cluster, and [`TooSlow`](ErrorKind::TooSlow) when a key does
/// not serve again within a minute.
pub async fn kills(
    stage: &Stage,
    count: usize,
    mut tell: impl FnMut(&str),
) -> Result<Figures, Error> {
    let Running {
        mut cluster,
        postgres: _postgres,
    } = stage.start().await?;
    let mut times = Vec::new();
    for number in 0..count {
        let name = |place: usize| format!("n{}", place % stage.nodes + 1);
        let (victim, survivor) = (name(number), cluster.client(&name(number + 1))?);
        let key = key_on(&survivor, &victim, number).await?;
        let started = now();
        cluster.kill(&victim).await?;
        increment(&survivor, &key, &mut Rng::with_seed(number as u64)).await?;
        let time = now() - started;
        tell(&format!("{victim} was killed: {} ms", time.as_millis()));
        times.push(time);
        cluster.restart(&victim).await?;
        cluster.wait_joined().await?;
    }
    Ok(Figures::new(times))
}

/// A key that runs on a node, once it has been incremented there.
async fn key_on(client: &DemoClient, node: &str, number: usize) -> Result<String, Error> {
    for attempt in 0..1_000 {
        let key = format!("failover-{number}-{attempt}");
        if client.owner(&key).await?.placed.as_deref() == Some(node)
            && client.inc(&key).await?.owner == node
        {
            return Ok(key);
        }
    }
    let why = format!("none of 1,000 keys is placed on {node}");
    Err(Error::new(ErrorKind::TooSlow, why))
}

/// Increments once, trying until it is acknowledged.
async fn increment(client: &DemoClient, key: &str, chance: &mut Rng) -> Result<(), Error> {
    let deadline = now() + LIMIT;
    let inc = Inc {
        request: Some(request_id(chance)),
        ..Inc::default()
    };
    loop {
        match client.inc_with(key, inc).await {
            Ok(_) => return Ok(()),
            Err(error) if !error.is_retryable() || now() > deadline => return Err(error),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// What became of the calls while nodes were told to end, and started again.
#[derive(Debug)]
pub struct Rolling {
    /// How all of them went.
    pub counts: LoadCounts,
    /// How long those took that were answered while all nodes were up, in microseconds.
    pub calm: Histogram<u64>,
    /// How long the others took.
    pub meanwhile: Histogram<u64>,
}

impl fmt::Display for Rolling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |micros: u64| Duration::from_micros(micros).as_secs_f64() * 1_000.0;
        let figures = |calls: &Histogram<u64>| {
            let (p50, p99) = (calls.value_at_quantile(0.5), calls.value_at_quantile(0.99));
            let (p50, p99, most) = (ms(p50), ms(p99), ms(calls.max()));
            let count = calls.len();
            format!("{count} calls, p50 {p50:.1} ms p99 {p99:.1} ms longest {most:.1} ms")
        };
        let (meanwhile, calm) = (figures(&self.meanwhile), figures(&self.calm));
        let LoadCounts {
            refused, failed, ..
        } = self.counts;
        write!(
            f,
            "meanwhile {meanwhile}; before and after {calm}; {refused} were refused and sent again, \
             {failed} failed"
        )
    }
}

/// Tells nodes to end while clients increment without ids, each in its turn, and
/// starts them again: what became of the calls. None may have failed.
///
/// # Errors
///
/// Those of starting the cluster; [`Exited`](ErrorKind::Exited) when a node ends with
/// an error, or when something was lost.
pub async fn terminations(stage: &Stage, count: usize) -> Result<Rolling, Error> {
    let Running {
        mut cluster,
        postgres: _postgres,
    } = stage.start().await?;
    let load = load(&cluster, true)?;
    let mut calm = load.take_latencies();
    let mut meanwhile = calm.clone();
    for number in 0..count {
        load.acknowledges(CALLS, LIMIT).await?;
        calm += load.take_latencies();
        let victim = format!("n{}", number % stage.nodes + 1);
        let status = cluster.terminate(&victim, END_WITHIN).await?;
        if !status.success() {
            let why = format!("{victim}, told to end, ended with {status}");
            return Err(Error::new(ErrorKind::Exited, why));
        }
        load.acknowledges(CALLS, LIMIT).await?;
        cluster.restart(&victim).await?;
        cluster.wait_joined().await?;
        meanwhile += load.take_latencies();
    }
    load.acknowledges(CALLS, LIMIT).await?;
    calm += load.take_latencies();
    let counts = finish(load, &cluster.client("n1")?).await?;
    Ok(Rolling {
        counts,
        calm,
        meanwhile,
    })
}

/// Restarts the Postgres server under load: how long it takes, from when it takes
/// connections again, until keys on every node serve.
///
/// # Errors
///
/// Those of starting the cluster, which has to be on Postgres, and
/// [`TooSlow`](ErrorKind::TooSlow) or [`Exited`](ErrorKind::Exited) as above.
pub async fn postgres_restarts(
    stage: &Stage,
    count: usize,
    how: Shutdown,
    mut tell: impl FnMut(&str),
) -> Result<(Figures, LoadCounts), Error> {
    let Running { cluster, postgres } = stage.start().await?;
    let mut postgres = postgres
        .ok_or_else(|| Error::new(ErrorKind::NoSuchNode, "the nodes are not on Postgres"))?;
    let mut probes = Vec::new();
    for (number, node) in cluster.nodes().iter().enumerate() {
        let key = key_on(node.client(), node.name(), number).await?;
        probes.push((node.client().clone(), key));
    }
    let load = load(&cluster, false)?;
    let mut times = Vec::new();
    for number in 0..count {
        load.acknowledges(CALLS, LIMIT).await?;
        postgres.stop(how).await?;
        // How long it is away is part of what is measured, not waited for.
        tokio::time::sleep(AWAY).await;
        postgres.start_again().await?;
        let returned = now();
        let mut chance = Rng::with_seed(number as u64);
        for (client, key) in &probes {
            increment(client, key, &mut chance).await?;
        }
        let time = now() - returned;
        tell(&format!("Postgres was away: {} ms", time.as_millis()));
        times.push(time);
    }
    load.acknowledges(CALLS, LIMIT).await?;
    let counts = finish(load, &cluster.client("n1")?).await?;
    Ok((Figures::new(times), counts))
}

fn load(cluster: &ProcessCluster, plain: bool) -> Result<Load, Error> {
    let keys: Vec<String> = (0..30).map(|number| format!("loaded-{number}")).collect();
    let (keys, plain_keys) = match plain {
        true => (Vec::new(), keys),
        false => (keys, Vec::new()),
    };
    Load::start(LoadOptions {
        nodes: cluster.clients(),
        clients: CLIENTS,
        keys,
        plain_keys,
        reads: 0,
        seed: 7,
        patience: LIMIT,
    })
}

/// Stops a load and judges its history.
async fn finish(load: Load, client: &DemoClient) -> Result<LoadCounts, Error> {
    let report = load.stop().await?;
    let verdict = report.judge(client).await?;
    if verdict.is_good() {
        Ok(report.counts)
    } else {
        Err(Error::new(ErrorKind::Exited, verdict.to_string()))
    }
}
