//! Breaks clusters of real processes under load, and judges what their clients saw.

mod failover;
mod storm;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use jido_testkit::process::chaos::{Stage, Store};
use jido_testkit::process::{node_program, unless_told_to_end};

/// Real nodes under load, of which some are killed, paused and told to end, every few seconds,
/// and their Postgres server restarted. Ends with status 0 only if every acknowledged increment
/// took effect once, in order, and no read went back.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    storm: storm::Storm,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures how soon keys serve again: after the death of their owner, while nodes
    /// end in order, and after a restart of Postgres
    Failover(failover::Failover),
}

/// Which nodes.
#[derive(Debug, Args)]
struct Nodes {
    /// The nodes' program; by default counter-node beside this one
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// How many nodes there are
    #[arg(long, default_value_t = 3, value_parser = at_least_two)]
    nodes: usize,
    /// Where agents are kept: lmdb, or postgres: a server for this run alone
    #[arg(long, default_value = "lmdb")]
    storage: Store,
    /// How long a node may fall silent before it can be declared dead
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = duration)]
    lease_ttl: Duration,
}

impl Nodes {
    fn stage(&self) -> Result<Stage, Failure> {
        let program = node_program(self.program.clone())?;
        Ok(Stage {
            nodes: self.nodes,
            lease_ttl: self.lease_ttl,
            ..Stage::new(program, self.storage)
        })
    }
}

fn at_least_two(text: &str) -> Result<usize, String> {
    at_least(2, text)
}

/// Nothing done shows nothing.
fn at_least_one(text: &str) -> Result<usize, String> {
    at_least(1, text)
}

fn at_least(least: usize, text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number < least => Err(format!("at least {least} is needed")),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| error.to_string())
}

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // With nowhere to write to, the status alone must do.
            let _ = writeln!(std::io::stderr(), "chaos: {error}");
            ExitCode::from(2)
        }
    }
}

/// Nodes die with the thread that starts them, so that there is one thread alone.
fn run(arguments: &Arguments) -> Result<bool, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let work = async {
        match &arguments.command {
            None => storm::run(&arguments.storm).await,
            Some(Command::Failover(failover)) => failover::run(failover).await,
        }
    };
    match runtime.block_on(unless_told_to_end(work))? {
        Some(done) => done,
        None => Err("told to end before it was through".into()),
    }
}
