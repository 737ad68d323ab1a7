//! How a load went between two moments.

use std::collections::BTreeMap;
use std::fmt;

use jido_testkit::process::{Load, LoadCounts};

/// Counts of a load.
#[derive(Clone, Default)]
pub(crate) struct Figures {
    counts: LoadCounts,
    answers: BTreeMap<(String, String), u64>,
    errors: BTreeMap<String, u64>,
}

impl Figures {
    /// What was counted since this was asked last.
    pub(crate) fn since_last(&mut self, load: &Load) -> Self {
        let now = Self {
            counts: load.counts(),
            answers: load.answers_by_way(),
            errors: load.errors_by_kind(),
        };
        let before = std::mem::replace(self, now.clone());
        let (counts, was) = (now.counts, before.counts);
        Self {
            counts: LoadCounts {
                acknowledged: counts.acknowledged - was.acknowledged,
                reads: counts.reads - was.reads,
                failed: counts.failed - was.failed,
                refused: counts.refused - was.refused,
            },
            answers: less(now.answers, &before.answers),
            errors: less(now.errors, &before.errors),
        }
    }

    /// How many requests that one node was asked were answered by counters on another.
    pub(crate) fn by_way_of(&self, asked: &str, owner: &str) -> u64 {
        let way = (asked.to_owned(), owner.to_owned());
        self.answers.get(&way).copied().unwrap_or_default()
    }
}

fn less<K: Ord>(now: BTreeMap<K, u64>, before: &BTreeMap<K, u64>) -> BTreeMap<K, u64> {
    let counts = now.into_iter().map(|(kind, count)| {
        let was = before.get(&kind).copied().unwrap_or_default();
        (kind, count - was)
    });
    counts.filter(|(_, count)| *count > 0).collect()
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LoadCounts {
            acknowledged,
            reads,
            failed,
            refused,
        } = self.counts;
        write!(
            f,
            "acknowledged {acknowledged}, read {reads}, failed {failed}, tried again {refused}"
        )?;
        write!(f, ", errors {:?}; answered", self.errors)?;
        for ((asked, owner), count) in &self.answers {
            write!(f, " {asked}<-{owner} {count}")?;
        }
        Ok(())
    }
}
