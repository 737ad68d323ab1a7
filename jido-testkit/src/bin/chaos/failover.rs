//! How soon what was lost serves again, against what is promised.

use std::time::Duration;

use clap::{Args, ValueEnum};
use jido_testkit::postgres::Shutdown;
use jido_testkit::process::chaos::failover::{kills, postgres_restarts, terminations};
use jido_testkit::process::chaos::{Figures, Stage, Store};
use jido_testkit::process::say;

use super::{Failure, Nodes, at_least_one};

/// What is allowed from when Postgres takes connections again.
const POSTGRES_BACK: Duration = Duration::from_secs(2);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measure {
    /// The owner is killed, and its lease runs out
    AfterLease,
    /// The owner is killed, and its session is gone
    OnDisconnect,
    /// Nodes are told to end
    Terminate,
    /// Postgres restarts
    Postgres,
}

#[derive(Debug, Args)]
pub(super) struct Failover {
    #[command(flatten)]
    nodes: Nodes,
    /// How many times the owner is killed
    #[arg(long, default_value_t = 50, value_parser = at_least_one)]
    kills: usize,
    /// How many times nodes are told to end, and Postgres is restarted, each way
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    restarts: usize,
    /// What is measured, separated by commas; by default everything that fits the storage
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Measure>,
}

pub(super) async fn run(arguments: &Failover) -> Result<bool, Failure> {
    let stage = arguments.nodes.stage()?;
    if stage.store != Store::Postgres && arguments.only.contains(&Measure::Postgres) {
        return Err(format!("--only postgres: agents are kept in {}", stage.store).into());
    }
    let measured = |what| arguments.only.is_empty() || arguments.only.contains(&what);
    let mut good = true;
    for (what, on_disconnect) in [(Measure::AfterLease, false), (Measure::OnDisconnect, true)] {
        if !measured(what) {
            continue;
        }
        let stage = Stage {
            on_disconnect,
            ..stage.clone()
        };
        let figures = kills(&stage, arguments.kills, say).await?;
        let takeover = stage.takeover();
        let what = format!("{} kills of the owner, takeover {takeover}", figures.len());
        good &= judge(&what, stage.store, &figures, stage.recovery_bound());
    }
    if measured(Measure::Terminate) {
        let rolling = terminations(&stage, arguments.restarts).await?;
        let whole = rolling.counts.failed == 0;
        say(&format!(
            "{} nodes told to end on {}, each in its turn: {rolling}: {}",
            arguments.restarts,
            stage.store,
            kept(whole)
        ));
        good &= whole;
    }
    if stage.store == Store::Postgres && measured(Measure::Postgres) {
        for (name, how) in [("fast", Shutdown::Fast), ("immediate", Shutdown::Immediate)] {
            let restarts = arguments.restarts;
            let (figures, counts) = postgres_restarts(&stage, restarts, how, say).await?;
            let what = format!(
                "{restarts} restarts of Postgres ({name}) under load, {} calls acknowledged, {} \
                 failed",
                counts.acknowledged, counts.failed
            );
            good &= judge(&what, stage.store, &figures, POSTGRES_BACK) && counts.failed == 0;
        }
    }
    Ok(good)
}

fn judge(what: &str, store: Store, figures: &Figures, bound: Duration) -> bool {
    let within = figures.percentile(99).is_some_and(|p99| p99 <= bound);
    say(&format!(
        "{what} on {store}: first success {figures}, bound {} ms: {}",
        bound.as_millis(),
        kept(within)
    ));
    within
}

fn kept(kept: bool) -> &'static str {
    if kept { "kept" } else { "MISSED" }
}
