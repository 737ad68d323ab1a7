//! The demo node.

use std::process::ExitCode;

use clap::Parser;
use jido_examples::counter_node::{self, options};

// Memory that glibc's allocator was given back it keeps.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A node of a cluster of counters, with an HTTP interface.
#[derive(Debug, Parser)]
#[command(name = "counter-node", version, after_help = options::AFTER_HELP)]
struct Program {
    #[command(flatten)]
    node: options::NodeOptions,
}

fn main() -> ExitCode {
    counter_node::run(Program::parse().node)
}
