//! What was measured, held against what is asked for.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::measured::Measured;
use super::spread::{Spread, millis};
use crate::process::chaos::Stage;

/// How long calls of agents in other zones may take while the zone is lost: those that went
/// by one of its nodes are sent again at once, and all others are not concerned.
const ELSEWHERE: Duration = Duration::from_secs(1);

/// What is asked of a drill. That nothing acknowledged is lost or doubled, and that
/// each agent runs once, is promised, and no setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// The most that the p99 of recovery may be: from the kill until an agent that was lost
    /// answers again.
    pub recovery_p99: Duration,
    /// How many of a hundred agents that were lost have to answer again in time.
    pub migration_percent: f64,
    /// The most that the p99 of calls of agents in other zones may be while agents are not
    /// recovered.
    pub elsewhere_p99: Duration,
    /// How many calls may fail for their client, in all.
    pub failed: u64,
    /// How many of a hundred planned moves have to succeed.
    pub moves_percent: f64,
}

impl Bounds {
    /// What is promised: recovery as [`Stage::recovery_bound`] says, of all agents; no call
    /// fails and no planned move goes wrong. And calls elsewhere within a second.
    pub fn new(stage: &Stage) -> Self {
        Self {
            recovery_p99: stage.recovery_bound(),
            migration_percent: 100.0,
            elsewhere_p99: ELSEWHERE,
            failed: 0,
            moves_percent: 100.0,
        }
    }
}

/// What a value is to be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// This.
    Exactly(f64),
}

/// One thing that is asked of a drill, and what it was.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Criterion {
    /// What is measured.
    pub name: &'static str,
    /// What it is measured in: `ms`, `%`, or nothing for a count.
    pub unit: &'static str,
    /// What it is to be.
    pub limit: Limit,
    /// What it was; none when there was nothing to measure, and then it is not kept.
    pub value: Option<f64>,
    /// Whether it was as it is to be.
    pub kept: bool,
}

impl Criterion {
    fn new(name: &'static str, unit: &'static str, limit: Limit, value: Option<f64>) -> Self {
        let kept = value.is_some_and(|value| match limit {
            Limit::AtMost(bound) => value <= bound,
            Limit::AtLeast(bound) => value >= bound,
            Limit::Exactly(bound) => value.total_cmp(&bound).is_eq(),
        });
        Self {
            name,
            unit,
            limit,
            value,
            kept,
        }
    }

    fn count(name: &'static str, limit: Limit, count: u64) -> Self {
        Self::new(name, "", limit, Some(count as f64))
    }

    fn shown(&self, number: f64) -> String {
        let digits = match self.unit {
            "" => 0,
            "ms" => 1,
            _ => 2,
        };
        format!("{number:.digits$} {}", self.unit)
            .trim_end()
            .to_owned()
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = match self.limit {
            Limit::AtMost(bound) => format!("<= {}", self.shown(bound)),
            Limit::AtLeast(bound) => format!(">= {}", self.shown(bound)),
            Limit::Exactly(bound) => format!("= {}", self.shown(bound)),
        };
        let value = self
            .value
            .map_or("none".to_owned(), |value| self.shown(value));
        let kept = if self.kept { "kept" } else { "MISSED" };
        write!(f, "{:<30} {limit:<14} {value:<14} {kept}", self.name)
    }
}

/// Holds what was measured against the bounds. The drill has passed if every criterion is
/// kept.
pub fn judge(measured: &Measured, bounds: &Bounds) -> Vec<Criterion> {
    use Limit::{AtLeast, AtMost, Exactly};
    let p99 = |spread: &Option<Spread>| spread.map(|spread| spread.p99_ms);
    let (calls, agents) = (&measured.calls, measured.agents as f64);
    let (recovery, elsewhere) = (millis(bounds.recovery_p99), millis(bounds.elsewhere_p99));
    vec![
        Criterion::count(
            "agents in the killed zone",
            AtLeast(1.0),
            measured.lost as u64,
        ),
        Criterion::new(
            "recovery p99",
            "ms",
            AtMost(recovery),
            p99(&measured.recovery),
        ),
        Criterion::new(
            "migration success",
            "%",
            AtLeast(bounds.migration_percent),
            measured.migration_percent(),
        ),
        Criterion::new(
            "calls elsewhere p99",
            "ms",
            AtMost(elsewhere),
            p99(&measured.elsewhere),
        ),
        Criterion::count(
            "failed calls",
            AtMost(bounds.failed as f64),
            measured.failed,
        ),
        Criterion::new(
            "planned moves success",
            "%",
            AtLeast(bounds.moves_percent),
            measured.moves.success_percent(),
        ),
        Criterion::new(
            "agents home again",
            "%",
            AtLeast(100.0),
            measured.home_percent(),
        ),
        Criterion::count("increments lost", AtMost(0.0), calls.lost),
        Criterion::count("increments doubled", AtMost(0.0), calls.doubled),
        Criterion::count(
            "violations in the history",
            AtMost(0.0),
            calls.violations.len() as u64,
        ),
        Criterion::count("activations in the end", Exactly(agents), measured.running),
        Criterion::new(
            "agents with one owner",
            "%",
            AtLeast(100.0),
            measured.agreed_percent(),
        ),
    ]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::counters::Violation;
    use crate::process::chaos::Store;
    use crate::process::drill::Moves;

    pub(in crate::process::drill) fn bounds() -> Bounds {
        Bounds::new(&Stage::new("program", Store::Lmdb))
    }

    pub(in crate::process::drill) fn spread(p99_ms: f64) -> Spread {
        Spread {
            count: 40,
            p50_ms: 1.0,
            p95_ms: 2.0,
            p99_ms,
            longest_ms: p99_ms,
        }
    }

    /// A drill as it ought to be.
    pub(in crate::process::drill) fn good() -> Measured {
        Measured {
            agents: 120,
            lost: 40,
            recovery: Some(spread(3_500.0)),
            elsewhere: Some(spread(30.0)),
            moves: Moves {
                started: 42,
                succeeded: 40,
                failed: 0,
                skipped: 2,
                rounds: 2,
            },
            home: 120,
            running: 120,
            agreed: 120,
            ..Measured::default()
        }
    }

    fn unread() -> Violation {
        let key = "k".to_owned();
        Violation::Unread { key }
    }

    /// The names of those that are missed.
    fn missed(measured: &Measured) -> Vec<&'static str> {
        let criteria = judge(measured, &bounds()).into_iter();
        let missed = criteria.filter(|criterion| !criterion.kept);
        missed.map(|criterion| criterion.name).collect()
    }

    #[test]
    fn a_good_drill_keeps_all_at_the_very_bound() {
        assert_eq!(missed(&good()), [""; 0]);
        assert_eq!(bounds().recovery_p99, Duration::from_millis(3_500));
        let mut stage = Stage::new("program", Store::Lmdb);
        stage.on_disconnect = true;
        assert_eq!(Bounds::new(&stage).recovery_p99, Duration::from_millis(300));
    }

    #[test]
    fn whatever_is_not_as_it_ought_to_be_is_missed_by_its_name() {
        type Spoil = fn(&mut Measured);
        let cases: [(Spoil, &[&str]); 12] = [
            (|m| m.recovery = Some(spread(3_500.1)), &["recovery p99"]),
            (
                |m| m.not_recovered.push("k".to_owned()),
                &["migration success"],
            ),
            (
                |m| m.elsewhere = Some(spread(1_001.0)),
                &["calls elsewhere p99"],
            ),
            (|m| m.elsewhere = None, &["calls elsewhere p99"]),
            (|m| m.moves.failed = 1, &["planned moves success"]),
            (|m| m.home = 119, &["agents home again"]),
            (|m| m.calls.lost = 1, &["increments lost"]),
            (|m| m.calls.doubled = 1, &["increments doubled"]),
            (
                |m| m.calls.violations.push(unread()),
                &["violations in the history"],
            ),
            (|m| m.running = 121, &["activations in the end"]),
            (|m| m.running = 119, &["activations in the end"]),
            (|m| m.agreed = 119, &["agents with one owner"]),
        ];
        for (spoil, names) in cases {
            let mut measured = good();
            spoil(&mut measured);
            assert_eq!(missed(&measured), names);
        }
    }

    #[test]
    fn a_drill_that_hit_nobody_is_missed() {
        let nobody = Measured {
            lost: 0,
            recovery: None,
            moves: Moves::default(),
            ..good()
        };
        let expected = [
            "agents in the killed zone",
            "recovery p99",
            "migration success",
            "planned moves success",
        ];
        assert_eq!(missed(&nobody), expected);
    }

    #[test]
    fn bounds_are_what_they_are_set_to() {
        let loose = Bounds {
            recovery_p99: Duration::from_secs(60),
            migration_percent: 97.5,
            ..bounds()
        };
        let measured = Measured {
            recovery: Some(spread(59_000.0)),
            not_recovered: vec!["k".to_owned()],
            ..good()
        };
        assert!(
            judge(&measured, &loose)
                .iter()
                .all(|criterion| criterion.kept)
        );
        let strict = Bounds {
            migration_percent: 97.6,
            ..loose
        };
        assert!(
            !judge(&measured, &strict)
                .iter()
                .all(|criterion| criterion.kept)
        );
    }
}
