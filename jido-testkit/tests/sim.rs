//! Seeds that are run for every change, and many more where `JIDO_LONG` is set.

use std::fmt::Write as _;

use jido_testkit::sim::workload::{Options, Plan, Sweep, Swept, run};

fn is_long() -> bool {
    std::env::var("JIDO_LONG").is_ok_and(|value| value == "1")
}

/// What is wrong, with the command that shows it again.
fn complaints(swept: &Swept) -> String {
    let mut text = String::new();
    for error in &swept.errors {
        let _ = writeln!(text, "{error}");
    }
    for seed in &swept.unsteady {
        let _ = writeln!(text, "seed {seed} gave two different runs");
    }
    for report in &swept.reports {
        let _ = writeln!(text, "seed {}:", report.plan.seed);
        let _ = write!(text, "{report}");
    }
    text
}

#[test]
fn no_seed_breaks_an_invariant() {
    let count = if is_long() { 20_000 } else { 150 };
    let sweep = Sweep {
        seeds: 0..count,
        options: Options::default(),
        threads: 2,
        twice: false,
        stop: false,
    };
    let swept = sweep.run(|_, _| {});
    assert_eq!(complaints(&swept), "");
    assert_eq!(swept.seeds, count);
    assert!(swept.operations >= 200 * count && swept.faults == 10 * count);
    // What never happens shows nothing.
    assert_eq!(swept.missing(), Vec::<&str>::new());
}

#[test]
fn larger_and_smaller_clusters_keep_to_them_too() {
    let count = if is_long() { 2_000 } else { 15 };
    for (nodes, keys, clients, faults) in [(1, 2, 4, 8), (2, 4, 8, 20), (5, 4, 10, 30)] {
        let sweep = Sweep {
            seeds: 1_000_000..1_000_000 + count,
            options: Options {
                nodes,
                ops: 200,
                faults,
                keys,
                clients,
            },
            threads: 2,
            twice: false,
            stop: false,
        };
        assert_eq!(complaints(&sweep.run(|_, _| {})), "", "{nodes} nodes");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let sweep = Sweep {
        seeds: 5_000..5_100,
        options: Options {
            ops: 100,
            ..Options::default()
        },
        threads: 2,
        twice: true,
        stop: false,
    };
    assert_eq!(complaints(&sweep.run(|_, _| {})), "");
}

#[test]
fn another_seed_gives_another_run() {
    let options = Options {
        ops: 20,
        ..Options::default()
    };
    let one = run(&Plan::new(1, options)).unwrap();
    let other = run(&Plan::new(2, options)).unwrap();
    assert_ne!(one.traced.hash, other.traced.hash);
}

#[test]
fn simulations_side_by_side_do_not_touch_each_other() {
    let options = Options {
        ops: 60,
        ..Options::default()
    };
    let hash = |seed| run(&Plan::new(seed, options)).unwrap().traced.hash;
    let seeds = 6_000..6_012;
    let alone: Vec<u64> = seeds.clone().map(hash).collect();
    let together: Vec<u64> = std::thread::scope(|scope| {
        let runs: Vec<_> = seeds.map(|seed| scope.spawn(move || hash(seed))).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(alone, together);
}
