//! Drills on real processes: a zone is killed under load and comes back, and the report says
//! what came of it.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "all of this crate is a test, which tells its figures"
)]

use std::time::Duration;

use jido_testkit::process::chaos::{Stage, Store};
use jido_testkit::process::drill::{Bounds, Drill, Drilled, Plan, Settings, run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_counter-node");

/// Nothing here is about how fast a busy machine is.
const WHENEVER: Duration = Duration::from_secs(60);

/// A short drill. Two of the three zones have agents, and one of them is killed.
fn drill(seed: u64) -> Drill {
    let plan = Plan::draw(&Settings {
        agents: 30,
        clients: 6,
        preferred: ["a", "b"].map(str::to_owned).to_vec(),
        calm: Some(Duration::from_millis(500)),
        away: Some(Duration::from_millis(100)),
        ..Settings::new(seed)
    });
    let stage = Stage {
        // Not missed by a process that waits for its turn on a busy machine.
        lease_ttl: Duration::from_secs(5),
        ..Stage::new(PROGRAM, Store::Lmdb)
    };
    let drill = Drill::new(stage, plan.unwrap());
    Drill {
        bounds: Bounds {
            recovery_p99: WHENEVER,
            elsewhere_p99: WHENEVER,
            ..drill.bounds
        },
        give_up: WHENEVER,
        ..drill
    }
}

async fn carried_out(drill: &Drill) -> Drilled {
    println!("{}", drill.plan);
    let drilled = run(drill, |line| println!("{line}")).await.unwrap();
    println!("{}", drilled.report);
    drilled
}

#[tokio::test]
async fn a_zone_that_is_lost_is_borne_and_its_agents_come_home() {
    let Drilled { report, kept } = carried_out(&drill(1)).await;
    assert!(report.passed && kept.is_none(), "{report}");
    assert!(report.to_string().ends_with("verdict: pass"), "{report}");
    let measured = &report.measured;
    // Both zones had some, and those of the one that was killed were moved, each once.
    assert!((1..30).contains(&measured.lost), "{report}");
    assert_eq!(measured.moves.succeeded, measured.lost as u64, "{report}");
    assert_eq!(measured.recovery.unwrap().count, measured.lost as u64);
    let names: Vec<&str> = measured.phases.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["before", "during", "after", "return"]);
    assert!(
        measured.phases.iter().all(|one| one.acknowledged > 0),
        "{report}"
    );
    // The increments of the phases, and those that started all agents.
    let counted: u64 = measured.phases.iter().map(|one| one.acknowledged).sum();
    assert!(measured.calls.acknowledged >= counted + 30, "{report}");
    assert_eq!(measured.calls.stored, measured.calls.acknowledged as i64);
    // Calls to the dead nodes, at the least those of the agents that waited, met errors.
    assert!(!measured.phases[1].errors.is_empty(), "{report}");
}

#[tokio::test]
async fn a_bound_that_nothing_can_keep_fails_it_and_the_logs_are_kept() {
    let mut drill = drill(2);
    drill.bounds.recovery_p99 = Duration::from_millis(1);
    let Drilled { report, kept } = carried_out(&drill).await;
    assert!(!report.passed, "{report}");
    assert!(report.to_string().ends_with("verdict: fail"), "{report}");
    let missed = report.criteria.iter().filter(|one| !one.kept);
    let missed: Vec<&str> = missed.map(|one| one.name).collect();
    assert_eq!(missed, ["recovery p99"], "{report}");
    let kept = kept.unwrap();
    for node in ["n1.log", "n2.log", "n3.log"] {
        assert!(kept.join(node).is_file(), "{node}");
    }
    std::fs::remove_dir_all(kept).unwrap();
}
