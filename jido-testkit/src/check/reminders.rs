//! Reminders come as they were set: each occurrence at least once within a bound, applied
//! at most once, none before its time and none after it was cancelled.
//!
//! The witness is what the agent has written down in its state, in the commits that carry
//! what the reminders did.

use std::collections::BTreeMap;
use std::time::Duration;

use jido_core::{Missed, SKIP_AFTER};

use super::Violation;
use crate::history::{Reminded, Reminding};

const ONCE: &str = "an occurrence of a reminder is applied at most once";
const EARLY: &str = "no reminder comes before its time";
const OVER: &str = "nothing comes of a reminder that was cancelled or is over";
const MISSED: &str = "of missed occurrences those come that the reminder asks for";
const SCHEDULE: &str = "reminders are due as their schedule says";
const KEPT: &str = "a reminder is kept until it is over or cancelled";
const LATE: &str = "every occurrence of a reminder comes within a bound";

/// What an agent has written down, and what is stored of its reminders in the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diary {
    /// What it wrote, and when that was committed, since the start.
    pub entries: Vec<(Duration, Reminded)>,
    /// The reminders that are stored, by name, and when each is due next.
    pub stored: BTreeMap<String, u64>,
}

/// The times of a run. Those of the wall clock are in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// What a wall clock that is right showed at the start.
    pub start: u64,
    /// How far the nodes' may have been off, at the most.
    pub off: Duration,
    /// When everything was healed, since the start.
    pub healed: Duration,
    /// When what is stored was read.
    pub ended: Duration,
    /// How late an occurrence may come, counted from when everything was healed or from
    /// when it was due.
    pub bound: Duration,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// How often what happened that is worth counting.
    pub counts: BTreeMap<&'static str, u64>,
    /// What breaks the promise.
    pub violations: Vec<Violation>,
}

/// A reminder that is set.
#[derive(Debug, Clone, Copy)]
struct Current {
    id: u64,
    what: Reminding,
    /// When its next occurrence is due, or would be if it is not missed.
    next: u64,
    /// When it was set, since the start.
    since: Duration,
}

struct Reader<'a> {
    key: &'a str,
    times: Times,
    current: BTreeMap<u8, Current>,
    /// Those that had their only occurrence, and when that was due.
    done: BTreeMap<u64, u64>,
    found: Found,
}

/// Checks what one agent has written down.
pub fn check(key: &str, diary: &Diary, times: Times) -> Found {
    let mut reader = Reader {
        key,
        times,
        current: BTreeMap::new(),
        done: BTreeMap::new(),
        found: Found::default(),
    };
    for (committed, entry) in &diary.entries {
        match *entry {
            Reminded::Set {
                id,
                what,
                first,
                at,
            } => reader.set(*committed, id, what, first, at),
            Reminded::Cancelled { name, was_set, at } => {
                reader.cancelled(*committed, name, was_set, at);
            }
            Reminded::Came { id, due, at } => reader.came(*committed, id, due, at),
            Reminded::Scheduled { .. } | Reminded::Echoed { .. } => {}
        }
    }
    reader.end(&diary.stored);
    reader.found
}

impl Reader<'_> {
    fn report(&mut self, invariant: &'static str, what: String) {
        let violation = Violation::new(invariant, self.key, what);
        self.found.violations.push(violation);
    }

    fn count(&mut self, kind: &'static str) {
        *self.found.counts.entry(kind).or_default() += 1;
    }

    fn set(&mut self, committed: Duration, id: u64, what: Reminding, first: u64, at: u64) {
        if first != what.first(at) {
            let told = format!("{what:?}, set at {at}, is said to be due at {first}");
            self.report(SCHEDULE, told);
        }
        self.count("reminder: set");
        let current = Current {
            id,
            what,
            next: first,
            since: committed,
        };
        if self.current.insert(what.name, current).is_some() {
            self.count("reminder: set in place of another");
        }
    }

    /// What a wall clock that is right shows at a time since the start, rounded up.
    fn right(&self, since: Duration) -> u64 {
        self.times.start + since.as_millis() as u64 + 1
    }

    fn cancelled(&mut self, committed: Duration, name: u8, was_set: bool, at: u64) {
        let current = self.current.remove(&name);
        match (current, was_set) {
            (Some(_), true) => self.count("reminder: cancelled"),
            (None, false) => {}
            (Some(current), false) if self.is_skipped(&current, committed) => {
                self.count("reminder: too late, and skipped");
            }
            (current, _) => {
                let told = format!("at {at} it was told that r{name} is set: {was_set}");
                self.report(KEPT, format!("{told}, and has {current:?}"));
            }
        }
    }

    /// Whether the only occurrence of a reminder may have been dropped as too late by a
    /// time since the start. Any node may have done so, by its own clock.
    fn is_skipped(&self, current: &Current, by: Duration) -> bool {
        let late = self.right(by).saturating_sub(current.next);
        current.what.missed == Missed::Skip
            && current.what.interval().is_none()
            && Duration::from_millis(late) + self.times.off > SKIP_AFTER
    }

    fn came(&mut self, committed: Duration, id: u64, due: u64, at: u64) {
        self.count("reminder: came");
        let right = self.right(committed);
        let told = format!("the occurrence of {due} of operation {id}'s, at {at}");
        if at < due || right + (self.times.off.as_millis() as u64) < due {
            self.report(EARLY, format!("{told}, {committed:?} after the start"));
        }
        let current = self.current.values().find(|current| current.id == id);
        let Some(current) = current.copied() else {
            let invariant = match self.done.get(&id) == Some(&due) {
                true => ONCE,
                false => OVER,
            };
            return self.report(invariant, told);
        };
        let Current {
            what, next, since, ..
        } = current;
        if due < next {
            return self.report(ONCE, format!("{told}, and that of {next} is the next"));
        }
        let interval = what.interval();
        let is_on_schedule = match interval {
            Some(interval) => (due - next).is_multiple_of(interval),
            None => due == next,
        };
        if !is_on_schedule {
            self.report(SCHEDULE, format!("{told}, and {next} is the next"));
        }
        let late = at.saturating_sub(due);
        let latest = interval.is_none_or(|interval| late < interval);
        let is_asked_for = match what.missed {
            Missed::All => due == next,
            Missed::Latest => latest,
            Missed::Skip => latest && Duration::from_millis(late) <= SKIP_AFTER,
        };
        if !is_asked_for {
            let why = format!("{told}, {next} is the next of {what:?}");
            self.report(MISSED, why);
        }
        if due > next {
            self.count("reminder: missed occurrences left out");
        } else if !latest {
            self.count("reminder: missed occurrence made up for");
        }
        if what.fails_for > 0 && late >= u64::from(what.fails_for) {
            self.count("reminder: came when it no longer failed");
        }
        self.in_time(&told, committed, due, since);
        match interval {
            Some(interval) => {
                let next = due + interval;
                self.current.insert(what.name, Current { next, ..current });
            }
            None => {
                self.current.remove(&what.name);
                self.done.insert(id, due);
            }
        }
    }

    /// One that was due at a time has come, or has not yet, by a time since the start.
    fn in_time(&mut self, told: &str, by: Duration, due: u64, set: Duration) {
        let due = Duration::from_millis(due.saturating_sub(self.times.start));
        let from = due.max(self.times.healed).max(set);
        let late = by.saturating_sub(from);
        if late > self.times.bound / 2 {
            self.count("reminder: later than half the bound");
        }
        if late > self.times.bound {
            let bound = self.times.bound;
            self.report(
                LATE,
                format!("{told}: {late:?} late, the bound is {bound:?}"),
            );
        }
    }

    /// What is stored in the end is what is still to come.
    fn end(&mut self, stored: &BTreeMap<String, u64>) {
        let current = std::mem::take(&mut self.current);
        for (name, due) in stored {
            let is_set = current.keys().any(|set| Reminding::title(*set) == *name);
            if !is_set {
                self.report(OVER, format!("{name} is stored, due at {due}"));
            }
        }
        for (name, current) in current {
            let told = format!("r{name} of operation {}", current.id);
            let Some(due) = stored.get(&Reminding::title(name)).copied() else {
                match self.is_skipped(&current, self.times.ended) {
                    true => self.count("reminder: too late, and skipped"),
                    false => self.report(KEPT, format!("{told} is not stored: {current:?}")),
                }
                continue;
            };
            let next = current.next;
            let ahead = due.checked_sub(next);
            let fits = match (current.what.interval(), current.what.missed) {
                // What was too late is left out without a word.
                (Some(interval), Missed::Skip) => {
                    ahead.is_some_and(|ahead| ahead.is_multiple_of(interval))
                }
                _ => ahead == Some(0),
            };
            if !fits {
                let why = format!("{told} is stored as due at {due}, {next} is the next");
                self.report(KEPT, why);
            }
            self.in_time(&told, self.times.ended, due, current.since);
        }
    }
}
