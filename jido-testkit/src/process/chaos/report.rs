//! What came of it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fault::FaultKind;
use super::figures::Figures;
use super::injector::{Injector, Killed};
use super::run::Options;
use super::stage::Store;
use crate::check::{self, reads::Promise};
use crate::counters::{self, Verdict};
use crate::history::{History, Outcome};
use crate::process::LoadReport;
use crate::process::recovery::recoveries;
use crate::{Error, ErrorKind};

/// What came of a run.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report {
    /// Where agents were kept.
    pub store: Store,
    /// How long it took.
    pub took: Duration,
    /// What clients saw.
    pub history: History,
    /// The value of every key in the end.
    pub stored: BTreeMap<String, i64>,
    /// The judgement on increments and reads.
    pub verdict: Verdict,
    /// How often each kind of fault happened.
    pub faults: BTreeMap<FaultKind, u64>,
    /// The longest time without an answer to anyone.
    pub longest_gap: Duration,
    /// For every kill the time until the first of the node's keys was answered for
    /// elsewhere.
    pub after_kills: Figures,
    /// All that is wrong, in words; empty for a good run.
    pub violations: Vec<String>,
    /// The last errors with which clients gave up, and those of keys that could not be read
    /// in the end.
    pub errors: Vec<String>,
    /// Where the nodes' logs are kept if anything is wrong.
    pub kept: Option<PathBuf>,
}

impl Report {
    pub(super) fn new(
        options: &Options,
        took: Duration,
        done: LoadReport,
        (stored, unread): (BTreeMap<String, i64>, Vec<Error>),
        injector: Injector<'_>,
    ) -> Self {
        let LoadReport {
            history,
            counts,
            mut errors,
        } = done;
        let verdict = counters::check(&history, &stored);
        let mut violations = injector.complaints;
        violations.extend(verdict.violations.iter().map(ToString::to_string));
        violations.extend(silence(&history));
        let records = counters::records(&history, &stored);
        let mut witnessed = history.clone();
        witnessed
            .operations
            .retain(|op| records.contains_key(&op.key));
        let checked = check::history(&witnessed, &records, Promise::Latest);
        violations.extend(checked.iter().map(ToString::to_string));
        let open = history
            .operations
            .iter()
            .filter(|op| op.key.starts_with("once-") && op.outcome == Outcome::Unknown);
        violations.extend(
            open.map(|op| format!("key {}: operation {} was never acknowledged", op.key, op.id)),
        );
        if counts.failed > verdict.unknown {
            let given_up = counts.failed - verdict.unknown;
            violations.push(format!("{given_up} operations were given up: {errors:#?}"));
        }
        // The verdict names their keys.
        errors.extend(unread.iter().map(ToString::to_string));
        Self {
            store: options.stage.store,
            took,
            longest_gap: longest_gap(&history),
            after_kills: after_kills(&history, &injector.killed),
            faults: injector.counts,
            verdict,
            violations,
            errors,
            history,
            stored,
            kept: None,
        }
    }

    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    /// Writes the history as lines of JSON: the value of every key in the end, then an
    /// operation a line.
    ///
    /// # Errors
    ///
    /// [`Machine`](ErrorKind::Machine) when the file can't be written.
    pub fn write_history(&self, path: &Path) -> Result<(), Error> {
        let write = || -> std::io::Result<()> {
            let mut file = BufWriter::new(std::fs::File::create(path)?);
            serde_json::to_writer(&mut file, &self.stored)?;
            writeln!(file)?;
            for op in &self.history.operations {
                serde_json::to_writer(&mut file, op)?;
                writeln!(file)?;
            }
            file.flush()
        };
        write().map_err(|cause| {
            let what = format!("history {}: {cause}", path.display());
            Error::new(ErrorKind::Machine, what).caused_by(cause)
        })
    }
}

/// What is wrong with a history that shows nothing.
fn silence(history: &History) -> Option<String> {
    let nothing = answers(history).is_empty();
    nothing.then(|| "no operation was answered".to_owned())
}

/// When operations were answered, in order.
fn answers(history: &History) -> Vec<Duration> {
    let answered = history.operations.iter().filter(|op| op.answer().is_some());
    let mut ends: Vec<Duration> = answered.map(|op| Duration::from_micros(op.ended)).collect();
    ends.sort_unstable();
    ends
}

fn longest_gap(history: &History) -> Duration {
    let ends = answers(history);
    let starts = std::iter::once(&Duration::ZERO).chain(&ends);
    let gaps = starts.zip(&ends).map(|(from, to)| to.saturating_sub(*from));
    gaps.max().unwrap_or_default()
}

fn after_kills(history: &History, killed: &[Killed]) -> Figures {
    let times = killed.iter().filter_map(|killed| {
        recoveries(history, killed.at, &killed.keys)
            .into_values()
            .min()
    });
    Figures::new(times.collect())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operations = self.verdict.acknowledged + self.verdict.unknown + self.verdict.reads;
        let seconds = self.took.as_secs_f64().max(0.001);
        write!(
            f,
            "{operations} operations on {} in {seconds:.1} s, {:.0} a second; faults:",
            self.store,
            operations as f64 / seconds
        )?;
        for (kind, count) in &self.faults {
            write!(f, " {kind} {count}")?;
        }
        write!(
            f,
            "; longest gap {} ms; first answer after a kill: {}; {}",
            self.longest_gap.as_millis(),
            self.after_kills,
            self.verdict
        )?;
        for violation in self.violations.iter().take(20) {
            write!(f, "\n  {violation}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Action, Answer, By, Operation};

    fn answered(id: u64, ended: u64, epoch: u64) -> Operation {
        Operation {
            id,
            client: 0,
            key: "k".to_owned(),
            action: Action::Read,
            invoked: 0,
            first_try: None,
            ended,
            outcome: Outcome::Answered(Answer {
                value: 0,
                done: false,
                by: Some(By { epoch, revision: 0 }),
            }),
            repeats: Vec::new(),
        }
    }

    #[test]
    fn a_run_in_which_nothing_was_answered_is_not_a_good_one() {
        let unknown = Operation {
            outcome: Outcome::Unknown,
            ..answered(1, 100, 1)
        };
        assert!(silence(&History::default()).is_some());
        assert!(silence(&History::new(vec![unknown.clone()])).is_some());
        let history = History::new(vec![unknown, answered(2, 200, 1)]);
        assert_eq!(silence(&history), None);
    }

    #[test]
    fn gaps_and_kills_are_measured_by_the_answers() {
        // The second answer left the node that was killed just before.
        let operations = vec![
            answered(1, 100, 1),
            answered(2, 501, 1),
            answered(3, 900, 2),
        ];
        let history = History::new(operations);
        assert_eq!(longest_gap(&history), Duration::from_micros(401));
        let killed = Killed {
            at: Duration::from_micros(500),
            keys: BTreeMap::from([("k".to_owned(), 1)]),
        };
        let times = after_kills(&history, &[killed]);
        assert_eq!(times.percentile(99), Some(Duration::from_micros(400)));
    }
}
