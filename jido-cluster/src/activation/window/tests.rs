use super::*;
use bytes::Bytes;
use jido_core::Revision;
use jido_storage::RequestMark;

const LIMITS: Limits = Limits {
    count: 3,
    age: Duration::from_millis(100),
};

fn id(seq: u64) -> RequestId {
    RequestId::new(1, seq)
}

fn tried(seq: u64, at: u64) -> RequestTry {
    RequestTry {
        id: id(seq),
        issued_at: Timestamp(at),
        first: false,
    }
}

fn record(seq: u64, at: u64) -> RequestRecord {
    RequestRecord {
        request: id(seq),
        issued_at: Timestamp(at),
        reply: Bytes::new(),
    }
}

fn add(window: &mut Window, seq: u64, at: u64, now: u64) -> Vec<RequestId> {
    let adding = [record(seq, at)];
    let forgotten = window.forgotten(&adding, Timestamp(now));
    window.committed([(id(seq), Timestamp(at))], &forgotten);
    forgotten.ids
}

fn fresh() -> Window {
    Window::stored(LIMITS, &RequestWindow::default())
}

#[test]
fn what_was_applied_is_known_and_what_was_not_isnt() {
    let mut window = fresh();
    assert_eq!(window.seen(&tried(1, 0)), Seen::No);
    assert!(add(&mut window, 1, 10, 10).is_empty());
    assert_eq!(window.seen(&tried(1, 10)), Seen::Applied);
    assert_eq!(
        window.seen(&tried(2, 5)),
        Seen::No,
        "nothing was dropped yet"
    );
}

#[test]
fn the_oldest_goes_when_there_are_too_many_whatever_the_order_they_came_in() {
    let mut window = fresh();
    for (seq, at) in [(1, 30), (2, 10), (3, 20)] {
        assert!(add(&mut window, seq, at, 30).is_empty());
    }
    assert_eq!(add(&mut window, 4, 40, 40), [id(2)]);
    assert_eq!(window.seen(&tried(2, 10)), Seen::Expired);
    assert_eq!(window.seen(&tried(9, 10)), Seen::Expired);
    assert_eq!(window.seen(&tried(9, 11)), Seen::No);
    assert_eq!(window.seen(&tried(3, 20)), Seen::Applied);
}

#[test]
fn what_is_too_old_goes() {
    let mut window = fresh();
    add(&mut window, 1, 10, 10);
    add(&mut window, 2, 50, 50);
    assert!(add(&mut window, 3, 110, 110).is_empty());
    assert_eq!(add(&mut window, 4, 111, 111), [id(1)]);
}

#[test]
fn one_that_comes_late_is_kept_all_the_same() {
    let mut window = fresh();
    assert!(add(&mut window, 1, 10, 500).is_empty());
    assert_eq!(window.seen(&tried(1, 10)), Seen::Applied);
}

#[test]
fn a_commit_that_did_not_take_effect_changes_nothing() {
    let mut window = fresh();
    for seq in 1..=3 {
        add(&mut window, seq, seq, 5);
    }
    assert_eq!(window.forgotten(&[record(4, 4)], Timestamp(5)).ids, [id(1)]);
    assert_eq!(window.seen(&tried(1, 1)), Seen::Applied);
}

#[test]
fn a_first_try_that_others_were_dropped_before_is_believed_unless_its_own_may_be_among_them() {
    let first = |seq, at| RequestTry {
        first: true,
        ..tried(seq, at)
    };
    let stored = RequestWindow {
        floor: Timestamp(7),
        marks: vec![RequestMark {
            request: id(1),
            issued_at: Timestamp(10),
            revision: Revision(1),
        }],
    };
    let mut window = Window::stored(LIMITS, &stored);
    for (seq, at) in [(2, 20), (3, 21)] {
        add(&mut window, seq, at, 30);
    }
    assert_eq!(window.seen(&first(1, 10)), Seen::Applied);
    // The loaded one goes: whoever applied it, it was not this activation.
    assert_eq!(add(&mut window, 4, 22, 30), [id(1)]);
    assert_eq!(window.seen(&first(1, 10)), Seen::Expired);
    assert_eq!(window.seen(&first(9, 11)), Seen::No);
    // One of its own goes: a first try of that came here before.
    assert_eq!(add(&mut window, 5, 23, 30), [id(2)]);
    assert_eq!(window.seen(&first(9, 11)), Seen::No);
    assert_eq!(window.seen(&tried(9, 11)), Seen::Expired);
}

#[test]
fn many_are_remembered_as_few_are() {
    const MANY: u64 = 5 * LOOKED_THROUGH as u64;
    let limits = Limits {
        count: MANY as usize / 2,
        age: Duration::from_millis(40),
    };
    let mut window = Window::stored(limits, &RequestWindow::default());
    // In another order than they were made in: 1, 0, 3, 2, ..
    let made = |seq: u64| 10 + (seq ^ 1);
    for seq in 0..MANY {
        add(&mut window, seq, made(seq), 10);
        let known = (0..=seq).filter(|seq| window.seen(&tried(*seq, 1_000)) == Seen::Applied);
        let expected = (seq + 1).min(MANY / 2);
        assert_eq!(known.count() as u64, expected);
        assert_eq!(window.index.is_some(), expected > LOOKED_THROUGH as u64);
    }
    assert!(window.requests().is_sorted_by_key(|(_, made)| *made));
    // All but those of the last few milliseconds go, and the index with them.
    assert!(!add(&mut window, MANY, 10 + MANY, 10 + MANY + 36).is_empty());
    assert_eq!(window.by_age.front().unwrap().0, Timestamp(10 + MANY - 4));
    assert!(window.index.is_none());
    assert_eq!(window.seen(&tried(MANY, 1_000)), Seen::Applied);
    assert_eq!(window.seen(&tried(0, made(0))), Seen::Expired);
}

#[test]
fn it_comes_back_as_storage_has_it() {
    let stored = RequestWindow {
        floor: Timestamp(7),
        marks: vec![RequestMark {
            request: id(1),
            issued_at: Timestamp(8),
            revision: Revision(1),
        }],
    };
    let window = Window::stored(LIMITS, &stored);
    assert_eq!(window.seen(&tried(1, 8)), Seen::Applied);
    assert_eq!(window.seen(&tried(2, 6)), Seen::Expired);
    assert_eq!(window.seen(&tried(2, 7)), Seen::No);
}
