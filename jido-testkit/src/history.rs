//! What clients asked for and what they learned, operation by operation.
//!
//! A history knows nothing of how the agents were reached: the simulator writes one,
//! and so can a client of real processes. It serializes, so that one process can
//! record it and another judge it.

mod reminding;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use reminding::{Reminded, Reminding, When};

/// What an operation does to the number that an agent keeps, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Adds; answers with the number after it.
    Add(i64),
    /// Takes away, if the number is at least as large; answers with the number after it.
    Take(i64),
    /// Replaces the number, if it is as expected; answers with the number after it.
    Swap {
        /// What is expected.
        expect: i64,
        /// What replaces it.
        to: i64,
    },
    /// Journals an entry and leaves the number alone; answers with it.
    Note,
    /// Answers with the number.
    Read,
    /// Changes everything and fails: nothing may be left of it.
    Fail,
    /// Sets a reminder and leaves the number alone; answers with it.
    Remind(Reminding),
    /// Cancels a reminder by its name and leaves the number alone; answers with it.
    Forget(u8),
    /// Has the agent send itself a message after so many milliseconds, and leaves the
    /// number alone; answers with it.
    Schedule(u16),
}

impl Action {
    /// The number after the action, and whether it had an effect.
    pub fn apply(self, number: i64) -> (i64, bool) {
        match self {
            Self::Add(by) => (number.wrapping_add(by), true),
            Self::Take(amount) if number >= amount => (number - amount, true),
            Self::Swap { expect, to } if number == expect => (to, true),
            Self::Note | Self::Remind(_) | Self::Forget(_) | Self::Schedule(_) => (number, true),
            Self::Take(_) | Self::Swap { .. } | Self::Read | Self::Fail => (number, false),
        }
    }
}

/// An answer, as the client got it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The number after the operation.
    pub value: i64,
    /// Whether it had an effect.
    pub done: bool,
    /// Who answered; none where the reply alone is known.
    pub by: Option<By>,
}

/// The activation that gave an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// Its epoch.
    pub epoch: u64,
    /// The revision at which what the answer saw is durable.
    pub revision: u64,
}

/// What a client learned of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It was answered.
    Answered(Answer),
    /// It was not executed and never will be.
    NotExecuted,
    /// It may have been executed, or may yet be, for ever.
    Unknown,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Its number, which no other has.
    pub id: u64,
    /// Who asked.
    pub client: u64,
    /// The agent's key.
    pub key: String,
    /// What was asked for.
    pub action: Action,
    /// When it was invoked, in microseconds since the start. Tries before it were refused, and
    /// had no effect.
    pub invoked: u64,
    /// When the first of those tries was made, on the same clock; none where there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_try: Option<u64>,
    /// When the client learned the outcome, on the same clock.
    pub ended: u64,
    /// What the client learned.
    pub outcome: Outcome,
    /// What further tries of the same request were answered, once it had an effect.
    #[serde(default)]
    pub repeats: Vec<Answer>,
}

impl Operation {
    /// The answer, if there was one.
    pub fn answer(&self) -> Option<Answer> {
        match self.outcome {
            Outcome::Answered(answer) => Some(answer),
            Outcome::NotExecuted | Outcome::Unknown => None,
        }
    }

    /// When its client began to try.
    pub fn begun(&self) -> u64 {
        self.first_try.unwrap_or(self.invoked)
    }

    /// Whether it is known to have had an effect.
    pub fn had_effect(&self) -> bool {
        self.answer().is_some_and(|answer| answer.done)
    }
}

/// All operations of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The operations, in the order of their invocation.
    pub operations: Vec<Operation>,
}

impl History {
    /// A history of these operations, which may come in any order.
    pub fn new(mut operations: Vec<Operation>) -> Self {
        operations.sort_by_key(|op| (op.invoked, op.id));
        Self { operations }
    }

    /// Adds all operations of another history with the same start. No two of them may
    /// have the same number.
    pub fn merge(&mut self, other: Self) {
        self.operations.extend(other.operations);
        self.operations.sort_by_key(|op| (op.invoked, op.id));
    }

    /// The operations of every key, in order.
    pub fn by_key(&self) -> BTreeMap<&str, Vec<&Operation>> {
        let mut keys: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
        for op in &self.operations {
            keys.entry(op.key.as_str()).or_default().push(op);
        }
        keys
    }

    /// The operations on one key, in order.
    pub fn of<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Operation> + Clone {
        self.operations.iter().filter(move |op| op.key == key)
    }
}

/// Where an agent keeps which operations it has carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kept {
    /// In its state.
    InState,
    /// In its thread, an entry each.
    InThread,
    /// In both.
    InBoth,
}

/// An entry of a thread that tells of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// The operation.
    pub id: u64,
    /// Its place in the thread.
    pub seq: u64,
    /// The commit that wrote it.
    pub revision: u64,
    /// The epoch under which it was written.
    pub epoch: u64,
}

/// How many operations an agent had carried out as of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The commit.
    pub revision: u64,
    /// How many.
    pub count: usize,
}

/// What an agent has noted of its own life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hook {
    /// It started, under an epoch.
    Started(u64),
    /// It was about to stop, under an epoch.
    Stopping(u64),
}

impl Hook {
    /// The epoch of the activation.
    pub fn epoch(self) -> u64 {
        match self {
            Self::Started(epoch) | Self::Stopping(epoch) => epoch,
        }
    }
}

/// An agent as it is stored in the end: the witness of what was done, in which order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Where its operations are kept.
    pub kept: Kept,
    /// The number that it keeps.
    pub value: i64,
    /// The operations that its state tells of, in order.
    pub applied: Vec<u64>,
    /// Its thread.
    pub thread: Vec<Noted>,
    /// Its commits, in order, where they were observed.
    pub marks: Vec<Mark>,
    /// What it has noted of its own life, in order, where it does.
    #[serde(default)]
    pub hooks: Vec<Hook>,
}

impl Record {
    /// The operations that were carried out, in order.
    pub fn order(&self) -> Vec<u64> {
        match self.kept {
            Kept::InState | Kept::InBoth => self.applied.clone(),
            Kept::InThread => self.thread.iter().map(|noted| noted.id).collect(),
        }
    }
}
