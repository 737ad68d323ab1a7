//! Durable appends of 200 bytes by 1, 16 and 1,000 agents at once, behind a group committer
//! as a node has it, against Postgres driven bare; claims with loads; pages of a directory.
//!
//! All sides take turns on one server with the defaults of Postgres: `fsync` is on, and
//! every commit waits for the disk. The middle of the ratios of all turns is what counts.
//!
//! `cargo bench -p jido-storage --features postgres --bench postgres`
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "this is a benchmark: it reads clocks, prints, and ends when something goes wrong"
)]

mod adapter;
mod floor;
mod reads;

use std::time::Duration;

use jido_testkit::postgres::TemporaryPostgres;
use tokio::runtime::Runtime;

use self::adapter::Adapter;
use self::floor::{Floor, Writes};

const BYTES: usize = 200;
const AT_ONCE: [usize; 3] = [1, 16, 1_000];
const TURNS: usize = 15;
/// Batches in flight at once, each on a connection: what the adapter asks for with the
/// ten connections that it has unless told otherwise.
const LANES: usize = 5;

/// The middle one, and the first and the third quarter.
fn quarters(mut ratios: Vec<f64>) -> [f64; 3] {
    ratios.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| ratios[(ratios.len() - 1) * quarter / 4])
}

fn middle(ratios: Vec<f64>) -> f64 {
    quarters(ratios)[1]
}

fn seconds(took: &[Duration]) -> Vec<f64> {
    took.iter().map(Duration::as_secs_f64).collect()
}

/// How many times as fast as the first the second was, turn by turn.
fn ratios(first: &[Duration], second: &[Duration]) -> Vec<f64> {
    let pairs = first.iter().zip(second);
    pairs
        .map(|(first, second)| first.as_secs_f64() / second.as_secs_f64())
        .collect()
}

fn appends(url: &str, runtime: &Runtime, agents: usize) {
    let rounds = (1_000 / agents).clamp(16, 60) as u64;
    let adapter = runtime.block_on(Adapter::new(url, agents));
    let shares = adapter.shares();
    let mut inserts = runtime.block_on(Floor::new(url, &shares, Writes::Entries));
    let mut records = runtime.block_on(Floor::new(url, &shares, Writes::EntriesAndRecords));
    let mut times = [const { Vec::new() }; 4];
    for _ in 0..=TURNS {
        times[0].push(runtime.block_on(inserts.rounds(rounds)));
        times[1].push(runtime.block_on(records.rounds(rounds)));
        times[2].push(runtime.block_on(adapter.rounds(rounds, true)));
        times[3].push(runtime.block_on(adapter.rounds(rounds, false)));
    }
    // The first turn makes the statements known, and the tables more than empty.
    for times in &mut times {
        times.remove(0);
    }
    let rate = |took: &[Duration]| (rounds * agents as u64) as f64 / middle(seconds(took));
    let [inserts, records, grouped, alone] = &times;
    let [low, ratio, high] = quarters(ratios(inserts, grouped));
    println!(
        "{agents} at once: inserts alone {:.0}/s; inserts and an update of each agent's row {:.0}/s; \
         adapter {:.0}/s in batches of {:.1}\n    ratio to inserts alone {ratio:.2} ({low:.2} to {high:.2}), \
         to both {:.2}; gain over a transaction for each commit {:.2} ({:.0}/s)",
        rate(inserts),
        rate(records),
        rate(grouped),
        adapter.batch(),
        middle(ratios(records, grouped)),
        middle(ratios(alone, grouped)),
        rate(alone),
    );
}

fn main() {
    let runtime = Runtime::new().unwrap();
    let builder = TemporaryPostgres::builder().own();
    let server = runtime.block_on(builder.start()).unwrap();
    for agents in AT_ONCE {
        let url = runtime.block_on(server.fresh_database()).unwrap();
        appends(&url, &runtime, agents);
    }
    let url = runtime.block_on(server.fresh_database()).unwrap();
    runtime.block_on(reads::claims_and_loads(&url));
    runtime.block_on(reads::pages(&url));
}
