//! What a drill measures.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::phase::Phase;
use super::spread::Spread;
use crate::counters::Verdict;
use crate::history::History;
use crate::process::chaos::Figures;
use crate::process::recovery::recoveries;

/// All that a drill measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Measured {
    /// How many agents there are.
    pub agents: usize,
    /// How many of them ran in the zone when it was killed.
    pub lost: usize,
    /// Those among them that did not answer again in time, by key.
    pub not_recovered: Vec<String>,
    /// From the kill until an agent that was lost answered again, for those that did in time.
    pub recovery: Option<Spread>,
    /// How long calls of agents in other zones took that were under way while agents were not
    /// recovered, from the first try to the answer.
    pub elsewhere: Option<Spread>,
    /// How calls went, part by part.
    pub phases: Vec<Phase>,
    /// What it took to move agents home once the zone was back.
    pub moves: Moves,
    /// How many agents run on the node that they ran on before the zone was killed.
    pub home: usize,
    /// How many activations run in the end, on all nodes.
    pub running: u64,
    /// For how many agents all nodes name the same owner in the end.
    pub agreed: usize,
    /// All increments and reads, held against what is stored in the end.
    pub calls: Verdict,
    /// How many calls failed for their client, or stayed unknown.
    pub failed: u64,
    /// The last errors with which calls failed, in words.
    pub errors: Vec<String>,
}

/// What was moved on purpose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Moves {
    /// How many moves began: those below together.
    pub started: u64,
    /// Those after which the agent ran on its new node.
    pub succeeded: u64,
    /// Those that went wrong.
    pub failed: u64,
    /// Those that were left out, to be planned again: the agent or its node was not yet or no
    /// longer where the plan saw it.
    pub skipped: u64,
    /// How often moves were planned.
    pub rounds: u64,
}

impl Moves {
    /// How many of a hundred moves succeeded that were not left out; none where there
    /// were none.
    pub fn success_percent(&self) -> Option<f64> {
        percent(self.succeeded, self.succeeded + self.failed)
    }
}

impl Measured {
    /// How many of the agents that were lost answered again in time.
    pub fn recovered(&self) -> usize {
        self.lost.saturating_sub(self.not_recovered.len())
    }

    /// How many of a hundred agents that were lost answered again in time; none where
    /// none was lost.
    pub fn migration_percent(&self) -> Option<f64> {
        percent(self.recovered() as u64, self.lost as u64)
    }

    /// How many of a hundred agents run where they ran before; none where there are no agents.
    pub fn home_percent(&self) -> Option<f64> {
        percent(self.home as u64, self.agents as u64)
    }

    /// How many of a hundred agents have one owner for all nodes; none where there are no agents.
    pub fn agreed_percent(&self) -> Option<f64> {
        percent(self.agreed as u64, self.agents as u64)
    }
}

fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 * 100.0 / whole as f64)
}

/// A zone that was killed.
#[derive(Debug)]
pub(super) struct Outage {
    /// When it was killed, since the load's start.
    pub(super) at: Duration,
    /// When all its agents had recovered, or were given up.
    pub(super) until: Duration,
    /// The agents that ran in it, with the epochs of their activations.
    pub(super) lost: BTreeMap<String, u64>,
}

impl Outage {
    /// How soon agents recovered that did before the outage's end, and the others.
    pub(super) fn recovery(&self, history: &History) -> (Figures, Vec<String>) {
        let mut recovered = recoveries(history, self.at, &self.lost);
        let limit = self.until.saturating_sub(self.at);
        recovered.retain(|_, time| *time <= limit);
        let missing = self.lost.keys();
        let missing = missing.filter(|key| !recovered.contains_key(key.as_str()));
        let missing = missing.cloned().collect();
        (Figures::new(recovered.into_values().collect()), missing)
    }

    /// How long calls of other agents took that were under way during the outage: one that it
    /// holds up may end long after it.
    pub(super) fn elsewhere(&self, history: &History) -> Figures {
        let (at, until) = (self.at.as_micros(), self.until.as_micros());
        let others = history.operations.iter().filter(|op| {
            let meanwhile = u128::from(op.begun()) <= until && u128::from(op.ended) >= at;
            meanwhile && op.answer().is_some() && !self.lost.contains_key(&op.key)
        });
        let times = others.map(|op| Duration::from_micros(op.ended.saturating_sub(op.begun())));
        Figures::new(times.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Action, Answer, By, Operation, Outcome};

    fn call(key: &str, invoked: u64, ended: u64, epoch: u64) -> Operation {
        Operation {
            id: ended,
            client: 0,
            key: key.to_owned(),
            action: Action::Add(1),
            invoked,
            first_try: None,
            ended,
            outcome: Outcome::Answered(Answer {
                value: 1,
                done: true,
                by: Some(By { epoch, revision: 1 }),
            }),
            repeats: Vec::new(),
        }
    }

    /// A call whose first try, and perhaps others, were refused.
    fn refused_first(first: u64, call: Operation) -> Operation {
        Operation {
            first_try: Some(first),
            ..call
        }
    }

    fn unanswered(key: &str, ended: u64) -> Operation {
        Operation {
            outcome: Outcome::Unknown,
            ..call(key, 0, ended, 0)
        }
    }

    #[test]
    fn an_agent_has_recovered_once_a_later_activation_answers_in_time() {
        let outage = Outage {
            at: Duration::from_micros(1_000),
            until: Duration::from_micros(5_000),
            lost: BTreeMap::from([("a", 3), ("b", 4), ("c", 5), ("d", 6)].map(own)),
        };
        let history = History::new(vec![
            // The last answer of the one that died arrives after the kill.
            call("a", 900, 1_001, 3),
            unanswered("a", 1_500),
            call("a", 1_100, 3_000, 7),
            call("a", 3_100, 3_200, 7),
            call("b", 900, 4_000, 8),
            // Too late, and never.
            call("c", 900, 5_001, 9),
            unanswered("d", 4_000),
            // Others: before, meanwhile, held up beyond the end, and afterwards.
            call("x", 900, 999, 1),
            call("x", 990, 1_010, 1),
            call("y", 4_000, 4_100, 1),
            unanswered("y", 4_200),
            call("y", 4_500, 5_500, 1),
            refused_first(2_000, call("x", 2_290, 2_300, 1)),
            refused_first(4_600, call("z", 6_990, 7_000, 1)),
            call("y", 5_501, 5_600, 1),
        ]);
        let (times, missing) = outage.recovery(&history);
        assert_eq!(
            times,
            Figures::new([2_000, 3_000].map(Duration::from_micros).to_vec())
        );
        assert_eq!(missing, ["c", "d"]);
        let elsewhere = outage.elsewhere(&history);
        assert_eq!(
            elsewhere,
            Figures::new(
                [20, 100, 1_000, 300, 2_400]
                    .map(Duration::from_micros)
                    .to_vec()
            )
        );
    }

    fn own((key, epoch): (&str, u64)) -> (String, u64) {
        (key.to_owned(), epoch)
    }

    #[test]
    fn shares_of_nothing_are_not_whole() {
        let nothing = Measured::default();
        assert_eq!(nothing.migration_percent(), None);
        assert_eq!(nothing.home_percent(), None);
        assert_eq!(Moves::default().success_percent(), None);
        let half = Measured {
            agents: 8,
            lost: 4,
            not_recovered: vec!["a".to_owned(), "b".to_owned()],
            home: 2,
            ..nothing
        };
        assert_eq!(half.migration_percent(), Some(50.0));
        assert_eq!(half.home_percent(), Some(25.0));
        let moves = Moves {
            succeeded: 3,
            failed: 1,
            skipped: 9,
            ..Moves::default()
        };
        assert_eq!(moves.success_percent(), Some(75.0));
    }
}
