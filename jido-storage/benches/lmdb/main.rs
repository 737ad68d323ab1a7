//! The LMDB adapter against LMDB driven bare, in the same run.
//!
//! `cargo bench -p jido-storage --features lmdb --bench lmdb`
//!
//! - **append**: durable appends of 200 bytes by 1, 16 and 1,000 agents at once. The floor has
//!   the batches that the adapter made in the same turn, with the appends in the order in which
//!   they came: a transaction for each, and one put for each append, of as many bytes as the
//!   adapter stores for the entry, under a key as long as its own, and nothing else.
//!   Beside it an ideal: a transaction for each round of all agents, in the order of
//!   their keys, so that no agent is ever late and page follows page. Then the adapter behind
//!   a group committer, which it has no need of, and the gain over one commit at a
//!   time, which is what one agent alone gets.
//! - **claim and load** of an agent with a checkpoint of 2 kB: the floor puts a record
//!   of 100 bytes and reads one of 2 kB.
//! - **directory**: a page of 1,000 agents. The floor copies as many records, undecoded.
//!
//! Both sides take turns, and the middle of the turns' ratios is printed: a machine is
//! shared and its disk changes from second to second, so that rates mean little.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "this is a benchmark: it reads clocks, prints, and ends when something goes wrong"
)]

mod adapter;
mod bare;
mod batches;

use std::cell::RefCell;
use std::time::Duration;

use adapter::Adapter;
use bare::{Bare, stored_len};
use batches::{Batches, Recorder};
use tokio::runtime::Runtime;

/// As in the programs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BYTES: usize = 200;
const STATE: usize = 2_000;
const PAGE: usize = 1_000;
/// Agents at once, rounds of a turn, and turns. In the first round of a turn the agents
/// don't come all at once, so a turn has many.
const APPENDS: [(usize, u64, usize); 3] = [(1, 40, 21), (16, 40, 21), (1_000, 30, 15)];
/// Turns before the first that counts.
const WARM: usize = 2;

/// The middle of some numbers, and the quarters around it.
fn quartiles(mut numbers: Vec<f64>) -> [f64; 3] {
    numbers.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| numbers[numbers.len() * quarter / 4])
}

/// The times of all sides in each turn.
fn turns<const N: usize>(
    count: usize,
    mut sides: [&mut dyn FnMut() -> Duration; N],
) -> Vec<[f64; N]> {
    let mut times = Vec::new();
    for turn in 0..WARM + count {
        let mut of_turn = [0.0; N];
        for (side, time) in sides.iter_mut().zip(&mut of_turn) {
            *time = side().as_secs_f64();
        }
        if turn >= WARM {
            times.push(of_turn);
        }
    }
    times
}

fn rate<const N: usize>(times: &[[f64; N]], side: usize, done: f64) -> f64 {
    done / quartiles(times.iter().map(|turn| turn[side]).collect())[1]
}

/// The rate of a side as a part of a floor's.
fn ratio<const N: usize>(times: &[[f64; N]], floor: usize, side: usize) -> String {
    let [low, middle, high] =
        quartiles(times.iter().map(|turn| turn[floor] / turn[side]).collect());
    format!("{middle:.2} ({low:.2} to {high:.2})")
}

fn appends(runtime: &Runtime, recorder: &Recorder) {
    let mut first = Adapter::new(1, runtime, false);
    first.append(BYTES, 1, recorder);
    let len = stored_len(first.close().path(), "entries");
    println!("append of {BYTES} bytes, {len} as stored; ratio to the floor: middle (quarters)");
    println!(
        "at once | bare/s | adapter/s | ratio | grouped | to ideal | transactions a round | gain"
    );
    let mut alone = 0.0;
    for (agents, rounds, count) in APPENDS {
        let (mut bare, mut ideal) = (Bare::new(), Bare::new());
        let mut adapter = Adapter::new(agents, runtime, false);
        let mut grouped = Adapter::new(agents, runtime, true);
        let batches = RefCell::new(Batches::default());
        let mut transactions = 0;
        let times = turns(
            count,
            [
                &mut || {
                    recorder.take();
                    let time = adapter.append(BYTES, rounds, recorder);
                    batches.replace(recorder.take());
                    transactions += batches.borrow().transactions();
                    time
                },
                &mut || bare.replay(&batches.borrow(), len),
                &mut || grouped.append(BYTES, rounds, recorder),
                &mut || ideal.append(agents, len, rounds),
            ],
        );
        let done = (agents as u64 * rounds) as f64;
        let ours = rate(&times, 0, done);
        if agents == 1 {
            alone = ours;
        }
        println!(
            "{agents} | {:.0} | {ours:.0} | {} | {} | {} | {:.2} | {:.1}",
            rate(&times, 1, done),
            ratio(&times, 1, 0),
            ratio(&times, 1, 2),
            ratio(&times, 3, 0),
            transactions as f64 / ((WARM + count) as u64 * rounds) as f64,
            ours / alone,
        );
    }
}

fn claims(runtime: &Runtime) {
    const ROUNDS: u64 = 40;
    let mut bare = Bare::new();
    let mut adapter = Adapter::new(1, runtime, false);
    adapter.checkpoint(STATE);
    let times = turns(
        15,
        [&mut || bare.claim_and_load(STATE, ROUNDS), &mut || {
            adapter.claim_and_load(ROUNDS)
        }],
    );
    println!(
        "claim and load of {STATE} bytes: bare {:.0}/s, adapter {:.0}/s, ratio {}",
        rate(&times, 0, ROUNDS as f64),
        rate(&times, 1, ROUNDS as f64),
        ratio(&times, 0, 1),
    );
}

fn pages(runtime: &Runtime) {
    const ROUNDS: u64 = 50;
    let mut adapter = Adapter::new(PAGE, runtime, false);
    let mut bare = Bare::new();
    let times = turns(
        21,
        [&mut || bare.scan(PAGE, 80, ROUNDS), &mut || {
            adapter.page(ROUNDS)
        }],
    );
    println!(
        "directory page of {PAGE}: bare {:.0}/s, adapter {:.0}/s, ratio {}",
        rate(&times, 0, ROUNDS as f64),
        rate(&times, 1, ROUNDS as f64),
        ratio(&times, 0, 1),
    );
}

fn main() {
    let runtime = Runtime::new().unwrap();
    let recorder = Recorder::default();
    tracing::subscriber::set_global_default(recorder.clone()).unwrap();
    appends(&runtime, &recorder);
    claims(&runtime);
    pages(&runtime);
}
