use super::*;

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn increment(started: u64, ended: u64, outcome: Outcome) -> Increment {
    Increment {
        started: at(started),
        ended: at(ended),
        outcome,
    }
}

fn acknowledged(started: u64, ended: u64, value: i64) -> Increment {
    increment(started, ended, Outcome::Acknowledged(value))
}

fn judge(increments: &[Increment], stored: i64) -> Verdict {
    let mut history = History::default();
    for one in increments {
        history.record("k", *one);
    }
    history.check(&BTreeMap::from([("k".to_owned(), stored)]))
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
    let history = [acknowledged(0, 1, 1), increment(2, 3, Outcome::Unknown)];
    assert!(judge(&history, 1).is_good());
    assert!(judge(&history, 2).is_good());
    // The unknown one took place 2 before the next was sent, or at any time later.
    let between = [history[0], history[1], acknowledged(4, 5, 3)];
    assert!(judge(&between, 3).is_good());
}

#[test]
fn keys_are_apart() {
    let mut history = History::default();
    history.record("a", acknowledged(0, 1, 1));
    let mut other = History::default();
    other.record("b", acknowledged(2, 3, 1));
    history.merge(other);
    assert_eq!(history.keys().collect::<Vec<_>>(), ["a", "b"]);
    let stored = BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 1)]);
    assert!(history.check(&stored).is_good());
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
fn an_applied_increment_counts_although_its_value_is_not_known() {
    let history = [acknowledged(0, 1, 1), increment(2, 3, Outcome::Applied)];
    assert!(judge(&history, 2).is_good());
    assert_eq!(judge(&history, 1).lost, 1);
    assert_eq!(judge(&history, 3).doubled, 1);
}

#[test]
fn a_value_above_the_one_in_the_end_is_refused() {
    let verdict = judge(
        &[increment(0, 1, Outcome::Unknown), acknowledged(2, 3, 2)],
        1,
    );
    assert_eq!(verdict.lost, 1);
}

#[test]
fn a_doubled_effect_is_refused() {
    let verdict = judge(&[acknowledged(0, 1, 1), acknowledged(2, 3, 3)], 3);
    assert_eq!(verdict.doubled, 1);
    assert!(matches!(
        verdict.violations[..],
        [Violation::Excess {
            stored: 3,
            at_most: 2,
            ..
        }]
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
    let verdict = judge(&[second, first], 2);
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
    ];
    assert!(matches!(
        judge(&history, 3).violations[..],
        [Violation::Reordered {
            earlier: Increment {
                outcome: Outcome::Acknowledged(3),
                ..
            },
            ..
        }]
    ));
}

#[test]
fn impossible_values_and_unread_keys_are_refused() {
    assert!(matches!(
        judge(&[acknowledged(0, 1, 0)], 1).violations[..],
        [Violation::Impossible { value: 0, .. }]
    ));
    let mut history = History::default();
    history.record("k", acknowledged(0, 1, 1));
    let verdict = history.check(&BTreeMap::new());
    assert!(matches!(verdict.violations[..], [Violation::Unread { .. }]));
    assert!(verdict.to_string().contains("\"k\""), "{verdict}");
}
