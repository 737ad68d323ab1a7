//! The checks are checked: each bug that can be planted is found within [`BOUND`] seeds,
//! and the same seeds without it show nothing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic, and tells which seed it was"
)]

use std::time::Instant;

use jido_testkit::sim::workload::planted::{Bug, plant};
use jido_testkit::sim::workload::{Options, Plan, Report, Sweep, run, shrink};

mod program;

/// Within how many seeds every bug is found.
const BOUND: u64 = 700;

/// Runs with twice as much in them, for what shows only where several things meet.
const LARGE: Options = Options {
    nodes: 3,
    ops: 400,
    faults: 20,
    keys: 8,
    clients: 6,
};

/// The first seed that shows a bug by one of these invariants.
fn found(bug: Bug, by: &[&str], options: Options) -> Option<Report> {
    plant(Some(bug));
    let shows = |report: &Report| report.violations.iter().any(|v| by.contains(&v.invariant));
    let found = (0..BOUND)
        .map(|seed| run(&Plan::new(seed, options)).unwrap())
        .find(shows);
    plant(None);
    found
}

#[allow(
    clippy::disallowed_methods,
    reason = "how long it took, by the real clock"
)]
fn is_found(bug: Bug, by: &[&str], options: Options) {
    let start = Instant::now();
    let Some(report) = found(bug, by, options) else {
        panic!("{bug} is not found within {BOUND} seeds")
    };
    let (seed, took) = (report.plan.seed, start.elapsed());
    println!("{bug} is found by seed {seed} of {BOUND}, in {took:.1?}:");
    for violation in report
        .violations
        .iter()
        .filter(|v| by.contains(&v.invariant))
        .take(3)
    {
        println!("  {violation}");
    }
    let clean = run(&Plan::new(seed, options)).unwrap();
    assert_eq!(clean.violations, [], "without the bug");
}

macro_rules! bugs {
    (@options) => { Options::default() };
    (@options $options:expr) => { $options };
    ($($name:ident: $bug:ident, by $by:expr $(, in $options:expr)?;)+) => {
        $(
            #[test]
            fn $name() {
                is_found(Bug::$bug, &$by, bugs!(@options $($options)?));
            }
        )+

        #[test]
        fn there_is_a_test_for_every_bug() {
            let mut all = vec![$(Bug::$bug),+];
            all.sort_by_key(Bug::to_string);
            let mut bugs = Bug::ALL.to_vec();
            bugs.sort_by_key(Bug::to_string);
            assert_eq!(all, bugs);
        }
    };
}

const WRITER: &str = "one writer a revision: the holder of the largest epoch";
const EXPECTED: &str = "the holder of an agent expects the revision that is stored";
const LOST: &str = "every acknowledged effect is in the record";
const REFUSED: &str = "what was not executed has no effect";
const HALF: &str = "state and thread are committed together";
const ONCE: &str = "an operation is applied at most once";
const ALIKE: &str = "a further try of a request is answered as the first was";
const FRESH: &str = "an answer shows all that was answered before it was asked for";
const HOPS: &str = "a request is not sent around without end";
const SERVES: &str = "every key serves again at every node within a bound";
const REMINDED_ONCE: &str = "an occurrence of a reminder is applied at most once";
const EARLY: &str = "no reminder comes before its time";
const KEPT: &str = "a reminder is kept until it is over or cancelled";
const LATE: &str = "every occurrence of a reminder comes within a bound";
const MISSED: &str = "of missed occurrences those come that the reminder asks for";
const NOT_SCHEDULED: &str = "nothing comes of what was not scheduled";
const LET_GO: &str = "nothing is left of a cluster that has ended";
const DELETED: &str = "an agent that was said to be deleted had been";
const ANSWERS: &str = "answers are those of the record's order";

bugs! {
    no_epoch_check: NoEpochCheck, by [WRITER];
    a_release_without_an_epoch: ReleaseWithoutEpoch, by [WRITER];
    claim_and_load_in_one_step: ClaimAndLoadInOneStep, by [EXPECTED];
    acknowledgement_before_the_commit: AcknowledgeBeforeCommit, by [LOST];
    a_lease_that_counts_from_the_receipt: LeaseFromReceipt, by [FRESH], in LARGE;
    a_death_declared_for_one_missed_beat: DeadFromOneMissedBeat, by [FRESH], in LARGE;
    no_deduplication: NoDeduplication, by [ONCE];
    a_window_that_is_ignored: WindowIgnored, by [ONCE];
    a_refusal_that_is_not_kept: RefusalNotKept, by [ALIKE];
    a_commit_that_is_dropped_on_time_out: CommitDroppedOnTimeOut, by [EXPECTED, REFUSED];
    a_forwarding_loop: ForwardingLoop, by [HOPS];
    a_stale_reference_that_is_kept: StaleReferenceKept, by [SERVES];
    an_old_checkpoint_that_is_restored: OldCheckpointRestored, by [HALF, LOST];
    an_unknown_outcome_that_is_taken_for_a_failure: UnknownTakenAsFailed, by [EXPECTED, REFUSED];
    a_lease_that_is_not_checked: LeaseNotChecked, by [FRESH];
    a_strict_read_that_is_not_confirmed: ReadNotConfirmed, by [FRESH];
    a_failure_that_is_not_undone: FailureNotUndone, by [ANSWERS, HALF];
    entries_that_are_not_replayed: EntriesNotReplayed, by [ANSWERS];
    an_occurrence_that_is_not_committed: OccurrenceNotCommitted, by [REMINDED_ONCE];
    missed_reminders_that_are_dropped_at_a_takeover: MissedDroppedAtTakeover, by [KEPT, LATE, MISSED];
    reminders_that_are_not_undone: RemindersNotUndone, by [KEPT, LATE, MISSED];
    timers_that_are_not_undone: TimersNotUndone, by [NOT_SCHEDULED];
    a_former_life_that_is_kept: FormerLifeKept, by [LET_GO];
    dormant_agents_that_nobody_wakes: DormantNotWoken, by [LATE];
    reminders_that_come_too_early: RemindedTooEarly, by [EARLY];
    a_deletion_that_is_taken_as_done: DeletionTakenAsDone, by [DELETED];
    a_rebalance_without_a_drain: RebalanceWithoutDrain, by [FRESH];
}

#[test]
fn the_same_seeds_without_a_bug_show_nothing() {
    let sweep = Sweep {
        seeds: 0..BOUND,
        options: Options::default(),
        threads: 2,
        twice: false,
        stop: false,
    };
    let swept = sweep.run(|_, _| {});
    assert_eq!(swept.seeds, BOUND);
    assert!(swept.errors.is_empty());
    let bad: Vec<u64> = swept
        .reports
        .iter()
        .map(|report| report.plan.seed)
        .collect();
    assert_eq!(bad, [0_u64; 0]);
}

#[test]
fn a_violation_is_made_smaller() {
    let bug = Bug::NoDeduplication;
    let report = found(bug, &[ONCE], Options::default()).unwrap();
    let invariant = report.violations[0].invariant;
    plant(Some(bug));
    let shrunk = shrink(report.clone(), 200).unwrap();
    let again = run(&shrunk.report.plan).unwrap();
    plant(None);
    let (before, after) = (&report.plan, &shrunk.report.plan);
    assert!(after.tasks.len() * 4 <= before.tasks.len(), "{shrunk}");
    assert!(after.faults.len() < before.faults.len(), "{shrunk}");
    assert!(shrunk.report.history.operations.len() < report.history.operations.len());
    // What is left is a part of it that shows the same, time after time.
    assert!(after.tasks.iter().all(|task| before.tasks.contains(task)));
    assert!(
        after
            .faults
            .iter()
            .all(|fault| before.faults.contains(fault))
    );
    assert!(again.violations.iter().any(|v| v.invariant == invariant));
    assert_eq!(again.traced.hash, shrunk.report.traced.hash);
    let told = shrunk.to_string();
    assert!(told.contains(invariant), "{told}");
    assert!(told.contains("see it again: cargo run"), "{told}");
}

#[test]
fn a_plan_that_shows_nothing_is_left_as_it_is() {
    let plan = Plan::new(
        1,
        Options {
            ops: 20,
            ..Options::default()
        },
    );
    let shrunk = shrink(run(&plan).unwrap(), 200).unwrap();
    assert_eq!(shrunk.runs, 0);
    assert_eq!(shrunk.report.plan, plan);
    assert_eq!(shrunk.to_string().lines().count(), 1);
}
