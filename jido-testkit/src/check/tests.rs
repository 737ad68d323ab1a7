mod changes;
mod reminders;
mod timers;

use super::reads::Promise;
use super::search::{Verdict, search};
use super::*;
use crate::history::{Action, Answer, By, Kept, Mark, Noted, Operation, Outcome};

/// An operation of a time, with its outcome.
fn op(id: u64, times: (u64, u64), action: Action, outcome: Outcome) -> Operation {
    Operation {
        id,
        client: id,
        key: "k".to_owned(),
        action,
        invoked: times.0,
        first_try: None,
        ended: times.1,
        outcome,
        repeats: Vec::new(),
    }
}

fn answer(value: i64, done: bool, revision: u64) -> Outcome {
    Outcome::Answered(Answer {
        value,
        done,
        by: Some(By { epoch: 1, revision }),
    })
}

fn add(id: u64, times: (u64, u64), by: i64, value: i64, revision: u64) -> Operation {
    op(id, times, Action::Add(by), answer(value, true, revision))
}

fn read(id: u64, times: (u64, u64), value: i64, revision: u64) -> Operation {
    op(id, times, Action::Read, answer(value, false, revision))
}

/// A record of these operations, one a commit.
fn record(value: i64, applied: &[u64]) -> Record {
    Record {
        kept: Kept::InState,
        value,
        applied: applied.to_vec(),
        thread: Vec::new(),
        marks: (1..=applied.len())
            .map(|count| Mark {
                revision: count as u64,
                count,
            })
            .collect(),
        hooks: Vec::new(),
    }
}

fn judge(operations: &[Operation], record: &Record, reads: Promise) -> Vec<&'static str> {
    let history = History {
        operations: operations.to_vec(),
    };
    let records = BTreeMap::from([("k".to_owned(), record.clone())]);
    let mut found: Vec<_> = super::history(&history, &records, reads)
        .into_iter()
        .map(|violation| violation.invariant)
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn is_linear(operations: &[Operation]) -> bool {
    match search(operations.iter(), 10_000) {
        Verdict::Linearizable => true,
        Verdict::NotLinearizable { left, .. } => {
            assert!(!left.is_empty());
            false
        }
        Verdict::Undecided => panic!("so few operations are decided"),
    }
}

/// Both ways to judge must refuse these.
fn refuses(operations: &[Operation], record: &Record, invariant: &str) {
    let found = judge(operations, record, Promise::Latest);
    let named = found.iter().any(|found| found.contains(invariant));
    assert!(named, "{invariant:?} is not among {found:?}");
    assert!(!is_linear(operations), "the search accepts it");
}

fn accepts(operations: &[Operation], record: &Record) {
    let none: [&str; 0] = [];
    assert_eq!(judge(operations, record, Promise::Latest), none);
    assert!(is_linear(operations), "the search refuses it");
}

#[test]
fn concurrent_good_histories_are_accepted() {
    // Three at once, in an order that is none of their times; a read among them.
    let all = [
        add(1, (0, 90), 1, 111, 3),
        add(2, (10, 80), 10, 10, 1),
        add(3, (20, 70), 100, 110, 2),
        read(4, (30, 60), 10, 1),
        read(5, (95, 99), 111, 3),
    ];
    accepts(&all, &record(111, &[2, 3, 1]));
}

#[test]
fn what_is_unknown_may_have_happened_at_any_time_or_never() {
    let unknown = op(1, (0, 5), Action::Add(1), Outcome::Unknown);
    let late = [
        unknown.clone(),
        add(2, (10, 20), 10, 10, 1),
        read(3, (30, 40), 11, 2),
    ];
    accepts(&late, &record(11, &[2, 1]));
    let never = [
        unknown,
        add(2, (10, 20), 10, 10, 1),
        read(3, (30, 40), 10, 1),
    ];
    accepts(&never, &record(10, &[2]));
}

#[test]
fn refusals_by_the_number_are_explained_by_it() {
    let take = |id, times, value, done, revision| {
        op(id, times, Action::Take(5), answer(value, done, revision))
    };
    let all = [
        take(1, (0, 1), 0, false, 0),
        add(2, (2, 3), 7, 7, 1),
        take(3, (4, 9), 2, true, 2),
        take(4, (5, 8), 2, false, 2),
    ];
    accepts(&all, &record(2, &[2, 3]));
    let mut wrong = all;
    wrong[3] = take(4, (5, 8), 7, false, 1);
    refuses(&wrong, &record(2, &[2, 3]), "committed");
}

#[test]
fn a_lost_update_is_refused() {
    let all = [
        add(1, (0, 10), 1, 1, 1),
        add(2, (20, 30), 10, 10, 1),
        read(3, (40, 50), 10, 1),
    ];
    refuses(&all, &record(10, &[2]), "acknowledged effect");
}

#[test]
fn a_stale_read_is_refused_where_reads_are_the_latest() {
    let all = [
        add(1, (0, 10), 1, 1, 1),
        add(2, (20, 30), 10, 11, 2),
        read(3, (40, 50), 1, 1),
    ];
    refuses(&all, &record(11, &[1, 2]), "before it was asked");
    let none: [&str; 0] = [];
    assert_eq!(judge(&all, &record(11, &[1, 2]), Promise::Committed), none);
    // A later read binds too: the number goes back between two of them.
    let all = [
        op(1, (0, 90), Action::Add(1), answer(1, true, 1)),
        read(2, (10, 20), 1, 1),
        read(3, (30, 40), 0, 0),
    ];
    refuses(&all, &record(1, &[1]), "before it was asked");
}

#[test]
fn a_number_that_never_was_is_refused() {
    let all = [add(1, (0, 10), 1, 1, 1), read(2, (20, 30), 7, 1)];
    refuses(&all, &record(1, &[1]), "that was committed");
}

#[test]
fn a_double_apply_is_refused() {
    let all = [add(1, (0, 10), 1, 1, 1), read(2, (20, 30), 2, 2)];
    refuses(&all, &record(2, &[1, 1]), "at most once");
}

#[test]
fn what_is_reordered_is_refused() {
    let all = [add(1, (0, 10), 1, 11, 2), add(2, (20, 30), 10, 10, 1)];
    refuses(&all, &record(11, &[2, 1]), "ended before another began");
}

#[test]
fn what_was_not_executed_must_have_no_effect() {
    let all = [
        op(1, (0, 10), Action::Add(1), Outcome::NotExecuted),
        read(2, (20, 30), 1, 1),
    ];
    refuses(&all, &record(1, &[1]), "not executed");
}

#[test]
fn an_effect_that_nobody_asked_for_and_a_wrong_number_are_refused() {
    let all = [add(1, (0, 10), 1, 1, 1)];
    let found = judge(&all, &record(1, &[1, 9]), Promise::Committed);
    assert_eq!(found, ["nothing has an effect that nobody asked for"]);
    let found = judge(&all, &record(5, &[1]), Promise::Committed);
    assert_eq!(found, ["the stored number is that of the record's order"]);
}

#[test]
fn a_revision_of_another_commit_is_refused() {
    let all = [add(1, (0, 10), 1, 1, 2), add(2, (20, 30), 1, 2, 2)];
    let found = judge(&all, &record(2, &[1, 2]), Promise::Committed);
    assert_eq!(found, ["an answer's revision is that of its commit"]);
}

#[test]
fn a_thread_with_a_gap_or_falling_or_apart_from_the_state_is_refused() {
    let noted = |id, seq, revision, epoch| Noted {
        id,
        seq,
        revision,
        epoch,
    };
    let all = [add(1, (0, 10), 1, 1, 1), add(2, (20, 30), 1, 2, 2)];
    let of = |thread: &[Noted]| Record {
        kept: Kept::InBoth,
        thread: thread.to_vec(),
        ..record(2, &[1, 2])
    };
    let judge = |thread: &[Noted]| judge(&all, &of(thread), Promise::Committed);
    let none: [&str; 0] = [];
    assert_eq!(judge(&[noted(1, 0, 1, 1), noted(2, 1, 2, 1)]), none);
    for thread in [
        [noted(1, 0, 1, 1), noted(2, 2, 2, 1)],
        [noted(1, 0, 2, 1), noted(2, 1, 1, 1)],
        [noted(1, 0, 1, 2), noted(2, 1, 2, 1)],
    ] {
        assert!(judge(&thread)[0].starts_with("a thread without gaps"));
    }
    assert_eq!(
        judge(&[noted(1, 0, 1, 1)]),
        ["state and thread are committed together"]
    );
}

#[test]
fn a_search_that_takes_too_long_is_undecided() {
    let mut all: Vec<Operation> = (0..40)
        .map(|id| op(id, (0, 1), Action::Add(1 << id), Outcome::Unknown))
        .collect();
    all.push(read(99, (5, 9), -1, 1));
    assert_eq!(search(all.iter(), 1_000), Verdict::Undecided);
}

#[test]
fn a_further_try_that_is_answered_otherwise_is_refused() {
    let Outcome::Answered(other) = answer(2, true, 2) else {
        unreachable!("it is an answer")
    };
    let mut all = [add(1, (0, 10), 1, 1, 1)];
    let Outcome::Answered(same) = all[0].outcome else {
        unreachable!("it is an answer")
    };
    all[0].repeats = vec![same];
    accepts(&all, &record(1, &[1]));
    all[0].repeats = vec![same, other];
    let found = judge(&all, &record(1, &[1]), Promise::Latest);
    assert_eq!(
        found,
        ["a further try of a request is answered as the first was"]
    );
}

#[test]
fn a_read_of_what_was_long_ago_is_refused_where_it_may_be_a_little_stale() {
    // The second effect ended at 30.
    let stale_at = |at: u64| {
        let all = [
            add(1, (0, 10), 1, 1, 1),
            add(2, (20, 30), 1, 2, 2),
            read(3, (at, at + 5), 1, 1),
        ];
        let record = record(2, &[1, 2]);
        assert!(judge(&all, &record, Promise::Committed).is_empty());
        assert!(!judge(&all, &record, Promise::Latest).is_empty());
        !judge(&all, &record, Promise::Within(100)).is_empty()
    };
    assert!(!stale_at(40) && !stale_at(130));
    assert!(stale_at(131));
}

#[test]
fn reads_of_another_revision_than_they_show_are_refused() {
    // The revision is newer than the number that it is said to hold, by more than the
    // commit that the read may have waited for.
    let all = [
        add(1, (0, 10), 1, 1, 1),
        add(2, (20, 30), 1, 2, 2),
        add(3, (40, 50), 1, 3, 3),
        read(4, (40, 50), 1, 3),
    ];
    let found = judge(&all, &record(3, &[1, 2, 3]), Promise::Committed);
    assert_eq!(found, ["an answer shows a number that was committed"]);
}
