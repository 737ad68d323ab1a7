//! Half a minute or so of kills, pauses, ends and restarts under load, and nothing acknowledged
//! is lost, doubled, or out of order. With `JIDO_LONG=1` ten minutes.

use std::time::Duration;

use jido_testkit::process::chaos::{FaultKind, Options, Report, Stage, Store, run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_counter-node");

/// Runs it and holds that it is a run that means something.
#[allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and tells its figures"
)]
async fn weather(stage: Stage, seed: u64) -> Report {
    let long = std::env::var("JIDO_LONG").is_ok_and(|long| long == "1");
    let options = Options {
        duration: Duration::from_secs(if long { 600 } else { 20 }),
        seed,
        ..Options::new(stage)
    };
    let report = run(&options, |line| println!("{line}")).await.unwrap();
    println!("{report}");
    assert!(report.is_good(), "{report}\n{:#?}", report.errors);
    assert_eq!(report.verdict.keys, 20, "{report}");
    assert!(report.verdict.acknowledged > 500, "{report}");
    assert!(report.verdict.reads > 100, "{report}");
    report
}

fn happened(report: &Report, kinds: &[FaultKind]) -> bool {
    let faults = report.faults.iter();
    faults.filter(|(kind, _)| kinds.contains(kind)).count() > 0
}

#[tokio::test]
async fn every_acknowledged_increment_outlives_a_storm_on_lmdb() {
    let stage = Stage {
        on_disconnect: true,
        ..Stage::new(PROGRAM, Store::Lmdb)
    };
    let report = weather(stage, 42).await;
    assert!(happened(&report, &[FaultKind::Kill]), "{report}");
    assert!(happened(&report, &[FaultKind::Pause]), "{report}");
}

#[tokio::test]
async fn every_acknowledged_increment_outlives_a_storm_on_postgres() {
    let report = weather(Stage::new(PROGRAM, Store::Postgres), 42).await;
    assert!(happened(&report, &[FaultKind::Kill]), "{report}");
    let servers = [FaultKind::PostgresFast, FaultKind::PostgresImmediate];
    assert!(happened(&report, &servers), "{report}");
}
