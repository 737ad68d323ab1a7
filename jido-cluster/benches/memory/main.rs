//! What agents take in memory, and how fast they come back from there.
//!
//! `cargo bench -p jido-cluster --bench memory` prints:
//!
//! - **parked**: bytes for each of 1,000,000 parked agents, with 100 bytes of state each
//!   and one request remembered, beyond the state;
//! - **hot**: bytes for each of 100,000 agents that run, with the same state, against a
//!   bare `ractor` actor that holds that state;
//! - **woken**: parked agents that are called, one after the other, against bare `ractor`
//!   actors that are spawned and called.
//!
//! Each is measured in a process of its own, so that none finds memory that another has
//! left behind. Memory is what is resident and not a mapped file, where the allocator gives back at
//! once what is free: else it counts agents that ran in between, too. The agents' records
//! are elsewhere, in a storage that takes none.
#![allow(missing_docs, reason = "a benchmark")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program that measures"
)]

mod bare;
mod elsewhere;
mod ours;

use std::process::Command;

/// As in the programs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PARKED: usize = 1_000_000;
const HOT: usize = 100_000;
const WOKEN: usize = 5_000;
const ROUNDS: usize = 9;
/// The length of a serialized state without its header.
const STATE: usize = 100;

/// Resident bytes of this process that are no mapped file.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<f64>().unwrap() * 1024.0
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Measures in a process of its own.
fn measured(what: &str) -> f64 {
    let program = std::env::current_exe().unwrap();
    let ran = Command::new(program)
        .arg(what)
        .env("MIMALLOC_PURGE_DELAY", "0")
        .output()
        .unwrap();
    let text = String::from_utf8(ran.stdout).unwrap();
    if !ran.status.success() {
        panic!("{what}: {}", String::from_utf8_lossy(&ran.stderr));
    }
    text.trim().parse().unwrap()
}

fn main() {
    let asked = std::env::args().nth(1);
    let result = match asked.as_deref() {
        Some("parked") => runtime().block_on(ours::parked()),
        Some("hot") => runtime().block_on(ours::hot()),
        Some("bare") => runtime().block_on(bare::resident_each()),
        Some("woken") => runtime().block_on(ours::woken_against_spawned()),
        _ => return report(),
    };
    println!("{result}");
}

fn report() {
    let parked = measured("parked");
    println!(
        "parked agent   {parked:>7.0} bytes each beyond {STATE} of state, {PARKED} of them (goal: at most 600)"
    );
    let (hot, bare) = (measured("hot"), measured("bare"));
    println!(
        "hot agent      {hot:>7.0} bytes each, bare actor {bare:.0}: ratio {:.2}, {HOT} of them (goal: at most 1.25)",
        hot / bare
    );
    let woken = measured("woken");
    println!(
        "woken agents   {woken:>7.2} of the rate of bare spawns, median of {ROUNDS} rounds of {WOKEN} (goal: at least 0.5)"
    );
}
