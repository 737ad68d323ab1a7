//! Carries out a plan on real processes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use fastrand::Rng;

use super::criteria::Bounds;
use super::measured::{Measured, Moves, Outage};
use super::phase::Meter;
use super::plan::Plan;
use super::report::Report;
use super::settling::{Ground, Owners, insist};
use crate::process::chaos::Stage;
use crate::process::chaos::stage::Running;
use crate::process::{DemoClient, Load, LoadOptions, ProcessCluster, ProcessClusterBuilder};
use crate::{Error, ErrorKind, counters};

/// How long everything may take that is no part of what is measured: agents to start, to
/// be placed at first, to be moved home.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// How many agents are moved in one round.
const MOVES_A_ROUND: &str = "64";

/// How long nodes are asked in the end where agents run.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

/// How often it is looked whether agents have recovered.
const POLL: Duration = Duration::from_millis(5);

/// A drill that is to be carried out.
#[derive(Debug, Clone)]
pub struct Drill {
    /// The nodes' program, their storage and their leases. How many nodes there are, the
    /// plan says.
    pub stage: Stage,
    /// What is done.
    pub plan: Plan,
    /// What is asked for.
    pub bounds: Bounds,
    /// When an agent that has not recovered is given up, and when clients give up a call.
    pub give_up: Duration,
}

impl Drill {
    /// With the bounds that are promised. Agents are given up ten leases after the kill.
    pub fn new(stage: Stage, plan: Plan) -> Self {
        Self {
            bounds: Bounds::new(&stage),
            give_up: stage.lease_ttl * 10,
            stage,
            plan,
        }
    }
}

/// What came of a drill.
#[derive(Debug)]
pub struct Drilled {
    /// What is told of it.
    pub report: Report,
    /// Where the nodes' logs are kept if it has failed.
    pub kept: Option<PathBuf>,
}

/// Carries out a drill and judges it; `tell` hears of each step.
///
/// # Errors
///
/// Those of starting a cluster and its server, and of nodes that don't start, don't come
/// back. What the cluster did worse than it ought to stands in the report.
pub async fn run(drill: &Drill, mut tell: impl FnMut(&str)) -> Result<Drilled, Error> {
    let stage = Stage {
        nodes: drill.plan.nodes(),
        ..drill.stage.clone()
    };
    let Running {
        mut cluster,
        postgres: _postgres,
    } = stage
        .start_as(|builder| zoned(builder, &drill.plan))
        .await?;
    let measured = carry_out(drill, &mut cluster, &mut tell).await;
    let report = measured.map(|done| Report::new(&stage, &drill.plan, done, &drill.bounds));
    let kept = match &report {
        Ok(report) if report.passed => None,
        _ => cluster.keep_dir(),
    };
    match (report, kept) {
        (Ok(report), kept) => Ok(Drilled { report, kept }),
        (Err(error), kept) => {
            if let Some(dir) = kept {
                tell(&format!("logs are kept in {}", dir.display()));
            }
            Err(error)
        }
    }
}

/// Every node in its zone; agents move when they are told to, so that moves are counted.
fn zoned(mut builder: ProcessClusterBuilder, plan: &Plan) -> ProcessClusterBuilder {
    builder = builder
        .args(["--prefer-zone", &plan.preferred.join(",")])
        .args(["--rebalance-interval", "1d"])
        .args(["--max-migrations", MOVES_A_ROUND]);
    for zone in &plan.zones {
        for node in &zone.nodes {
            builder = builder.args_of(node, ["--zone", zone.name.as_str()]);
        }
    }
    builder
}

async fn carry_out(
    drill: &Drill,
    cluster: &mut ProcessCluster,
    tell: &mut impl FnMut(&str),
) -> Result<Measured, Error> {
    let Drill { plan, give_up, .. } = drill;
    // Survivors first: they are asked what is to be moved.
    let names = plan.survivors().chain(&plan.killed.nodes);
    let nodes: Vec<DemoClient> = names
        .map(|name| cluster.client(name))
        .collect::<Result<_, _>>()?;
    let ground = Ground {
        nodes,
        keys: &plan.keys,
    };
    let mut load = Load::start(LoadOptions {
        nodes: cluster.clients(),
        clients: 0,
        keys: plan.keys.clone(),
        plain_keys: Vec::new(),
        reads: 0,
        seed: plan.client_seed,
        patience: *give_up,
    })?;
    let mut rng = Rng::with_seed(plan.client_seed);
    let home = warm(&ground, &mut load, &mut rng).await?;
    spread_clients(plan, &home, &mut load, &mut rng)?;
    tell(&format!(
        "{} agents run, and {} clients call them",
        home.len(),
        plan.clients
    ));

    let mut meter = Meter::start(&load);
    tokio::time::sleep(plan.calm).await;
    let mut phases = vec![meter.phase(&load, "before")];
    let outage = fail(drill, cluster, &mut load, &mut rng, tell).await?;
    phases.push(meter.phase(&load, "during"));
    tokio::time::sleep(plan.away).await;
    phases.push(meter.phase(&load, "after"));

    for name in &plan.killed.nodes {
        cluster.restart(name).await?;
    }
    cluster.wait_joined().await?;
    tell(&format!("zone {} is back", plan.killed.name));
    let mut moves = Moves::default();
    let settled = ground
        .settle(Some(&home), SETTLED_WITHIN, &mut moves)
        .await?;
    tell(match settled {
        Some(_) => "its agents are home again",
        None => "its agents are not all home again",
    });
    // Those that were moved last are to answer from home too.
    load.increment_each(outage.lost.keys().cloned(), rng.u64(..));
    let called = load
        .acknowledges(outage.lost.len() as u64, drill.give_up)
        .await;
    if let Err(error) = called {
        tell(&format!("calls are answered too slowly: {error}"));
    }
    phases.push(meter.phase(&load, "return"));

    let done = load.stop().await?;
    // All agents run after this, each at least once.
    let (stored, unread) = done.stored(&ground.nodes).await;
    let mut errors = done.errors;
    errors.extend(unread.iter().map(ToString::to_string));
    // All else is known by now: whoever does not answer names no owner, and runs nothing.
    let owners = insist(TOLD_WITHIN, || ground.agreed()).await;
    let stats = insist(TOLD_WITHIN, || ground.nodes[0].stats()).await;
    let silent = [owners.as_ref().err(), stats.as_ref().err()];
    errors.extend(silent.into_iter().flatten().map(ToString::to_string));
    let owners = owners.unwrap_or_default();
    let (recovery, not_recovered) = outage.recovery(&done.history);
    Ok(Measured {
        agents: plan.keys.len(),
        lost: outage.lost.len(),
        not_recovered,
        recovery: super::Spread::of(&recovery),
        elsewhere: super::Spread::of(&outage.elsewhere(&done.history)),
        phases,
        moves,
        home: owners
            .iter()
            .filter(|(key, owner)| home.get(*key) == Some(owner))
            .count(),
        running: stats.map_or(0, |stats| stats.total),
        agreed: owners.len(),
        failed: done.counts.failed,
        calls: counters::check(&done.history, &stored),
        errors,
    })
}

/// Starts every agent where it is placed, and has it answer there, so that it is known
/// which activation dies with its node.
async fn warm(ground: &Ground<'_>, load: &mut Load, rng: &mut Rng) -> Result<Owners, Error> {
    loop {
        let keys = ground.keys.iter().cloned();
        load.increment_each(keys, rng.u64(..));
        load.acknowledges(ground.keys.len() as u64, SETTLED_WITHIN)
            .await?;
        let mut moves = Moves::default();
        let settled = ground.settle(None, SETTLED_WITHIN, &mut moves).await?;
        match settled {
            Some(owners) if moves.started == 0 => return Ok(owners),
            Some(_) => {}
            None => {
                let why = format!("agents did not settle within {SETTLED_WITHIN:?}");
                return Err(Error::new(ErrorKind::TooSlow, why));
            }
        }
    }
}

/// Every zone's agents have clients of their own: those of the zone that is killed wait, and
/// the others tell how agents elsewhere are.
fn spread_clients(plan: &Plan, home: &Owners, load: &mut Load, rng: &mut Rng) -> Result<(), Error> {
    let mut groups: Vec<Vec<String>> = Vec::new();
    for zone in &plan.zones {
        let nodes: BTreeSet<&String> = zone.nodes.iter().collect();
        let here = home.iter().filter(|(_, owner)| nodes.contains(owner));
        groups.push(here.map(|(key, _)| key.clone()).collect());
    }
    groups.retain(|keys| !keys.is_empty());
    let count = groups.len();
    for (at, keys) in groups.into_iter().enumerate() {
        // As many for each, and the first get what is left over.
        let clients = plan.clients / count + usize::from(at < plan.clients % count);
        load.join(clients.max(1), keys, plan.reads, rng.u64(..))?;
    }
    Ok(())
}

/// Kills the zone, and has each of its agents called until it has answered or is given up.
async fn fail(
    drill: &Drill,
    cluster: &mut ProcessCluster,
    load: &mut Load,
    rng: &mut Rng,
    tell: &mut impl FnMut(&str),
) -> Result<Outage, Error> {
    let killed = &drill.plan.killed;
    let nodes = killed.nodes.iter();
    let lost: BTreeMap<String, u64> = nodes.flat_map(|node| load.answered_by(node)).collect();
    let at = load.elapsed();
    cluster.kill_together(&killed.nodes).await?;
    load.increment_each(lost.keys().cloned(), rng.u64(..));
    tell(&format!(
        "zone {} is killed, with {} agents",
        killed.name,
        lost.len()
    ));
    let is_out = |load: &Load| {
        killed
            .nodes
            .iter()
            .any(|node| !load.answered_by(node).is_empty())
    };
    while is_out(load) && load.elapsed() < at + drill.give_up {
        tokio::time::sleep(POLL).await;
    }
    let until = load.elapsed();
    let took = until - at;
    tell(&match is_out(load) {
        false => format!("all its agents answer again, {took:.2?} after the kill"),
        true => format!("some of its agents do not answer, {took:.2?} after the kill"),
    });
    Ok(Outage { at, until, lost })
}
