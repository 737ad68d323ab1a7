//! What is told of a drill.

use std::fmt;

use serde::Serialize;

use super::criteria::{Bounds, Criterion, judge};
use super::measured::Measured;
use super::phase::Phase;
use super::plan::Plan;
use super::spread::{Spread, millis};
use crate::process::chaos::Stage;
use crate::{Error, ErrorKind};

/// How many agents and violations are named.
const NAMED: usize = 10;

/// What is told of a drill: as text for operators, ending with the verdict, or as JSON.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Where agents were kept.
    pub storage: String,
    /// When agents of a dead node are taken over.
    pub takeover: String,
    /// How long a node's lease lasts, in milliseconds.
    pub lease_ttl_ms: f64,
    /// What was done.
    pub plan: Plan,
    /// What was measured.
    pub measured: Measured,
    /// What was asked for, and whether it was kept.
    pub criteria: Vec<Criterion>,
    /// Whether every criterion was kept.
    pub passed: bool,
}

impl Report {
    /// Judges what was measured.
    pub fn new(stage: &Stage, plan: &Plan, measured: Measured, bounds: &Bounds) -> Self {
        let criteria = judge(&measured, bounds);
        Self {
            storage: stage.store.to_string(),
            takeover: stage.takeover().to_owned(),
            lease_ttl_ms: millis(stage.lease_ttl),
            plan: plan.clone(),
            passed: criteria.iter().all(|criterion| criterion.kept),
            measured,
            criteria,
        }
    }

    /// The report as JSON, with all of the plan.
    ///
    /// # Errors
    ///
    /// [`Machine`](ErrorKind::Machine) when it can't be written down, which no report of a
    /// drill is known for.
    pub fn to_json(&self) -> Result<String, Error> {
        serde_json::to_string_pretty(self).map_err(|cause| {
            Error::new(ErrorKind::Machine, format!("report: {cause}")).caused_by(cause)
        })
    }

    fn outage(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Measured { agents, lost, .. } = self.measured;
        let (name, recovered) = (&self.plan.killed.name, self.measured.recovered());
        let none = "nothing was measured".to_owned();
        let told = |spread: Option<Spread>| spread.map_or(none.clone(), |one| one.to_string());
        writeln!(f, "zone {name} was killed, with {lost} of {agents} agents")?;
        writeln!(f, "  recovered            {recovered} of {lost}")?;
        writeln!(f, "  recovery             {}", told(self.measured.recovery))?;
        writeln!(
            f,
            "  calls elsewhere      {}",
            told(self.measured.elsewhere)
        )?;
        named(f, "not recovered", &self.measured.not_recovered)
    }

    fn homecoming(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Measured {
            agents,
            home,
            moves,
            running,
            agreed,
            ..
        } = self.measured;
        writeln!(f, "zone {} came back", self.plan.killed.name)?;
        writeln!(
            f,
            "  planned moves        {} started, {} succeeded, {} failed, {} skipped, planned in {} turns",
            moves.started, moves.succeeded, moves.failed, moves.skipped, moves.rounds
        )?;
        writeln!(f, "  home again           {home} of {agents} agents")?;
        writeln!(
            f,
            "  in the end           {running} activations, {agreed} agents of which all nodes \
             name the same owner"
        )
    }

    fn calls(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "calls: {}", self.measured.calls)?;
        named(f, "failed call", &self.measured.errors)?;
        writeln!(
            f,
            "  {:<8} {:>7} {:>9} {:>7} {:>7} {:>8} {:>8} {:>8} {:>8}  errors of tries",
            "", "s", "acked", "reads", "failed", "p50 ms", "p95 ms", "p99 ms", "longest"
        )?;
        self.measured
            .phases
            .iter()
            .try_for_each(|one| phase(f, one))
    }
}

/// One line for each, up to a number.
fn named(f: &mut fmt::Formatter<'_>, what: &str, names: &[String]) -> fmt::Result {
    for name in names.iter().take(NAMED) {
        writeln!(f, "  {what}: {name}")?;
    }
    match names.len().checked_sub(NAMED) {
        None | Some(0) => Ok(()),
        Some(more) => writeln!(f, "  {what}: {more} more"),
    }
}

fn phase(f: &mut fmt::Formatter<'_>, phase: &Phase) -> fmt::Result {
    write!(
        f,
        "  {:<8} {:>7.1} {:>9} {:>7} {:>7}",
        phase.name, phase.seconds, phase.acknowledged, phase.reads, phase.failed
    )?;
    match phase.latency {
        Some(spread) => {
            for ms in [
                spread.p50_ms,
                spread.p95_ms,
                spread.p99_ms,
                spread.longest_ms,
            ] {
                write!(f, " {ms:>8.1}")?;
            }
        }
        None => write!(f, " {:>8} {:>8} {:>8} {:>8}", "-", "-", "-", "-")?,
    }
    let errors = phase.errors.iter();
    let errors: Vec<String> = errors
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    match errors.is_empty() {
        true => writeln!(f, "  none"),
        false => writeln!(f, "  {}", errors.join(", ")),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.outage(f)?;
        self.homecoming(f)?;
        self.calls(f)?;
        writeln!(f, "criterion                      bound          value")?;
        for criterion in &self.criteria {
            writeln!(f, "{criterion}")?;
        }
        write!(f, "verdict: {}", if self.passed { "pass" } else { "fail" })
    }
}

#[cfg(test)]
mod tests {
    use super::super::criteria::tests::{bounds, good, spread};
    use super::*;
    use crate::process::chaos::Store;
    use crate::process::drill::Settings;

    fn report(measured: Measured) -> Report {
        let plan = Plan::draw(&Settings::new(1)).unwrap();
        let stage = Stage::new("program", Store::Postgres);
        Report::new(&stage, &plan, measured, &bounds())
    }

    fn phase() -> Phase {
        Phase {
            name: "during".to_owned(),
            seconds: 3.25,
            acknowledged: 900,
            reads: 200,
            failed: 0,
            retried: 12,
            latency: Some(spread(3_100.0)),
            errors: [("no_connection".to_owned(), 12)].into(),
        }
    }

    #[test]
    fn the_last_line_is_the_verdict_and_each_criterion_is_told() {
        let phases = vec![phase()];
        let passed = report(Measured { phases, ..good() });
        assert!(passed.passed);
        let text = passed.to_string();
        assert_eq!(text.lines().last(), Some("verdict: pass"), "{text}");
        assert!(!text.contains("MISSED"), "{text}");
        assert!(text.contains("no_connection 12"), "{text}");
        for criterion in &passed.criteria {
            assert!(text.contains(criterion.name), "{text}");
        }
    }

    #[test]
    fn an_agent_that_did_not_recover_fails_it_and_is_named() {
        let not_recovered = (0..12).map(|at| format!("key-{at}")).collect();
        let failed = report(Measured {
            not_recovered,
            ..good()
        });
        assert!(!failed.passed);
        let text = failed.to_string();
        assert_eq!(text.lines().last(), Some("verdict: fail"), "{text}");
        assert!(text.contains("not recovered: key-9\n"), "{text}");
        assert!(!text.contains("key-10"), "{text}");
        assert!(text.contains("not recovered: 2 more"), "{text}");
        let missed: Vec<&str> = text
            .lines()
            .filter(|line| line.ends_with("MISSED"))
            .collect();
        assert_eq!(missed.len(), 1, "{text}");
        assert!(missed[0].starts_with("migration success"), "{text}");
        assert!(
            missed[0].contains(">= 100.00 %") && missed[0].contains("70.00 %"),
            "{text}"
        );
    }

    #[test]
    fn a_recovery_over_its_bound_fails_it() {
        let failed = report(Measured {
            recovery: Some(spread(3_500.5)),
            failed: 1,
            phases: vec![Phase {
                failed: 1,
                latency: None,
                ..phase()
            }],
            ..good()
        });
        let text = failed.to_string();
        let missed: Vec<&str> = text
            .lines()
            .filter(|line| line.ends_with("MISSED"))
            .collect();
        assert_eq!(missed.len(), 2, "{text}");
        assert!(
            missed[0].contains("<= 3500.0 ms") && missed[0].contains("3500.5 ms"),
            "{text}"
        );
        assert!(missed[1].starts_with("failed calls"), "{text}");
    }

    #[test]
    fn as_json_it_can_be_read_by_programs() {
        let json = report(Measured {
            phases: vec![phase()],
            ..good()
        })
        .to_json()
        .unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["passed"], true);
        assert_eq!(json["storage"], "postgres");
        assert_eq!(json["lease_ttl_ms"], 3_000.0);
        assert_eq!(json["plan"]["seed"], 1);
        assert_eq!(json["plan"]["keys"].as_array().unwrap().len(), 120);
        assert!(json["plan"]["calm_ms"].as_f64().unwrap() >= 2_000.0);
        assert_eq!(json["measured"]["recovery"]["p99_ms"], 3_500.0);
        assert_eq!(json["measured"]["phases"][0]["errors"]["no_connection"], 12);
        let recovery = &json["criteria"][1];
        assert_eq!(recovery["name"], "recovery p99");
        assert_eq!(recovery["limit"]["at_most"], 3_500.0);
        assert_eq!(recovery["kept"], true);
    }
}
