//! Calls from one process to keyed agents in another, against the session layer's
//! own remote calls, in one run.
//!
//! The floor is `ractor_cluster` as its users have it: actors that are announced to
//! the other process, and `call` on references to them. Ours is `Handle::call` by
//! key. Each way has a pair of processes of its own, since what the layer announces
//! belongs to the process; the pairs live through the whole run and take turns.
//!
//! `cargo bench -p jido-cluster --bench remote`, with `-- --rounds N --seconds S` if
//! wanted, `--only WAY` for one way, `--in-flight N` and `--payload BYTES` for one level.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "this is a measuring program"
)]

mod floor;
mod load;
mod ours;
mod pair;

use std::time::Duration;

use load::{Level, Sample};
use pair::Pair;

/// As a server has that minds its memory; both ways have it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Agents, or actors, that are called in turn.
const AGENTS: usize = 10_000;
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// The ways of calling, the one that is compared first.
const WAYS: [&str; 2] = [ours::NAME, floor::NAME];

struct Options {
    rounds: usize,
    seconds: f64,
    ways: Vec<&'static str>,
    levels: Vec<Level>,
}

impl Options {
    fn parse(arguments: &[String]) -> Self {
        let value = |name: &str| {
            let at = arguments.iter().position(|argument| argument == name)?;
            Some(arguments.get(at + 1).unwrap().as_str())
        };
        let only = value("--only");
        Self {
            rounds: value("--rounds").map_or(5, |n| n.parse().unwrap()),
            seconds: value("--seconds").map_or(2.0, |n| n.parse().unwrap()),
            ways: WAYS
                .into_iter()
                .filter(|way| only.is_none_or(|only| only == *way))
                .collect(),
            levels: match (value("--in-flight"), value("--payload")) {
                (None, None) => Level::ALL.to_vec(),
                (in_flight, payload) => vec![Level {
                    in_flight: in_flight.map_or(64, |n| n.parse().unwrap()),
                    payload: payload.map_or(64, |n| n.parse().unwrap()),
                }],
            },
        }
    }
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["--serve", way] => pair::serve(way),
        ["--call", way, address] => pair::call(way, address),
        // Cargo's tests run benchmarks to see that they build.
        ["--test", ..] => {}
        _ => compare(&Options::parse(&arguments)),
    }
}

fn compare(options: &Options) {
    let mut pairs: Vec<_> = options.ways.iter().map(|way| Pair::start(way)).collect();
    println!(
        "{AGENTS} agents, {} rounds of {} s, {} cores",
        options.rounds,
        options.seconds,
        std::thread::available_parallelism().unwrap(),
    );
    // By level, then by way, then by round.
    let mut samples = vec![vec![Vec::new(); pairs.len()]; options.levels.len()];
    for round in 0..options.rounds {
        for (at, &level) in options.levels.iter().enumerate() {
            // Each way comes first in its turn.
            for turn in 0..pairs.len() {
                let way = (turn + round) % pairs.len();
                let sample = pairs[way].measure(level, options.seconds);
                println!(
                    "round {} | {level} | {:<14} | {sample}",
                    round + 1,
                    pairs[way].way(),
                );
                samples[at][way].push(sample);
            }
        }
    }
    for (level, samples) in options.levels.iter().zip(&samples) {
        println!("\n{level}, medians of {} rounds:", options.rounds);
        for (pair, samples) in pairs.iter().zip(samples) {
            println!("  {:<14} | {}", pair.way(), Sample::median(samples));
        }
        let [ours, floors @ ..] = &samples[..] else {
            continue;
        };
        for (pair, floor) in pairs[1..].iter().zip(floors) {
            report_ratios(pair.way(), ours, floor);
        }
    }
}

fn report_ratios(floor: &str, ours: &[Sample], theirs: &[Sample]) {
    let pairs = || ours.iter().zip(theirs);
    let mut rates: Vec<_> = pairs().map(|(a, b)| a.rate / b.rate).collect();
    let by_round: Vec<_> = rates.iter().map(|ratio| format!("{ratio:.2}")).collect();
    let of = |value: fn(&Sample) -> f64| {
        load::median(
            &mut pairs()
                .map(|(a, b)| value(a) / value(b))
                .collect::<Vec<_>>(),
        )
    };
    println!(
        "  ours / {floor}: {:.2} x the calls (by round {}), {:.2} x the p50, {:.2} x the p99, \
         {:.2} x the cpu",
        load::median(&mut rates),
        by_round.join(" "),
        of(|sample| sample.p50),
        of(|sample| sample.p99),
        of(|sample| sample.cpu),
    );
}
