//! How a violation is told: what shows it, and the command that shows it again.

use std::fmt;
use std::str::FromStr;

use super::plan::Options;
use super::run::Report;
use super::shrink::Shrunk;

/// A set of numbers, written as ranges: `0,3-5`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Numbers(Vec<(u64, u64)>);

impl Numbers {
    /// Whether a number is among them.
    pub fn has(&self, number: u64) -> bool {
        let mut ranges = self.0.iter();
        ranges.any(|(from, to)| (*from..=*to).contains(&number))
    }
}

impl FromIterator<u64> for Numbers {
    fn from_iter<I: IntoIterator<Item = u64>>(numbers: I) -> Self {
        let mut numbers: Vec<u64> = numbers.into_iter().collect();
        numbers.sort_unstable();
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for number in numbers {
            match ranges.last_mut() {
                Some((_, to)) if number <= to.saturating_add(1) => *to = number,
                _ => ranges.push((number, number)),
            }
        }
        Self(ranges)
    }
}

impl FromStr for Numbers {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ranges = text.split(',').filter(|part| !part.is_empty()).map(|part| {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            Ok((from.parse()?, to.parse()?))
        });
        Ok(Self(ranges.collect::<Result<_, _>>()?))
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (from, to)) in self.0.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            match from == to {
                true => write!(f, "{comma}{from}")?,
                false => write!(f, "{comma}{from}-{to}")?,
            }
        }
        Ok(())
    }
}

impl Report {
    /// What `sim` is called with to see the run again, event by event.
    pub fn arguments(&self) -> Vec<String> {
        let plan = &self.plan;
        let Options {
            nodes,
            ops,
            faults,
            keys,
            clients,
        } = plan.options;
        let left: Numbers = plan
            .faults
            .iter()
            .map(|fault| fault.number as u64)
            .collect();
        let tasks: Numbers = plan.tasks.iter().map(|task| task.number).collect();
        let mut arguments = vec!["--replay".to_owned()];
        let mut add = |name: &str, value: String| arguments.push(format!("--{name}={value}"));
        add("seed", plan.seed.to_string());
        add("nodes", nodes.to_string());
        add("ops", ops.to_string());
        add("faults", faults.to_string());
        add("keys", keys.to_string());
        add("clients", clients.to_string());
        if plan.faults.len() < faults {
            add("only-faults", left.to_string());
        }
        if plan.tasks.len() < plan.options.tasks() {
            add("only-ops", tasks.to_string());
        }
        #[cfg(feature = "planted-bugs")]
        if let Some(bug) = super::planted::planted() {
            add("plant", bug.to_string());
        }
        arguments
    }
}

/// The violations, the history of the keys that they are about, what these have written
/// down of their reminders, and how to see it again.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.violations.is_empty() {
            return Ok(());
        }
        for fault in &self.plan.faults {
            let (at, lasts) = (fault.at, fault.lasts);
            writeln!(f, "  at {at} ms, for {lasts} ms: {:?}", fault.kind)?;
        }
        for violation in &self.violations {
            writeln!(f, "  {violation}")?;
        }
        let mut keys: Vec<&str> = self.violations.iter().map(|v| v.key.as_str()).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            for op in self.history.of(key) {
                writeln!(
                    f,
                    "  {key} {} by {}, {}..{} us: {:?} -> {:?}",
                    op.id, op.client, op.invoked, op.ended, op.action, op.outcome
                )?;
            }
            let diary = self.diaries.get(key);
            for (at, entry) in diary.iter().flat_map(|diary| &diary.entries) {
                writeln!(f, "  {key} at {} us: {entry:?}", at.as_micros())?;
            }
        }
        let command = "cargo run --release -p jido-testkit --bin sim --";
        writeln!(f, "see it again: {command} {}", self.arguments().join(" "))
    }
}

impl fmt::Display for Shrunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = &self.report.plan;
        let (tasks, faults) = (plan.tasks.len(), plan.faults.len());
        writeln!(
            f,
            "seed {}, after {} runs to make it smaller: {tasks} tasks, {faults} faults",
            plan.seed, self.runs
        )?;
        write!(f, "{}", self.report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_ranges_and_read_again() {
        let numbers: Numbers = [5, 0, 3, 4, 9].into_iter().collect();
        assert_eq!(numbers.to_string(), "0,3-5,9");
        assert_eq!("0,3-5,9".parse(), Ok(numbers.clone()));
        assert!(numbers.has(4) && !numbers.has(2) && !numbers.has(10));
        let none = Numbers::default();
        assert_eq!(none.to_string(), "");
        assert_eq!("".parse(), Ok(none.clone()));
        assert!(!none.has(0));
        assert!("3-x".parse::<Numbers>().is_err());
    }
}
