//! Sequences of operations that are generated, run against the adapter and against a
//! model in plain maps, and cut down to the shortest that still fails.

mod check;
mod model;
mod operations;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use self::operations::Operation;
use super::case::{Case, Needs, Rule};
use super::stage::Stage;
use super::suite::message;

/// An hour, since the number of sequences is the caller's when it is not the usual one.
const LIMIT: Duration = Duration::from_secs(3600);

pub(super) const CASES: &[Case] = &[Case::over(
    concat!(module_path!(), "::sequences_agree_with_a_model"),
    Rule::Whole,
    Needs::NOTHING,
    sequences,
)
.at_most(LIMIT)];

/// Sequences of a usual run.
const SEQUENCES: u64 = 8;

/// Runs that are spent at the most on cutting a sequence down.
const CUTS: usize = 400;

fn sequences<'a>(stage: &'a Stage<'_>) -> Pin<Box<dyn Future<Output = ()> + 'a>> {
    Box::pin(async move {
        for seed in seeds() {
            sequence(stage, seed).await;
        }
    })
}

fn seeds() -> Vec<u64> {
    if let Ok(seed) = std::env::var("JIDO_CONFORMANCE_SEED") {
        let seed = seed.parse();
        return vec![seed.expect("JIDO_CONFORMANCE_SEED is a number")];
    }
    let mut seeds: Vec<u64> = (1..=SEQUENCES).collect();
    if std::env::var("JIDO_LONG").is_ok_and(|long| long == "1") {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let base = now.expect("it is later than 1970").as_nanos() as u64;
        seeds.extend((0..SEQUENCES * 19).map(|n| base.wrapping_add(n)));
    }
    seeds
}

async fn sequence(stage: &Stage<'_>, seed: u64) {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let strategy = proptest::collection::vec(operations::operation(), 1..=400);
    let mut tree = strategy.new_tree(&mut runner).expect("nothing is filtered");
    let Err(mut why) = attempt(stage, &tree.current()).await else {
        return;
    };
    let mut shortest = tree.current();
    let mut more = tree.simplify();
    for _ in 0..CUTS {
        if !more {
            break;
        }
        more = match attempt(stage, &tree.current()).await {
            Err(now) => {
                why = now;
                shortest = tree.current();
                tree.simplify()
            }
            Ok(()) => tree.complicate(),
        };
    }
    let steps: Vec<String> = shortest
        .iter()
        .enumerate()
        .map(|(at, operation)| format!("    {at}: {operation:?}"))
        .collect();
    panic!(
        "seed {seed}: {why}\n  the shortest sequence found that fails, of {}:\n{}",
        shortest.len(),
        steps.join("\n")
    );
}

/// Runs a sequence on an empty storage; says where it and the model part.
async fn attempt(stage: &Stage<'_>, operations: &[Operation]) -> Result<(), String> {
    let world = stage.fresh().await;
    let run = AssertUnwindSafe(check::run(&world, operations));
    match run.catch_unwind().await {
        Ok(agreed) => agreed,
        Err(panic) => Err(message(&*panic)),
    }
}
