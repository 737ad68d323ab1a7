//! What a client was told was deleted had been: between question and answer there was a
//! moment at which nothing of the agent was stored.

use std::time::Duration;

use jido_cluster::Revision;

use super::Violation;
use crate::history::{History, Operation, Outcome};
use crate::sim::{Applied, Change};

const TOLD: &str = "an agent that was said to be deleted had been";
const GONE: &str = "nothing that an agent was deleted with comes back";

/// A deletion that a client was told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deletion {
    /// When it was asked for, since the start.
    pub invoked: Duration,
    /// When the answer came.
    pub ended: Duration,
}

/// Checks the deletions of one agent against its changes in storage, in their order, and against
/// the commits that wrote the entries of its thread, as it is stored in the end.
pub fn check(
    key: &str,
    told: &[Deletion],
    changes: &[Applied],
    thread: &[Revision],
) -> Vec<Violation> {
    let mut violations = Vec::new();
    // From when until when nothing was stored.
    let mut absent = vec![(Duration::ZERO, Duration::MAX)];
    let mut deleted = Revision::ZERO;
    for Applied { at, change, .. } in changes {
        match change {
            Change::Committed { counts: true, .. } => {
                if let Some((_, until)) = absent.last_mut().filter(|(_, end)| end > at) {
                    *until = *at;
                }
            }
            Change::Deleted { revision } => {
                absent.push((*at, Duration::MAX));
                deleted = *revision;
            }
            Change::Committed { .. } | Change::Claimed { .. } | Change::Conflicted { .. } => {}
        }
    }
    for Deletion { invoked, ended } in told {
        if !absent
            .iter()
            .any(|(from, until)| from <= ended && until >= invoked)
        {
            let what = format!("asked for at {invoked:?} and answered at {ended:?}: it was there");
            violations.push(Violation::new(TOLD, key, what));
        }
    }
    if let Some(old) = thread.iter().find(|revision| **revision <= deleted) {
        let what = format!("an entry of revision {old}, it was deleted at {deleted}");
        violations.push(Violation::new(GONE, key, what));
    }
    violations
}

/// The revision of an agent's last deletion, and the changes after it.
pub fn since_the_last(changes: &[Applied]) -> (Revision, &[Applied]) {
    let deletions = (1..).zip(changes).filter_map(|(after, applied)| {
        let Change::Deleted { revision } = applied.change else {
            return None;
        };
        Some((revision, changes.get(after..).unwrap_or_default()))
    });
    deletions.last().unwrap_or((Revision::ZERO, changes))
}

/// What clients know of an agent since it was deleted at this revision. What was answered
/// before that was deleted with it, and so was the record of its request: another try may have been
/// carried out since.
pub fn history_since(deleted: Revision, operations: Vec<Operation>) -> History {
    let since = operations.into_iter().map(|op| {
        let by = op.answer().and_then(|answer| answer.by);
        let outcome = match op.outcome {
            Outcome::Answered(_) if by.is_none_or(|by| by.revision <= deleted.0) => {
                Outcome::Unknown
            }
            outcome => outcome,
        };
        Operation {
            outcome,
            // These may be of another of the agent's lives.
            repeats: Vec::new(),
            ..op
        }
    });
    History::new(since.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Action, Answer, By};
    use jido_cluster::Epoch;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn committed(seconds: u64, revision: u64) -> Applied {
        let change = Change::Committed {
            before: Revision(revision - 1),
            revision: Revision(revision),
            counts: true,
            state: None,
            entries: 1,
            release: false,
        };
        Applied::new(at(seconds), Epoch(1), change)
    }

    fn deleted(seconds: u64, revision: u64) -> Applied {
        let revision = Revision(revision);
        Applied::new(at(seconds), Epoch(1), Change::Deleted { revision })
    }

    fn told(invoked: u64, ended: u64) -> Deletion {
        Deletion {
            invoked: at(invoked),
            ended: at(ended),
        }
    }

    #[test]
    fn one_that_was_told_of_and_not_made_is_found() {
        let changes = [
            committed(1, 1),
            committed(2, 2),
            deleted(5, 3),
            committed(8, 4),
        ];
        let holds = |told| check("a", &[told], &changes, &[Revision(4)]).is_empty();
        // Before there was anything, by this very deletion, and between it and the next commit.
        assert!(holds(told(0, 3)) && holds(told(4, 6)) && holds(told(6, 7)) && holds(told(7, 9)));
        assert!(!holds(told(2, 4)) && !holds(told(9, 10)));
    }

    #[test]
    fn what_was_answered_before_a_deletion_is_not_looked_for_after_it() {
        let answered = |id: u64, revision: u64| Operation {
            id,
            client: 1,
            key: "a".to_owned(),
            action: Action::Add(1),
            invoked: id * 10,
            first_try: None,
            ended: id * 10 + 5,
            outcome: Outcome::Answered(Answer {
                value: 1,
                done: true,
                by: Some(By { epoch: 1, revision }),
            }),
            repeats: Vec::new(),
        };
        let changes = [committed(1, 1), deleted(2, 2), committed(3, 3)];
        let (revision, since) = since_the_last(&changes);
        assert_eq!((revision, since), (Revision(2), &changes[2..]));
        assert_eq!(since_the_last(since), (Revision::ZERO, since));
        let history = history_since(revision, vec![answered(1, 1), answered(2, 3)]);
        let known: Vec<bool> = history
            .operations
            .iter()
            .map(Operation::had_effect)
            .collect();
        assert_eq!(known, [false, true]);
    }

    #[test]
    fn an_entry_from_before_is_found() {
        let changes = [committed(1, 1), deleted(2, 2), committed(3, 3)];
        assert_eq!(check("a", &[], &changes, &[Revision(3)]), []);
        let found = check("a", &[], &changes, &[Revision(1), Revision(3)]);
        assert_eq!(found.len(), 1);
        assert!(found[0].to_string().contains("revision 1"), "{}", found[0]);
    }
}
