use super::*;
use crate::history::{Answer, By};

fn op(action: Action, started: u64, ended: u64, outcome: Outcome) -> Operation {
    Operation {
        // Told apart by when they were.
        id: started * 1_000 + ended,
        client: 1,
        key: "k".to_owned(),
        action,
        invoked: started,
        first_try: None,
        ended,
        outcome,
        repeats: Vec::new(),
    }
}

fn answered(value: i64, done: bool, revision: u64) -> Outcome {
    Outcome::Answered(Answer {
        value,
        done,
        by: Some(By { epoch: 1, revision }),
    })
}

fn unknown(started: u64, ended: u64) -> Operation {
    op(Action::Add(1), started, ended, Outcome::Unknown)
}

fn acknowledged(started: u64, ended: u64, value: i64) -> Operation {
    let outcome = answered(value, true, value.unsigned_abs());
    op(Action::Add(1), started, ended, outcome)
}

fn read(started: u64, ended: u64, value: i64) -> Operation {
    let outcome = answered(value, false, value.unsigned_abs());
    op(Action::Read, started, ended, outcome)
}

fn stored(value: i64) -> BTreeMap<String, i64> {
    BTreeMap::from([("k".to_owned(), value)])
}

fn judge(operations: &[Operation], value: i64) -> Verdict {
    check(&History::new(operations.to_vec()), &stored(value))
}

#[test]
fn a_sequence_is_good() {
    let verdict = judge(
        &[
            acknowledged(0, 1, 1),
            acknowledged(2, 3, 2),
            acknowledged(4, 5, 3),
        ],
        3,
    );
    assert!(verdict.is_good(), "{verdict}");
    assert_eq!((verdict.acknowledged, verdict.stored), (3, 3));
}

#[test]
fn overlapping_increments_may_take_effect_in_any_order() {
    // All three are under way at time 4; the one that was sent last came first.
    let verdict = judge(
        &[
            acknowledged(0, 9, 3),
            acknowledged(1, 8, 2),
            acknowledged(4, 5, 1),
        ],
        3,
    );
    assert!(verdict.is_good(), "{verdict}");
}

#[test]
fn one_that_starts_as_another_ends_overlaps_it() {
    let verdict = judge(&[acknowledged(0, 5, 2), acknowledged(5, 9, 1)], 2);
    assert!(verdict.is_good(), "{verdict}");
}

#[test]
fn unknown_increments_may_show_or_not() {
    let history = [acknowledged(0, 1, 1), unknown(2, 3)];
    assert!(judge(&history, 1).is_good());
    assert!(judge(&history, 2).is_good());
    // The unknown one took place 2 before the next was sent, or at any time later.
    let [one, two] = history;
    let between = [one, two, acknowledged(4, 5, 3)];
    assert!(judge(&between, 3).is_good());
}

#[test]
fn keys_are_apart() {
    let mut history = History::new(vec![acknowledged(0, 1, 1)]);
    let mut other = acknowledged(2, 3, 1);
    other.key = "b".to_owned();
    history.merge(History::new(vec![other]));
    assert_eq!(history.by_key().into_keys().collect::<Vec<_>>(), ["b", "k"]);
    let stored = BTreeMap::from([("k".to_owned(), 1), ("b".to_owned(), 1)]);
    assert!(check(&history, &stored).is_good());
}

#[test]
fn a_lost_increment_at_the_end_is_refused() {
    let verdict = judge(&[acknowledged(0, 1, 1), acknowledged(2, 3, 2)], 1);
    assert_eq!(verdict.lost, 1);
    assert!(matches!(
        verdict.violations[..],
        [Violation::Lost {
            stored: 1,
            at_least: 2,
            ..
        }]
    ));
}

#[test]
fn a_lost_increment_in_the_middle_is_refused() {
    // The second was undone; the third got its value again.
    let verdict = judge(
        &[
            acknowledged(0, 1, 1),
            acknowledged(2, 3, 2),
            acknowledged(4, 5, 2),
        ],
        2,
    );
    assert_eq!((verdict.lost, verdict.doubled), (1, 1));
    assert!(!verdict.is_good());
}

#[test]
fn a_value_above_the_one_in_the_end_is_refused() {
    let verdict = judge(&[unknown(0, 1), acknowledged(2, 3, 2)], 1);
    assert_eq!(verdict.lost, 1);
}

#[test]
fn a_doubled_effect_is_refused() {
    let verdict = judge(&[acknowledged(0, 1, 1), acknowledged(2, 3, 3)], 3);
    assert_eq!(verdict.doubled, 1);
    assert!(matches!(
        verdict.violations[..],
        [
            Violation::Impossible { .. },
            Violation::Excess {
                stored: 3,
                at_most: 2,
                ..
            }
        ]
    ));
}

#[test]
fn a_value_acknowledged_twice_is_refused_even_when_they_overlap() {
    let verdict = judge(&[acknowledged(0, 9, 1), acknowledged(0, 9, 1)], 2);
    assert_eq!(verdict.doubled, 1);
    assert!(matches!(
        verdict.violations[..],
        [Violation::Doubled {
            value: 1,
            times: 2,
            ..
        }]
    ));
}

#[test]
fn reordered_increments_are_refused() {
    let (first, second) = (acknowledged(0, 1, 2), acknowledged(2, 3, 1));
    let verdict = judge(&[second.clone(), first.clone(), unknown(0, 9)], 2);
    assert_eq!(
        verdict.violations,
        [Violation::Reordered {
            key: "k".to_owned(),
            earlier: first,
            later: second
        }]
    );
}

#[test]
fn the_largest_value_that_had_ended_is_what_counts() {
    // The one that ended last before the third is not the one with the largest value.
    let history = [
        acknowledged(0, 2, 3),
        acknowledged(0, 5, 1),
        acknowledged(6, 7, 2),
        unknown(0, 1),
    ];
    assert!(matches!(
        judge(&history, 3).violations[..],
        [Violation::Reordered {
            earlier: Operation { ended: 2, .. },
            ..
        }]
    ));
}

#[test]
fn impossible_values_and_unread_keys_are_refused() {
    assert!(matches!(
        judge(&[acknowledged(0, 1, 0)], 1).violations[..],
        [Violation::Impossible { .. }]
    ));
    let history = History::new(vec![acknowledged(0, 1, 1)]);
    let verdict = check(&history, &BTreeMap::new());
    assert!(matches!(verdict.violations[..], [Violation::Unread { .. }]));
    assert!(verdict.to_string().contains("\"k\""), "{verdict}");
}

#[test]
fn reads_show_what_is_there_and_never_go_back() {
    let first = acknowledged(0, 1, 1);
    let good = [first.clone(), read(0, 9, 0), read(2, 3, 1), read(4, 5, 1)];
    let verdict = judge(&good, 1);
    assert!(verdict.is_good(), "{verdict}");
    assert_eq!((verdict.acknowledged, verdict.reads), (1, 3));
    // Stale, after an increment and after another read.
    for stale in [
        vec![first.clone(), read(2, 3, 0)],
        vec![acknowledged(0, 9, 1), read(2, 3, 1), read(4, 5, 0)],
    ] {
        let violations = judge(&stale, 1).violations;
        assert!(
            matches!(violations[..], [Violation::Reordered { .. }]),
            "{violations:?}"
        );
    }
}

#[test]
fn a_read_of_what_was_not_sent_yet_is_refused() {
    let history = [read(0, 1, 1), acknowledged(2, 3, 1)];
    let violations = judge(&history, 1).violations;
    assert!(
        matches!(
            violations[..],
            [Violation::Impossible { .. }, Violation::Reordered { .. }]
        ),
        "{violations:?}"
    );
}

#[test]
fn an_increment_to_what_was_read_before_is_refused() {
    // The first increment was read, and undone.
    let history = [unknown(0, 1), read(2, 3, 1), acknowledged(4, 5, 1)];
    let violations = judge(&history, 1).violations;
    assert!(
        matches!(violations[..], [Violation::Reordered { .. }]),
        "{violations:?}"
    );
    // So is a value in the end below what was read.
    assert_eq!(judge(&history[..2], 0).lost, 1);
}

#[test]
fn commits_in_another_order_than_values_are_refused() {
    let mut history = [acknowledged(0, 9, 1), acknowledged(0, 8, 2)];
    history[0].outcome = answered(1, true, 7);
    let violations = judge(&history, 2).violations;
    assert!(
        matches!(violations[..], [Violation::Backwards { .. }]),
        "{violations:?}"
    );
}

#[test]
fn answers_make_the_records_that_other_checks_need() {
    use crate::check::{history, reads::Promise};
    let operations = vec![
        acknowledged(0, 2, 1),
        acknowledged(1, 3, 2),
        read(4, 5, 2),
        acknowledged(6, 7, 3),
    ];
    let good = History::new(operations);
    let witness = records(&good, &stored(3));
    assert!(history(&good, &witness, Promise::Latest).is_empty());
    // A read that shows less, and an increment that is stored nowhere.
    let mut stale = good.clone();
    stale.operations[2].outcome = answered(1, false, 1);
    assert!(!history(&stale, &witness, Promise::Latest).is_empty());
    let mut fewer = witness.clone();
    fewer.get_mut("k").unwrap().applied.pop();
    assert!(!history(&good, &fewer, Promise::Latest).is_empty());
    // Nobody can tell the place of one whose outcome is unknown.
    let open = History::new(vec![unknown(0, 1)]);
    assert!(records(&open, &stored(0)).is_empty());
}
