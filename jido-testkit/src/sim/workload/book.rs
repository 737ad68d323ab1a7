//! The agent that is worked on where agents' threads tell their states: a number, and how
//! many operations have changed it.

use jido_cluster::{AgentError, Context, Entry, EventSourced, Sourced, decode_payload};
use jido_core::decode_state;
use serde::{Deserialize, Serialize};

use super::ledger::{LedgerAnswer, LedgerMessage, Worked};
use crate::history::{Action, Kept};

/// A number, and how many operations have changed it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Book {
    value: i64,
    count: u64,
}

/// An operation that had an effect.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Booked {
    id: u64,
    action: Action,
}

impl EventSourced for Book {
    const KIND: &'static str = "book";
    const CHECKPOINT_EVERY: u64 = 6;
    type Message = LedgerMessage;
    type Event = Booked;
    type Reply = LedgerAnswer;

    async fn decide(
        &self,
        message: LedgerMessage,
        _: &mut Context<'_>,
    ) -> Result<(Vec<Booked>, LedgerAnswer), AgentError> {
        message.take().await;
        let LedgerMessage { id, action, .. } = message;
        if action == Action::Fail {
            return Err(message.fail());
        }
        let (value, done) = action.apply(self.value);
        let events = done.then_some(Booked { id, action });
        Ok((events.into_iter().collect(), LedgerAnswer { value, done }))
    }

    fn apply(&mut self, event: Booked) {
        (self.value, _) = event.action.apply(self.value);
        self.count += 1;
    }
}

impl Worked for Sourced<Book> {
    fn note_hooks(&mut self, _: bool) {}

    fn kept(_: usize) -> Kept {
        Kept::InThread
    }

    fn operation(entry: &Entry) -> Option<u64> {
        let booked = decode_payload::<Booked>(&entry.payload).ok()?;
        Some(booked.id)
    }

    fn read(state: Option<&[u8]>, thread: &[Entry]) -> Option<super::Ledger> {
        let mut book = match state {
            Some(state) => decode_state::<Self>(state).ok()?.0,
            None => Book::default(),
        };
        // From where the checkpoint says, by its own count.
        let known = usize::try_from(book.count).ok()?;
        for entry in thread.iter().skip(known) {
            book.apply(decode_payload(&entry.payload).ok()?);
        }
        Some(super::Ledger {
            value: book.value,
            ..super::Ledger::default()
        })
    }
}
