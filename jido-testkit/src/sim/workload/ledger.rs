//! The agent that is worked on: a number, and the list of what was done to it.

use std::time::Duration;

use jido_cluster::{Agent, AgentError, Context};
use serde::{Deserialize, Serialize};

use crate::history::{Action, Hook, Kept};

/// A number, and the operations that changed it, in order.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// The number.
    pub value: i64,
    /// The operations.
    pub applied: Vec<u64>,
    /// When it has started and was about to stop, if it notes that.
    #[serde(default)]
    pub hooks: Vec<Hook>,
    /// Whether it does.
    #[serde(skip)]
    pub notes_hooks: bool,
}

/// An operation on a ledger.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LedgerMessage {
    /// Its number, which no other has.
    pub id: u64,
    /// What it does.
    pub action: Action,
    /// Where the ledger keeps it.
    pub kept: Kept,
    /// How many milliseconds it takes.
    pub takes: u16,
}

/// What a ledger answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerAnswer {
    /// The number after the operation.
    pub value: i64,
    /// Whether the operation had an effect.
    pub done: bool,
}

impl Agent for Ledger {
    const KIND: &'static str = "ledger";
    type Message = LedgerMessage;
    type Reply = LedgerAnswer;

    async fn started(&mut self, ctx: &mut Context<'_>) -> Result<(), AgentError> {
        if self.notes_hooks {
            self.hooks.push(Hook::Started(ctx.epoch().0));
        }
        Ok(())
    }

    async fn stopping(&mut self, ctx: &mut Context<'_>) -> Result<(), AgentError> {
        if self.notes_hooks {
            self.hooks.push(Hook::Stopping(ctx.epoch().0));
        }
        Ok(())
    }

    async fn handle(
        &mut self,
        message: LedgerMessage,
        ctx: &mut Context<'_>,
    ) -> Result<LedgerAnswer, AgentError> {
        let LedgerMessage {
            id,
            action,
            kept,
            takes,
        } = message;
        if takes > 0 {
            tokio::time::sleep(Duration::from_millis(takes.into())).await;
        }
        let (value, done) = action.apply(self.value);
        self.value = value;
        if (done || action == Action::Fail) && kept != Kept::InThread {
            self.applied.push(id);
        }
        if (done || action == Action::Fail) && kept != Kept::InState {
            ctx.append("operation", &id)?;
        }
        if action == Action::Fail {
            self.value += 1_000_000;
            return Err(AgentError::new("it fails, as it was asked to"));
        }
        Ok(LedgerAnswer { value, done })
    }
}
