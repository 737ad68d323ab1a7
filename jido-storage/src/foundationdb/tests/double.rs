//! A database in memory with FoundationDB's semantics: snapshots of versions, reads
//! of one's own writes, conflict ranges, limits; and faults by the dice.
//!
//! What it holds the adapter to:
//!
//! - a transaction reads one version, with its own writes on top, in their order;
//! - a commit fails with 1020 if a guarded read, or a key added to the read conflicts,
//!   overlaps a write conflict of a later version; a key that it wrote itself before is
//!   not among its read conflicts;
//! - a transaction with neither writes nor write conflicts is not checked at all;
//! - unguarded writes make nobody conflict;
//! - after 1021 a commit has taken effect or never will; after 1031, 1039 and 1101
//!   it may also do so later, checked for conflicts then;
//! - keys of more than 10,000 bytes, values of more than 100,000 and transactions of
//!   more than 10,000,000 are refused.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::super::layout::Span;

mod tx;

pub(super) use tx::Handle;

/// How many of a thousand calls fail, by kind.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    /// Reads with 1007, 1009 or 1037.
    pub(super) reads: u64,
    /// Commits with 1020, 1042 or 1007 that did nothing.
    pub(super) refused: u64,
    /// Commits with 1021 that took effect.
    pub(super) applied: u64,
    /// Commits with 1021 that did not.
    pub(super) lost: u64,
    /// Commits with 1039 that took effect, never will, or will later.
    pub(super) in_flight: u64,
}

#[derive(Debug, Clone)]
enum Mutation {
    Set(Vec<u8>, Vec<u8>),
    Clear(Span),
}

/// A commit as it is sent.
#[derive(Debug, Clone, Default)]
struct Sent {
    version: i64,
    reads: Vec<Span>,
    writes: Vec<Span>,
    mutations: Vec<Mutation>,
}

type Values = Vec<(i64, Option<Vec<u8>>)>;

#[derive(Debug, Default)]
struct State {
    version: i64,
    /// Every value that a key has had, with the version from which on.
    data: BTreeMap<Vec<u8>, Values>,
    /// What each version has written, for conflicts.
    log: Vec<(i64, Vec<Span>)>,
    /// Commits that come later, each after so many more calls.
    late: VecDeque<(u64, Sent)>,
    calls: u64,
    /// What happened, for tests to see that it did.
    pub(super) late_applied: u64,
    late_refused: u64,
}

/// What happened to a database.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    pub(super) conflicts: u64,
    pub(super) late_applied: u64,
    pub(super) late_refused: u64,
    pub(super) largest: u64,
}

/// A database in memory.
#[derive(Debug, Default)]
pub(super) struct Double {
    state: Mutex<State>,
    faults: Mutex<Faults>,
    dice: Mutex<u64>,
    /// Codes for the next commits, each with whether it takes effect first, before the dice are asked.
    script: Mutex<VecDeque<(i32, Fate)>>,
    conflicts: AtomicU64,
    largest: AtomicU64,
}

/// What becomes of a commit that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Applied,
    Lost,
    /// It takes effect, or conflicts, after so many more calls.
    Late(u64),
}

fn overlap(a: &Span, b: &Span) -> bool {
    a.begin < b.end && b.begin < a.end
}

fn point(key: &[u8]) -> Span {
    Span {
        begin: key.to_vec(),
        end: [key, &[0]].concat(),
    }
}

impl State {
    /// Commits, if nothing conflicts. Gives whether it did.
    fn apply(&mut self, sent: &Sent) -> bool {
        if sent.mutations.is_empty() && sent.writes.is_empty() {
            return true;
        }
        let since = self
            .log
            .partition_point(|(version, _)| *version <= sent.version);
        let conflict = self.log[since..].iter().any(|(_, written)| {
            written
                .iter()
                .any(|written| sent.reads.iter().any(|read| overlap(read, written)))
        });
        if conflict {
            return false;
        }
        self.version += 1000;
        let version = self.version;
        for mutation in &sent.mutations {
            match mutation {
                Mutation::Set(key, value) => self.put(key.clone(), version, Some(value.clone())),
                Mutation::Clear(span) => {
                    let keys: Vec<_> = self
                        .data
                        .range(span.begin.clone()..span.end.clone())
                        .map(|(key, _)| key.clone())
                        .collect();
                    for key in keys {
                        self.put(key, version, None);
                    }
                }
            }
        }
        self.log.push((version, sent.writes.clone()));
        true
    }

    fn put(&mut self, key: Vec<u8>, version: i64, value: Option<Vec<u8>>) {
        let values = self.data.entry(key).or_default();
        match values.last_mut() {
            Some((last, kept)) if *last == version => *kept = value,
            _ => values.push((version, value)),
        }
    }

    fn value(&self, key: &[u8], version: i64) -> Option<&Vec<u8>> {
        let values = self.data.get(key)?;
        let at = values.partition_point(|(from, _)| *from <= version);
        values.get(at.checked_sub(1)?)?.1.as_ref()
    }

    /// Lets time pass: commits that are late arrive.
    fn tick(&mut self) {
        self.calls += 1;
        let (due, rest): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.late)
            .into_iter()
            .partition(|(at, _)| *at <= self.calls);
        self.late = rest;
        for (_, sent) in due {
            match self.apply(&sent) {
                true => self.late_applied += 1,
                false => self.late_refused += 1,
            }
        }
    }
}

impl Double {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// One whose faults fall by the dice.
    pub(super) fn faulty(seed: u64, faults: Faults) -> Arc<Self> {
        let double = Self::new();
        *double.dice.lock() = seed;
        *double.faults.lock() = faults;
        double
    }

    /// The next commits fail with these codes.
    pub(super) fn fail_next(&self, fates: impl IntoIterator<Item = (i32, Fate)>) {
        self.script.lock().extend(fates);
    }

    pub(super) fn seen(&self) -> Seen {
        let state = self.state.lock();
        Seen {
            conflicts: self.conflicts.load(Ordering::Relaxed),
            late_applied: state.late_applied,
            late_refused: state.late_refused,
            largest: self.largest.load(Ordering::Relaxed),
        }
    }

    /// All that is stored now.
    pub(super) fn everything(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let state = self.state.lock();
        let keys = state.data.keys();
        keys.filter_map(|key| Some((key.clone(), state.value(key, state.version)?.clone())))
            .collect()
    }

    /// Writes past everything, as a fault would.
    pub(super) fn tamper(&self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let mut state = self.state.lock();
        state.version += 1000;
        let version = state.version;
        state.put(key.clone(), version, value);
        state.log.push((version, vec![point(&key)]));
    }

    /// Lets so many versions go by.
    pub(super) fn age(&self, versions: i64) {
        self.state.lock().version += versions;
    }

    /// A number below a thousand (splitmix64).
    fn roll(&self) -> u64 {
        let mut dice = self.dice.lock();
        *dice = dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *dice;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % 1000
    }

    /// How the next commit fails, if it does.
    fn fault(&self) -> Option<(i32, Fate)> {
        if let Some(next) = self.script.lock().pop_front() {
            return Some(next);
        }
        let faults = *self.faults.lock();
        let mut roll = self.roll();
        let mut falls = |share: u64| {
            let hit = roll < share;
            roll = roll.saturating_sub(share);
            if !hit {
                return false;
            }
            roll = 1000;
            true
        };
        let pick = |codes: &[i32]| codes[(self.roll() % codes.len() as u64) as usize];
        if falls(faults.refused) {
            return Some((pick(&[1020, 1042, 1007]), Fate::Lost));
        }
        if falls(faults.applied) {
            return Some((1021, Fate::Applied));
        }
        if falls(faults.lost) {
            return Some((1021, Fate::Lost));
        }
        if falls(faults.in_flight) {
            let fate = match self.roll() % 3 {
                0 => Fate::Applied,
                1 => Fate::Lost,
                _ => Fate::Late(self.roll() % 12),
            };
            return Some((1039, fate));
        }
        None
    }
}
