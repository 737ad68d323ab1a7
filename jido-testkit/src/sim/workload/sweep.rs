//! Many seeds, side by side on a few threads.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::EXPECTED;
use super::plan::{Options, Plan};
use super::run::{Report, run};

/// How many runs with violations are kept.
const KEPT: usize = 20;

/// What is run.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// Which seeds.
    pub seeds: Range<u64>,
    /// How large each run is.
    pub options: Options,
    /// On how many threads: at least 1.
    pub threads: usize,
    /// Whether every seed is run twice, and both runs must be the same.
    pub twice: bool,
    /// Whether no further seed is begun once a violation was found.
    pub stop: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Swept {
    /// How many seeds were run.
    pub seeds: u64,
    /// How many operations they had.
    pub operations: u64,
    /// How many things went wrong in them, on purpose.
    pub faults: u64,
    /// How often each kind of event happened.
    pub counts: BTreeMap<&'static str, u64>,
    /// How many runs had violations.
    pub bad: u64,
    /// The first of these, by seed.
    pub reports: Vec<Report>,
    /// Seeds that gave two different runs.
    pub unsteady: Vec<u64>,
    /// Why runs could not be made at all.
    pub errors: Vec<crate::Error>,
}

impl Swept {
    /// The kinds of events that never happened although they should have.
    pub fn missing(&self) -> Vec<&'static str> {
        let missing = EXPECTED.iter().filter(|k| !self.counts.contains_key(*k));
        missing.copied().collect()
    }

    fn add(&mut self, report: Report, again: Option<u64>) {
        self.seeds += 1;
        self.operations += report.history.operations.len() as u64;
        self.faults += report.plan.faults.len() as u64;
        for (kind, count) in &report.traced.counts {
            *self.counts.entry(kind).or_default() += count;
        }
        if again.is_some_and(|hash| hash != report.traced.hash) {
            self.unsteady.push(report.plan.seed);
        }
        if !report.violations.is_empty() {
            self.bad += 1;
            self.reports.push(report);
            self.reports.sort_by_key(|report| report.plan.seed);
            self.reports.truncate(KEPT);
        }
    }
}

impl Sweep {
    /// Runs all seeds. `each` is called after every run, on any of the threads, with how
    /// many were made and how many of them had violations.
    pub fn run(&self, each: impl Fn(u64, u64) + Sync) -> Swept {
        let next = AtomicU64::new(self.seeds.start);
        let over = AtomicBool::new(false);
        let swept = Mutex::new(Swept::default());
        #[cfg(feature = "planted-bugs")]
        let bug = super::planted::planted();
        let work = || {
            #[cfg(feature = "planted-bugs")]
            super::planted::plant(bug);
            while !over.load(Ordering::Relaxed) {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= self.seeds.end {
                    return;
                }
                let plan = Plan::new(seed, self.options);
                let ran = run(&plan).and_then(|report| {
                    let again = match self.twice {
                        true => Some(run(&plan)?.traced.hash),
                        false => None,
                    };
                    Ok((report, again))
                });
                let mut swept = swept.lock();
                match ran {
                    Ok((report, again)) => swept.add(report, again),
                    Err(error) => {
                        swept.errors.push(error);
                        over.store(true, Ordering::Relaxed);
                    }
                }
                if self.stop && swept.bad > 0 {
                    over.store(true, Ordering::Relaxed);
                }
                each(swept.seeds, swept.bad);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(work);
            }
        });
        swept.into_inner()
    }
}
