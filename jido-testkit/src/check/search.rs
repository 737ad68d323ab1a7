//! Linearizability by search: whether there is an order of a key's operations that
//! explains every answer, each operation standing between its invocation and its end.
//!
//! J. Wing and C. Gong, "Testing and Verifying Concurrent Objects", 1993, with G. Lowe's
//! memory of what was tried, "Testing for linearizability", 2017. It needs no witness,
//! and can take time exponential in how many operations overlap.

use std::collections::BTreeSet;

use crate::history::{Action, Operation, Outcome};

/// What the search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// There is such an order.
    Linearizable,
    /// There is none. At the most, so many operations could be put in order.
    NotLinearizable {
        /// The largest number of operations that could be.
        explained: usize,
        /// Those that then were left with an answer.
        left: Vec<u64>,
    },
    /// The search was given up.
    Undecided,
}

/// Searches for an order of the operations of one key, whose number is 0 at the start.
/// Those that were not executed are left out; those whose outcome is unknown may stand
/// anywhere after their invocation, or nowhere. Gives up after `limit` steps.
pub fn search<'a>(operations: impl Iterator<Item = &'a Operation>, limit: usize) -> Verdict {
    let mut operations: Vec<&Operation> = operations
        .filter(|op| op.outcome != Outcome::NotExecuted)
        // An unknown read explains nothing and is explained by anything.
        .filter(|op| op.outcome != Outcome::Unknown || op.action != Action::Read)
        .collect();
    // Those that end first are tried first.
    operations.sort_by_key(|op| (end(op), op.id));
    let answered = operations.iter().filter(|op| op.answer().is_some()).count();
    let mut seen: BTreeSet<(Bits, i64)> = BTreeSet::new();
    let mut tries = vec![(Bits::new(operations.len()), 0_i64, 0_usize)];
    let (mut explained, mut left) = (0, Vec::new());
    while let Some((placed, number, count)) = tries.pop() {
        if !seen.insert((placed.clone(), number)) {
            continue;
        }
        if seen.len() > limit {
            return Verdict::Undecided;
        }
        if count == answered {
            return Verdict::Linearizable;
        }
        let open = || (0..operations.len()).filter(|at| !placed.has(*at));
        if count >= explained {
            explained = count;
            left = open()
                .filter(|at| operations[*at].answer().is_some())
                .map(|at| operations[at].id)
                .collect();
        }
        // None can stand after the end of one that is not placed yet.
        let horizon = open().map(|at| end(operations[at])).min();
        let can_be_next = |at: &usize| Some(operations[*at].invoked) <= horizon;
        for at in open()
            .filter(can_be_next)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
        {
            let op = operations[at];
            let (after, done) = op.action.apply(number);
            let explains = op
                .answer()
                .is_none_or(|a| (a.value, a.done) == (after, done));
            if explains {
                let count = count + usize::from(op.answer().is_some());
                tries.push((placed.with(at), after, count));
            }
        }
    }
    Verdict::NotLinearizable { explained, left }
}

/// When an operation is over: never, if its outcome is unknown.
fn end(op: &Operation) -> u64 {
    match op.outcome {
        Outcome::Unknown => u64::MAX,
        _ => op.ended,
    }
}

/// A set of small numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Bits(Box<[u64]>);

impl Bits {
    fn new(len: usize) -> Self {
        Self(vec![0; len.div_ceil(64)].into())
    }

    fn has(&self, at: usize) -> bool {
        self.0[at / 64] >> (at % 64) & 1 == 1
    }

    fn with(&self, at: usize) -> Self {
        let mut bits = self.0.clone();
        bits[at / 64] |= 1 << (at % 64);
        Self(bits)
    }
}
