//! Has one zone of a cluster of real processes fail under load, and tells how the others
//! bore it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use jido_testkit::process::chaos::{Stage, Store};
use jido_testkit::process::drill::{Bounds, Drill, Plan, Settings, run};
use jido_testkit::process::{node_program, say, unless_told_to_end};

/// Real nodes in several zones under load, of which one zone is killed and comes back. Ends with a
/// report and a verdict: status 0 if every criterion was kept, 1 if one was missed, 2 if the drill
/// could not be carried out. The same seed and flags give the same plan; times are those of the machine.
#[derive(Debug, Parser)]
struct Arguments {
    /// What the plan is drawn from: keys, clients' choices, the zone that is killed and when
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The zones, separated by commas: two or more
    #[arg(long, value_delimiter = ',', default_value = "a,b,c")]
    zones: Vec<String>,
    /// How many nodes each zone has
    #[arg(long, default_value_t = 1)]
    nodes_per_zone: usize,
    /// The zones that agents are placed in while one of them has a node; by default all
    #[arg(long, value_name = "ZONES", value_delimiter = ',')]
    prefer: Vec<String>,
    /// How many agents there are
    #[arg(long, default_value_t = 120)]
    agents: usize,
    /// How many clients call them
    #[arg(long, default_value_t = 24)]
    clients: usize,
    /// How many of a hundred calls are reads; the others are increments
    #[arg(long, default_value_t = 20)]
    reads: u32,
    /// The zone that is killed; by default it is drawn
    #[arg(long, value_name = "ZONE")]
    kill: Option<String>,
    /// How long clients work before that; by default it is drawn, 2 s to 4 s
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    calm: Option<Duration>,
    /// How long the zone stays away once its agents run elsewhere; by default it is drawn, 1 s to 3 s
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    away: Option<Duration>,
    /// Where agents are kept: lmdb, or postgres: a server for this run alone
    #[arg(long, default_value = "lmdb")]
    storage: Store,
    /// When agents of a dead node are taken over
    #[arg(long, value_enum, default_value = "after-lease")]
    takeover: Takeover,
    /// How long a node may fall silent before it can be declared dead
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = humantime::parse_duration)]
    lease_ttl: Duration,
    /// The most that the p99 of recovery may be, in milliseconds; by default the lease and 500,
    /// or 300 with takeover on disconnect
    #[arg(long, value_name = "MS")]
    bound_p99: Option<u64>,
    /// How many of a hundred agents of the zone have to recover
    #[arg(long, value_name = "PERCENT", default_value_t = 100.0, value_parser = percent)]
    bound_migration: f64,
    /// The most that the p99 of calls of other zones' agents may be meanwhile, in milliseconds; by
    /// default 1000
    #[arg(long, value_name = "MS")]
    bound_elsewhere_p99: Option<u64>,
    /// How many calls may fail
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    bound_failed: u64,
    /// How many of a hundred planned moves have to succeed
    #[arg(long, value_name = "PERCENT", default_value_t = 100.0, value_parser = percent)]
    bound_moves: f64,
    /// When an agent that does not answer again is given up; by default after ten leases
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    give_up: Option<Duration>,
    /// Where the report is written as JSON as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The nodes' program; by default counter-node beside this one
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("a percentage is a number from 0 to 100".to_owned()),
    }
}

/// When agents of a dead node are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Takeover {
    /// Once its lease has run out
    AfterLease,
    /// As soon as the session to it is gone
    OnDisconnect,
}

type Failure = Box<dyn std::error::Error>;

impl Arguments {
    fn drill(&self) -> Result<Drill, Failure> {
        let plan = Plan::draw(&Settings {
            seed: self.seed,
            zones: self.zones.clone(),
            nodes_per_zone: self.nodes_per_zone,
            preferred: self.prefer.clone(),
            agents: self.agents,
            clients: self.clients,
            reads: self.reads,
            kill: self.kill.clone(),
            calm: self.calm,
            away: self.away,
        })?;
        let stage = Stage {
            lease_ttl: self.lease_ttl,
            on_disconnect: self.takeover == Takeover::OnDisconnect,
            ..Stage::new(node_program(self.program.clone())?, self.storage)
        };
        let drill = Drill::new(stage, plan);
        let given = |ms: Option<u64>, promised| ms.map_or(promised, Duration::from_millis);
        let bounds = Bounds {
            recovery_p99: given(self.bound_p99, drill.bounds.recovery_p99),
            migration_percent: self.bound_migration,
            elsewhere_p99: given(self.bound_elsewhere_p99, drill.bounds.elsewhere_p99),
            failed: self.bound_failed,
            moves_percent: self.bound_moves,
        };
        Ok(Drill {
            bounds,
            give_up: self.give_up.unwrap_or(drill.give_up),
            ..drill
        })
    }
}

fn main() -> ExitCode {
    match drill(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // With nowhere to write to, the status alone must do.
            let _ = writeln!(std::io::stderr(), "drill: {error}");
            ExitCode::from(2)
        }
    }
}

/// Nodes die with the thread that starts them, so that there is one thread alone.
fn drill(arguments: &Arguments) -> Result<bool, Failure> {
    let drill = arguments.drill()?;
    say(&drill.plan.to_string());
    let Stage {
        store, lease_ttl, ..
    } = drill.stage;
    say(&format!(
        "  on {store}, leases of {lease_ttl:?}, takeover {}",
        drill.stage.takeover()
    ));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let Some(drilled) = runtime.block_on(unless_told_to_end(run(&drill, say)))? else {
        return Err("told to end before the drill was over".into());
    };
    let drilled = drilled?;
    say(&drilled.report.to_string());
    if let Some(file) = &arguments.json {
        std::fs::write(file, drilled.report.to_json()?)
            .map_err(|error| format!("--json {}: {error}", file.display()))?;
    }
    if let Some(dir) = &drilled.kept {
        let _ = writeln!(std::io::stderr(), "logs are kept in {}", dir.display());
    }
    Ok(drilled.report.passed)
}
