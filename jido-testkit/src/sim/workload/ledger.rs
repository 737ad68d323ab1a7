//! The agent that is worked on: a number, and the list of what was done to it. What is
//! to be known of it, and of any other that is worked on in its place.

use std::time::Duration;

use jido_cluster::{Agent, AgentError, Context, Entry, decode_payload};
use jido_core::decode_state;
use serde::{Deserialize, Serialize};

use crate::history::{Action, Hook, Kept, Reminded, Reminding};

/// An agent that can be worked on.
pub(super) trait Worked:
    Agent<Message = LedgerMessage, Reply = LedgerAnswer> + Default
{
    /// Whether it notes its starts and stops, if it can.
    fn note_hooks(&mut self, notes: bool);

    /// Where the agent of a place keeps what was done.
    fn kept(place: usize) -> Kept;

    /// The operation that an entry of its thread tells of; none where it can't be read.
    fn operation(entry: &Entry) -> Option<u64>;

    /// The agent as it is stored: its checkpoint, if there is one, and its whole thread.
    /// None where it can't be read.
    fn read(state: Option<&[u8]>, thread: &[Entry]) -> Option<Ledger>;
}

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
    /// What came of its reminders.
    #[serde(default)]
    pub reminded: Vec<Reminded>,
    /// Whether it notes its starts and stops.
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
    /// Whether the ledger sends it to itself.
    #[serde(default)]
    pub own: bool,
}

impl LedgerMessage {
    /// Takes its time.
    pub(super) async fn take(&self) {
        if self.takes > 0 {
            tokio::time::sleep(Duration::from_millis(self.takes.into())).await;
        }
    }

    /// Why it fails; every second one panics.
    pub(super) fn fail(&self) -> AgentError {
        if self.id.is_multiple_of(8) {
            // As a panic, without a word to the hook.
            std::panic::resume_unwind(Box::new("it panics, as it was asked to"));
        }
        AgentError::new("it fails, as it was asked to")
    }
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
        // A reminder's message is the one that set it.
        if let Some(due) = ctx.reminder().map(|occurrence| occurrence.due.0) {
            return self.is_reminded(&message, due, ctx).await;
        }
        message.take().await;
        if message.own {
            self.reminded.push(Reminded::Echoed { id: message.id });
            return Ok(LedgerAnswer {
                value: self.value,
                done: true,
            });
        }
        let &LedgerMessage {
            id, action, kept, ..
        } = &message;
        match action {
            Action::Remind(what) => {
                let title = Reminding::title(what.name);
                let schedule = what.schedule(ctx.now());
                let first = ctx.remind::<Self>(&title, schedule, &message)?.0;
                self.reminded.push(Reminded::Set {
                    id,
                    what,
                    first,
                    at: ctx.now().0,
                });
            }
            Action::Forget(name) => {
                let was_set = ctx.forget_reminder(&Reminding::title(name));
                self.reminded.push(Reminded::Cancelled {
                    name,
                    was_set,
                    at: ctx.now().0,
                });
            }
            Action::Schedule(after) => {
                let own = LedgerMessage {
                    own: true,
                    ..message.clone()
                };
                ctx.schedule::<Self>(Duration::from_millis(after.into()), &own)?;
                self.reminded.push(Reminded::Scheduled { id });
            }
            _ => {}
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
            return Err(message.fail());
        }
        Ok(LedgerAnswer { value, done })
    }
}

impl Worked for Ledger {
    fn note_hooks(&mut self, notes: bool) {
        self.notes_hooks = notes;
    }

    fn kept(place: usize) -> Kept {
        super::plan::kept(place)
    }

    fn operation(entry: &Entry) -> Option<u64> {
        decode_payload(&entry.payload).ok()
    }

    fn read(state: Option<&[u8]>, _: &[Entry]) -> Option<Self> {
        decode_state(state?).ok()
    }
}

impl Ledger {
    /// An occurrence of a reminder has come: writes it down, unless it is to fail yet.
    async fn is_reminded(
        &mut self,
        message: &LedgerMessage,
        due: u64,
        ctx: &mut Context<'_>,
    ) -> Result<LedgerAnswer, AgentError> {
        let at = ctx.now().0;
        message.take().await;
        let id = message.id;
        self.reminded.push(Reminded::Came { id, due, at });
        if let Action::Remind(what) = message.action
            // One that comes too early is not to be taken for one that is to fail.
            && at.saturating_sub(due) < what.fails_for.into()
            && at >= due
        {
            return Err(AgentError::new("it fails, as it was asked to"));
        }
        Ok(LedgerAnswer {
            value: self.value,
            done: true,
        })
    }
}
