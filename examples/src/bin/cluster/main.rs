//! Three nodes on this machine, under load, while one is killed, comes back, and
//! another is drained; and the proof that nothing was lost.

mod demo;
mod monitor;
mod probe;
mod screen;
mod stored;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use jido_examples::counter_node::{self, options::NodeOptions};

// Memory that glibc's allocator was given back it keeps.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs three counter nodes on this machine over one LMDB folder, kills one, adds
/// it back, drains another, and checks that every acknowledged increment was kept.
///
/// It ends with 0 when nothing was lost and nothing was applied twice, and with 1
/// otherwise.
#[derive(Debug, Parser)]
#[command(name = "cluster", version, args_conflicts_with_subcommands = true)]
struct Program {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    options: DemoOptions,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// One of the nodes: the program starts itself for them, so that nothing else
    /// needs to be built.
    #[command(hide = true)]
    Node(Box<NodeOptions>),
}

#[derive(Debug, Args)]
struct DemoOptions {
    /// How many keys are incremented.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    keys: u32,

    /// How many clients increment at once.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: u32,

    /// How many seconds the load runs, starts of nodes aside.
    #[arg(long, default_value_t = 28, value_parser = clap::value_parser!(u32).range(8..=3_600))]
    seconds: u32,

    /// What the clients' choices are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let program = Program::parse();
    match program.part {
        Some(Part::Node(options)) => counter_node::run(*options),
        None => demo::main(&program.options),
    }
}
