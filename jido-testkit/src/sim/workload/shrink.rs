//! Looks for the least of a plan that still shows a violation.

use super::plan::Plan;
use super::run::{Report, run};

/// A plan that shows a violation, made smaller.
#[derive(Debug, Clone)]
pub struct Shrunk {
    /// The run of what is left of the plan.
    pub report: Report,
    /// How many runs it took.
    pub runs: usize,
}

/// Leaves out faults and tasks of a plan as long as what is left breaks the same
/// invariant, with up to `most` runs. First halves are tried, then smaller parts, down to
/// single ones.
///
/// # Errors
///
/// As [`simulate`](crate::sim::simulate).
pub fn shrink(report: Report, most: usize) -> Result<Shrunk, crate::Error> {
    let Some(invariant) = report.violations.first().map(|v| v.invariant) else {
        return Ok(Shrunk { report, runs: 0 });
    };
    let mut best = Shrunk { report, runs: 0 };
    loop {
        let before = (best.report.plan.faults.len(), best.report.plan.tasks.len());
        reduce(&mut best, invariant, most, |plan| &mut plan.faults)?;
        reduce(&mut best, invariant, most, |plan| &mut plan.tasks)?;
        let after = (best.report.plan.faults.len(), best.report.plan.tasks.len());
        if after == before || best.runs >= most {
            return Ok(best);
        }
    }
}

/// Leaves out parts of one list of the plan.
fn reduce<T: Clone>(
    best: &mut Shrunk,
    invariant: &str,
    most: usize,
    list: impl Fn(&mut Plan) -> &mut Vec<T>,
) -> Result<(), crate::Error> {
    let mut size = list(&mut best.report.plan).len();
    while size > 0 {
        let mut start = 0;
        while start < list(&mut best.report.plan).len() && best.runs < most {
            let mut plan = best.report.plan.clone();
            let all = list(&mut plan);
            let end = (start + size).min(all.len());
            all.drain(start..end);
            best.runs += 1;
            let report = run(&plan)?;
            if report.violations.iter().any(|v| v.invariant == invariant) {
                best.report = report;
            } else {
                start = end;
            }
        }
        size /= 2;
    }
    Ok(())
}
