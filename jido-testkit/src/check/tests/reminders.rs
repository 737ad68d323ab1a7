//! What is held against the diaries of agents that set reminders.

use std::collections::BTreeMap;
use std::time::Duration;

use jido_core::Missed;

use crate::check::reminders::{Diary, Found, Times, check};
use crate::history::{Reminded, Reminding, When};

const START: u64 = 1_000_000_000;

/// A time of the wall clock, so many milliseconds after the start.
fn wall(millis: u64) -> u64 {
    START + millis
}

fn times() -> Times {
    Times {
        start: START,
        off: Duration::from_millis(500),
        healed: Duration::from_secs(10),
        ended: Duration::from_secs(29),
        bound: Duration::from_secs(20),
    }
}

fn reminding(when: When, missed: Missed) -> Reminding {
    Reminding {
        name: 0,
        when,
        missed,
        fails_for: 0,
    }
}

/// A reminder that is set at 1 s, by operation 7.
fn set(what: Reminding) -> (Duration, Reminded) {
    set_as(7, what, 1_000)
}

fn set_as(id: u64, what: Reminding, at: u64) -> (Duration, Reminded) {
    let (first, at) = (what.first(wall(at)), wall(at));
    let set = Reminded::Set {
        id,
        what,
        first,
        at,
    };
    (Duration::from_millis(at - START), set)
}

/// An occurrence of operation 7's, committed at the same time.
fn came(due: u64, at: u64) -> (Duration, Reminded) {
    came_of(7, due, at)
}

fn came_of(id: u64, due: u64, at: u64) -> (Duration, Reminded) {
    let (due, now) = (wall(due), wall(at));
    (
        Duration::from_millis(at),
        Reminded::Came { id, due, at: now },
    )
}

fn cancelled(was_set: bool, at: u64) -> (Duration, Reminded) {
    let entry = Reminded::Cancelled {
        name: 0,
        was_set,
        at: wall(at),
    };
    (Duration::from_millis(at), entry)
}

fn find(entries: &[(Duration, Reminded)], stored: Option<u64>) -> Found {
    let stored = stored.map(|due| (Reminding::title(0), wall(due)));
    let diary = Diary {
        entries: entries.to_vec(),
        stored: BTreeMap::from_iter(stored),
    };
    check("k", &diary, times())
}

fn accepts(entries: &[(Duration, Reminded)], stored: Option<u64>) -> BTreeMap<&'static str, u64> {
    let found = find(entries, stored);
    assert_eq!(found.violations, []);
    found.counts
}

fn refuses(entries: &[(Duration, Reminded)], stored: Option<u64>, invariant: &str) {
    let found = find(entries, stored).violations;
    let named = found.iter().any(|v| v.invariant.contains(invariant));
    assert!(named, "{invariant:?} is not among {found:?}");
}

const ONCE: When = When::Once(2_000);
const AGAIN: When = When::Every(2_000);

#[test]
fn reminders_that_come_as_they_were_set_are_accepted() {
    let once = reminding(ONCE, Missed::Latest);
    accepts(&[set(once), came(3_000, 3_010)], None);
    // Set again, cancelled, and set once more.
    let all = [
        set(once),
        set_as(8, once, 2_000),
        cancelled(true, 3_000),
        cancelled(false, 3_500),
        set_as(9, once, 4_000),
        came_of(9, 6_000, 6_000),
    ];
    let counts = accepts(&all, None);
    assert_eq!(counts["reminder: set in place of another"], 1);
    assert_eq!(counts["reminder: cancelled"], 1);
    let every = [came(3_000, 3_000), came(5_000, 6_900), came(7_000, 7_000)];
    for missed in [Missed::All, Missed::Latest, Missed::Skip] {
        let what = reminding(AGAIN, missed);
        accepts(&[&[set(what)], &every[..]].concat(), Some(9_000));
    }
}

#[test]
fn what_was_missed_comes_as_the_reminder_says() {
    let late = [came(3_000, 8_000), came(5_000, 8_001), came(7_000, 8_002)];
    let all = |missed| [&[set(reminding(AGAIN, missed))], &late[..]].concat();
    let counts = accepts(&all(Missed::All), Some(9_000));
    assert_eq!(counts["reminder: missed occurrence made up for"], 2);
    refuses(&all(Missed::Latest), Some(9_000), "missed");
    let latest = |missed| [set(reminding(AGAIN, missed)), came(7_000, 8_000)];
    let counts = accepts(&latest(Missed::Latest), Some(9_000));
    assert_eq!(counts["reminder: missed occurrences left out"], 1);
    refuses(&latest(Missed::All), Some(9_000), "missed");
    // An old one, later than a minute.
    let once = |missed| reminding(When::Once(-70_000), missed);
    let counts = accepts(&[set(once(Missed::Skip))], None);
    assert_eq!(counts["reminder: too late, and skipped"], 1);
    refuses(&[set(once(Missed::Latest))], None, "kept");
    let long_ago = (
        Duration::from_secs(1),
        Reminded::Came {
            id: 7,
            due: START - 69_000,
            at: wall(1_000),
        },
    );
    accepts(&[set(once(Missed::Latest)), long_ago], None);
    refuses(&[set(once(Missed::Skip)), long_ago], None, "missed");
}

#[test]
fn whether_one_was_skipped_is_judged_by_the_fastest_clock_and_not_by_who_cancels_it() {
    let told = |when| {
        // By a clock that is ahead, and then by one that is behind.
        let (_, set) = set_as(7, reminding(When::Once(when), Missed::Skip), 1_500);
        let cancelled = Reminded::Cancelled {
            name: 0,
            was_set: false,
            at: wall(600),
        };
        [
            (Duration::from_millis(1_000), set),
            (Duration::from_millis(1_100), cancelled),
        ]
    };
    let counts = accepts(&told(-60_222), None);
    assert_eq!(counts["reminder: too late, and skipped"], 1);
    refuses(&told(-59_000), None, "kept");
}

#[test]
fn what_comes_twice_or_too_early_or_off_schedule_is_refused() {
    let once = reminding(ONCE, Missed::All);
    refuses(
        &[set(once), came(3_000, 3_000), came(3_000, 3_100)],
        None,
        "at most once",
    );
    let every = reminding(AGAIN, Missed::All);
    refuses(
        &[set(every), came(3_000, 3_000), came(3_000, 3_100)],
        Some(5_000),
        "at most once",
    );
    refuses(&[set(once), came(3_000, 2_999)], None, "before its time");
    // By its node's clock it was due, but that can't have been right.
    let (_, entry) = came(3_000, 3_000);
    let early = (Duration::from_millis(2_400), entry);
    refuses(&[set(once), early], None, "before its time");
    refuses(&[set(once), came(3_500, 3_500)], None, "schedule");
    let (at, mut other) = set(every);
    if let Reminded::Set { first, .. } = &mut other {
        *first += 1;
    }
    refuses(&[(at, other)], Some(3_001), "schedule");
}

#[test]
fn what_comes_of_a_cancelled_reminder_is_refused() {
    let every = reminding(AGAIN, Missed::Latest);
    let over = "cancelled or is over";
    refuses(
        &[set(every), cancelled(true, 2_000), came(3_000, 3_000)],
        None,
        over,
    );
    refuses(&[set(every), cancelled(true, 2_000)], Some(3_000), over);
    // Another has taken its place.
    let other = set_as(8, every, 1_500);
    refuses(&[set(every), other, came(3_000, 3_000)], Some(3_500), over);
    refuses(&[came(3_000, 3_000)], None, over);
}

#[test]
fn a_reminder_that_is_lost_or_late_is_refused() {
    let once = reminding(ONCE, Missed::Latest);
    refuses(&[set(once)], None, "kept");
    refuses(&[set(once), cancelled(false, 2_000)], None, "kept");
    refuses(&[cancelled(true, 2_000)], None, "kept");
    // Stored, and nobody came to it.
    let diary = Diary {
        entries: vec![set(once)],
        stored: BTreeMap::from([(Reminding::title(0), wall(3_000))]),
    };
    let mut times = self::times();
    assert_eq!(check("k", &diary, times).violations, []);
    times.ended += Duration::from_secs(2);
    let found = check("k", &diary, times).violations;
    assert!(found[0].invariant.contains("within a bound"), "{found:?}");
    refuses(&[set(once), came(3_000, 30_001)], None, "within a bound");
    accepts(&[set(once), came(3_000, 30_000)], None);
    // The list has gone on, and the occurrence never came.
    let every = reminding(AGAIN, Missed::Latest);
    refuses(&[set(every), came(3_000, 3_000)], Some(90_000), "kept");
}
