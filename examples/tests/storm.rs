//! Half a minute or so of kills, pauses, ends and restarts under load, and nothing acknowledged
//! is lost, doubled, or out of order. With `JIDO_LONG=1` ten minutes.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jido_testkit::counters::Violation;
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
    assert_eq!(report.kept, None);
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

/// The program as one of which a node lives once: it does not start again.
#[allow(clippy::unwrap_used, reason = "a test may panic")]
fn that_lives_once(folder: &Path) -> PathBuf {
    let script = folder.join("once");
    let text = format!("#!/bin/sh\nmkdir \"$0.ran\" || exit 1\nexec {PROGRAM} \"$@\"\n");
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    script
}

#[tokio::test]
#[allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and tells its figures"
)]
async fn a_storm_that_can_not_be_mended_is_judged_by_all_that_was_seen() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        duration: Duration::from_secs(1),
        keys: 4,
        faults: vec![FaultKind::Kill],
        // Nobody answers any more, and nothing is gained by asking.
        patience: Duration::from_secs(1),
        ..Options::new(Stage {
            nodes: 1,
            ..Stage::new(that_lives_once(folder.path()), Store::Lmdb)
        })
    };
    let report = run(&options, |line| println!("{line}")).await.unwrap();
    println!("{report}\n{:#?}", report.errors);
    assert!(!report.is_good());
    assert!(happened(&report, &[FaultKind::Kill]), "{report}");
    let mended = "what went wrong could not be mended: ";
    let complaint = report
        .violations
        .iter()
        .find_map(|one| one.strip_prefix(mended));
    assert!(complaint.is_some_and(|why| why.contains("n1")), "{report}");
    // What was seen before is there, and no key can be read.
    assert!(report.verdict.acknowledged > 0, "{report}");
    assert_eq!(report.stored.len(), 0);
    let unread = |key: &&str| Violation::Unread {
        key: (*key).to_owned(),
    };
    let keys: Vec<&str> = report.history.by_key().into_keys().collect();
    assert!(!keys.is_empty());
    for unread in keys.iter().map(unread) {
        assert!(report.verdict.violations.contains(&unread), "{report}");
    }
    assert!(report.errors.len() >= keys.len(), "{:#?}", report.errors);
    let kept = report.kept.unwrap();
    assert!(kept.join("n1.log").is_file(), "{}", kept.display());
    std::fs::remove_dir_all(kept).unwrap();
}
