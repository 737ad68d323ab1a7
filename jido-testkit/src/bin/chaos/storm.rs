//! Load and faults.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jido_testkit::process::chaos::{self, FaultKind, Options};
use jido_testkit::process::say;

use super::{Failure, Nodes, at_least_one, duration};

#[derive(Debug, Args)]
pub(super) struct Storm {
    #[command(flatten)]
    nodes: Nodes,
    /// How long things go wrong, at the least: all kinds do so equally often
    #[arg(long, default_value = "30s", value_parser = duration)]
    duration: Duration,
    /// How many clients there are
    #[arg(long, default_value_t = 8, value_parser = at_least_one)]
    clients: usize,
    /// How many keys they work on
    #[arg(long, default_value_t = 20, value_parser = at_least_one)]
    keys: usize,
    /// How many of a hundred operations are reads
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(0..=100))]
    reads: u32,
    /// What goes wrong, separated by commas; by default all that fits the storage: kill, pause,
    /// terminate, postgres-fast, postgres-immediate
    #[arg(long, value_delimiter = ',')]
    faults: Vec<FaultKind>,
    /// Whether agents are taken over as soon as the session to their owner is gone
    #[arg(long)]
    on_disconnect: bool,
    /// What choices are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the history is written; with a violation it is written in any case
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
}

pub(super) async fn run(arguments: &Storm) -> Result<bool, Failure> {
    let mut stage = arguments.nodes.stage()?;
    stage.on_disconnect = arguments.on_disconnect;
    if arguments.duration.is_zero() {
        return Err("--duration: nothing can go wrong in no time".into());
    }
    if let Some(fault) = arguments
        .faults
        .iter()
        .find(|fault| !fault.fits(stage.store))
    {
        return Err(format!("--faults {fault}: agents are kept in {}", stage.store).into());
    }
    let mut options = Options {
        duration: arguments.duration,
        clients: arguments.clients,
        keys: arguments.keys,
        reads: arguments.reads,
        seed: arguments.seed,
        ..Options::new(stage)
    };
    if !arguments.faults.is_empty() {
        options.faults.clone_from(&arguments.faults);
    }
    let report = chaos::run(&options, say).await?;
    say(&report.to_string());
    if !report.is_good() {
        for error in &report.errors {
            say(&format!("  error: {error}"));
        }
    }
    if let Some(dir) = &report.kept {
        say(&format!("the nodes' logs are kept in {}", dir.display()));
    }
    let file = match (&arguments.history, report.is_good()) {
        (Some(file), _) => file.clone(),
        (None, true) => return Ok(true),
        (None, false) => std::env::temp_dir().join(format!("chaos-{}.jsonl", std::process::id())),
    };
    report.write_history(&file)?;
    say(&format!("the history is in {}", file.display()));
    Ok(report.is_good())
}
