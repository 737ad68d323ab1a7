//! The list of reminders under any clock.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::ErrorKind;

/// 2026-03-01T00:00:00Z, a Sunday.
const SUNDAY: u64 = 1_772_323_200_000;
const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

fn list(schedules: &[(&str, Schedule)], now: u64) -> ReminderList {
    let mut list = ReminderList::default();
    for (name, schedule) in schedules {
        list.set(name, schedule, Bytes::from_static(b"m"), Timestamp(now))
            .unwrap();
    }
    list
}

/// All that comes at a time, one after another.
fn come(list: &mut ReminderList, now: u64) -> Vec<(String, u64)> {
    let mut all = Vec::new();
    while let Some(due) = list.due(Timestamp(now), |_| true).unwrap() {
        all.extend(due.comes.map(|(one, _)| (one.name, one.due.0)));
        *list = due.after;
    }
    all
}

fn dues(list: &mut ReminderList, now: u64) -> Vec<u64> {
    come(list, now).into_iter().map(|(_, due)| due).collect()
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn once_comes_once() {
    let mut once = list(&[("a", Schedule::after(seconds(5)))], 1_000);
    assert_eq!(once.wake_at(), Some(Timestamp(6_000)));
    assert!(dues(&mut once, 5_999).is_empty());
    assert_eq!(dues(&mut once, 9_000), [6_000]);
    assert_eq!(once, ReminderList::EMPTY);
    // One that has passed is due at once.
    let mut passed = list(&[("a", Schedule::at(Timestamp(3)))], 1_000);
    assert_eq!(dues(&mut passed, 1_000), [3]);
}

#[test]
fn intervals_do_not_drift() {
    let mut every = list(&[("a", Schedule::every(seconds(10)))], 500);
    assert_eq!(dues(&mut every, 10_500), [10_500]);
    // Come to late, and the one after it is due as if it had not been.
    assert_eq!(dues(&mut every, 29_000), [20_500]);
    assert_eq!(every.wake_at(), Some(Timestamp(30_500)));
    for (anchor, now, first) in [
        (7_000, 100, 7_000),
        (7_000, 7_000, 7_000),
        (7_000, 7_001, 17_000),
        (7_000, 17_000, 17_000),
        (0, 123_456, 130_000),
    ] {
        let schedule = Schedule::every_from(Timestamp(anchor), seconds(10));
        let grid = list(&[("a", schedule)], now);
        assert_eq!(grid.wake_at(), Some(Timestamp(first)), "{anchor} at {now}");
    }
}

#[test]
fn what_was_missed_follows_its_policy() {
    let every = |missed| {
        let mut list = list(&[("a", Schedule::every(seconds(60)).missed(missed))], 0);
        let caught_up = dues(&mut list, 10 * MINUTE + 5_000);
        (caught_up, list.wake_at().unwrap().0)
    };
    let all: Vec<u64> = (1..=10).map(|n| n * MINUTE).collect();
    assert_eq!(every(Missed::All), (all, 11 * MINUTE));
    assert_eq!(every(Missed::Latest), (vec![10 * MINUTE], 11 * MINUTE));
    assert_eq!(every(Missed::Skip), (vec![10 * MINUTE], 11 * MINUTE));
    let once = |missed, late: u64| {
        let mut list = list(&[("a", Schedule::at(Timestamp(1_000)).missed(missed))], 0);
        let came = dues(&mut list, 1_000 + late);
        assert!(list.is_empty());
        came
    };
    for missed in [Missed::All, Missed::Latest] {
        assert_eq!(once(missed, 365 * DAY), [1_000]);
    }
    assert_eq!(once(Missed::Skip, MINUTE), [1_000]);
    assert!(once(Missed::Skip, MINUTE + 1).is_empty());
}

#[test]
fn patterns_of_cron_come_in_utc() {
    let mut weekdays = list(&[("a", Schedule::cron("30 8 * * MON-FRI"))], SUNDAY);
    let half_past_eight = SUNDAY + DAY + 8 * 60 * MINUTE + 30 * MINUTE;
    assert_eq!(weekdays.wake_at(), Some(Timestamp(half_past_eight)));
    assert_eq!(dues(&mut weekdays, half_past_eight + 5), [half_past_eight]);
    // A week later the latest is Sunday's before: Friday's.
    let friday = half_past_eight + 4 * DAY;
    assert_eq!(dues(&mut weekdays, half_past_eight + 6 * DAY), [friday]);
    assert_eq!(weekdays.wake_at(), Some(Timestamp(friday + 3 * DAY)));
    let mut seconds = list(&[("a", Schedule::cron("*/20 * * * * *"))], SUNDAY + 1);
    assert_eq!(dues(&mut seconds, SUNDAY + 40_001), [SUNDAY + 40_000]);
    // Set within a second that matches, it is the next one's.
    let next = list(&[("a", Schedule::cron("* * * * * *"))], SUNDAY + 1);
    assert_eq!(next.wake_at(), Some(Timestamp(SUNDAY + 1_000)));
    // A year of minutes is not searched minute by minute.
    let mut minutes = list(&[("a", Schedule::cron("* * * * *"))], SUNDAY);
    assert_eq!(dues(&mut minutes, SUNDAY + 365 * DAY), [SUNDAY + 365 * DAY]);
}

#[test]
fn what_is_refused_is_named_and_changes_nothing() {
    let mut list = list(&[("a", Schedule::after(seconds(5)))], 0);
    let before = list.clone();
    let long = "n".repeat(MAX_REMINDER_NAME_LEN + 1);
    let fine = Schedule::after(seconds(1));
    let small = Bytes::from_static(b"m");
    let large = Bytes::from(vec![0; MAX_REMINDER_BYTES]);
    for (name, schedule, message, why) in [
        ("", fine.clone(), &small, "1 to 128"),
        (long.as_str(), fine.clone(), &small, "1 to 128"),
        ("b", fine.clone(), &large, "65536"),
        (
            "b",
            Schedule::every(Duration::from_millis(999)),
            &small,
            "at least 1s",
        ),
        ("b", Schedule::after(Duration::MAX), &small, "9999"),
        (
            "b",
            Schedule::at(Timestamp(LAST_TIME.0 + 1)),
            &small,
            "9999",
        ),
        ("b", Schedule::cron("61 * * * *"), &small, "61 * * * *"),
        ("b", Schedule::cron(""), &small, "refused"),
        ("b", Schedule::cron("0 0 30 2 *"), &small, "never"),
        ("b", Schedule::cron("1,".repeat(200)), &small, "256"),
    ] {
        let error = list
            .set(name, &schedule, message.clone(), Timestamp(0))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(list, before);
    }
    for n in 1..MAX_REMINDERS {
        list.set(&format!("n{n}"), &fine, small.clone(), Timestamp(0))
            .unwrap();
    }
    let error = list
        .set("b", &fine, small.clone(), Timestamp(0))
        .unwrap_err();
    assert!(error.to_string().contains("100"), "{error}");
    // One that is replaced takes no further place.
    list.set("a", &fine, small, Timestamp(0)).unwrap();
    assert!(list.forget("a") && !list.forget("a"));
}

#[test]
fn those_that_are_not_ready_hold_up_no_other() {
    let two = list(
        &[
            ("a", Schedule::at(Timestamp(1))),
            ("b", Schedule::at(Timestamp(2))),
        ],
        0,
    );
    let first = |ready: &dyn Fn(&str) -> bool| {
        let due = two.due(Timestamp(5), ready).unwrap();
        due.map(|due| due.name)
    };
    assert_eq!(first(&|_| true).as_deref(), Some("a"));
    assert_eq!(first(&|name| name != "a").as_deref(), Some("b"));
    assert_eq!(first(&|_| false), None);
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let missed = prop_oneof![Just(Missed::All), Just(Missed::Latest), Just(Missed::Skip)];
    const PATTERNS: [&str; 5] = [
        "* * * * *",
        "*/15 * * * * *",
        "7 3 * * *",
        "0 0 29 2 *",
        "@hourly",
    ];
    let when = prop_oneof![
        (0..3 * DAY).prop_map(|at| Schedule::at(Timestamp(SUNDAY + at))),
        (0..DAY).prop_map(|after| Schedule::after(Duration::from_millis(after))),
        (1_000..DAY).prop_map(|every| Schedule::every(Duration::from_millis(every))),
        (0..SUNDAY * 2, 1_000..DAY).prop_map(|(anchor, every)| {
            Schedule::every_from(Timestamp(anchor), Duration::from_millis(every))
        }),
        prop::sample::select(&PATTERNS[..]).prop_map(Schedule::cron),
    ];
    (when, missed).prop_map(|(when, missed)| when.missed(missed))
}

/// Whether a time is one at which a schedule that was set at `SUNDAY` occurs.
fn is_occurrence(schedule: &Schedule, due: u64) -> bool {
    let mut all = list(&[("a", schedule.clone())], SUNDAY);
    let mut step = || {
        let wake_at = all.wake_at()?.0;
        all = all.due(Timestamp(wake_at), |_| true).unwrap()?.after;
        Some(wake_at)
    };
    std::iter::from_fn(&mut step)
        .take_while(|at| *at <= due)
        .any(|at| at == due)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the clock does, forth and back: occurrences come when they are due and
    /// not before, each once, in order, and only such as the schedule has.
    #[test]
    fn each_occurrence_comes_at_most_once(
        schedule in schedule(),
        clock in prop::collection::vec(0..6 * 60 * MINUTE, 1..12),
    ) {
        let mut reminders = list(&[("a", schedule.clone())], SUNDAY);
        let mut last = None;
        for jump in clock {
            let now = SUNDAY + jump;
            // At most so many: a second's, for six hours.
            for _ in 0..400 {
                let Some(due) = reminders.due(Timestamp(now), |_| true).unwrap() else {
                    break;
                };
                prop_assert!(due.after.wake_at() > reminders.wake_at() || due.after.is_empty());
                if let Some((one, _)) = due.comes {
                    prop_assert!(one.due.0 <= now, "{} came at {now}", one.due.0);
                    prop_assert!(Some(one.due) > last, "{:?} after {last:?}", one.due);
                    prop_assert!(schedule.on_missed() != Missed::Skip
                        || now - one.due.0 <= SKIP_AFTER.as_millis() as u64);
                    last = Some(one.due);
                }
                reminders = due.after;
            }
            if schedule.on_missed() != Missed::All {
                prop_assert!(reminders.wake_at() > Some(Timestamp(now)) || reminders.is_empty());
            }
        }
        if let Some(last) = last {
            prop_assert!(last.0 < SUNDAY || is_occurrence(&schedule, last.0), "{last:?}");
        }
    }

    #[test]
    fn lists_read_back_as_written(schedules in prop::collection::vec(schedule(), 0..5)) {
        let named: Vec<_> = schedules
            .into_iter()
            .enumerate()
            .map(|(n, schedule)| (["a", "b", "c", "d", "e"][n], schedule))
            .collect();
        let list = list(&named, SUNDAY);
        let bytes = list.encode().unwrap();
        prop_assert_eq!(bytes.is_empty(), named.is_empty());
        prop_assert_eq!(&ReminderList::decode(&bytes).unwrap(), &list);
        if !bytes.is_empty() {
            let newer = [&[9], &bytes[1..]].concat();
            let error = ReminderList::decode(&newer).unwrap_err();
            prop_assert_eq!(error.kind(), ErrorKind::NewerVersion);
        }
    }
}
