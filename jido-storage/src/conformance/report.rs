//! What came of a run.

use std::fmt;
use std::time::Duration;

use super::case::Case;

/// A case that takes longer is told of.
const SLOW: Duration = Duration::from_secs(1);

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The adapter keeps the rule.
    Passed,
    /// The adapter's capabilities don't promise what the case checks, for this reason.
    NotApplicable(&'static str),
    /// The case applies, and the suite was not given what it needs to run it.
    NotRun(&'static str),
    /// The rule is broken; this is what was seen.
    Failed(String),
}

/// What came of a run: an outcome for every case of the suite.
#[derive(Debug, Clone)]
pub struct Report {
    pub(super) outcomes: Vec<(Case, Outcome, Duration)>,
    pub(super) took: Duration,
}

impl Report {
    /// Every case with its outcome, in the order in which they ran.
    pub fn outcomes(&self) -> impl Iterator<Item = (&Case, &Outcome)> {
        self.outcomes
            .iter()
            .map(|(case, outcome, _)| (case, outcome))
    }

    /// How many cases passed.
    pub fn passed(&self) -> usize {
        self.count(|outcome| *outcome == Outcome::Passed)
    }

    /// The cases that failed, each with what was seen.
    pub fn failures(&self) -> impl Iterator<Item = (&Case, &str)> {
        self.outcomes().filter_map(|(case, outcome)| match outcome {
            Outcome::Failed(why) => Some((case, why.as_str())),
            _ => None,
        })
    }

    /// The cases that apply and were not run, each with what the suite was not given.
    pub fn not_run(&self) -> impl Iterator<Item = (&Case, &str)> {
        self.outcomes().filter_map(|(case, outcome)| match outcome {
            Outcome::NotRun(why) => Some((case, *why)),
            _ => None,
        })
    }

    /// The cases that the adapter's capabilities rule out, each with the reason.
    pub fn not_applicable(&self) -> impl Iterator<Item = (&Case, &str)> {
        self.outcomes().filter_map(|(case, outcome)| match outcome {
            Outcome::NotApplicable(why) => Some((case, *why)),
            _ => None,
        })
    }

    /// How long all of it took.
    pub fn took(&self) -> Duration {
        self.took
    }

    fn count(&self, which: impl Fn(&Outcome) -> bool) -> usize {
        let outcomes = self.outcomes.iter();
        outcomes.filter(|(_, outcome, _)| which(outcome)).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "conformance: {} cases passed, {} failed, {} not applicable, {} not run, in {:.1} s",
            self.passed(),
            self.failures().count(),
            self.not_applicable().count(),
            self.not_run().count(),
            self.took.as_secs_f64(),
        )?;
        for (case, _, took) in self.outcomes.iter().filter(|(_, _, took)| *took > SLOW) {
            write!(f, "\n  slow: {}: {:.1} s", case.name(), took.as_secs_f64())?;
        }
        for (case, why) in self.not_applicable() {
            write!(f, "\n  not applicable: {}: {why}", case.name())?;
        }
        for (case, why) in self.not_run() {
            write!(f, "\n  not run: {}: {why}", case.name())?;
        }
        for (case, why) in self.failures() {
            write!(f, "\n  FAILED: {} ({}): {why}", case.name(), case.rule())?;
        }
        Ok(())
    }
}
