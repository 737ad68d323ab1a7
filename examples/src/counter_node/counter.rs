//! The agent: a counter.

use std::fmt;

use jido_cluster::{Agent, AgentError, Context, Schedule, Timestamp};
use serde::{Deserialize, Serialize};

/// A counter, from 0.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Counter {
    /// The count.
    pub count: i64,
}

/// What a counter is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CounterMessage {
    /// Add this and answer with the count after it.
    Add(i64),
    /// Answer with the count.
    Get,
    /// Add this at a time, once, wherever the counter is then and whether it sleeps; in place
    /// of what was to be added later before.
    AddAt {
        /// When.
        at: Timestamp,
        /// What is added.
        by: i64,
    },
}

/// Why a counter did not add.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The sum is outside of what 64 bits hold.
    Overflow {
        /// The count, which stays as it is.
        count: i64,
        /// What was to be added.
        by: i64,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overflow { count, by } => write!(
                f,
                "by is {by}: added to the count of {count} it leaves the range from {} to {}",
                i64::MIN,
                i64::MAX
            ),
        }
    }
}

impl Agent for Counter {
    const KIND: &'static str = "counter";
    type Message = CounterMessage;
    /// The count, or a refusal by the counter's own rules.
    type Reply = Result<i64, Refusal>;

    async fn handle(
        &mut self,
        message: CounterMessage,
        ctx: &mut Context<'_>,
    ) -> Result<Self::Reply, AgentError> {
        match message {
            CounterMessage::Add(by) => match self.count.checked_add(by) {
                Some(sum) => self.count = sum,
                None => {
                    return Ok(Err(Refusal::Overflow {
                        count: self.count,
                        by,
                    }));
                }
            },
            CounterMessage::Get => {}
            CounterMessage::AddAt { at, by } => {
                ctx.remind::<Self>("add", Schedule::at(at), &CounterMessage::Add(by))?;
            }
        }
        Ok(Ok(self.count))
    }
}
