//! Agents whose thread tells their state.

use std::future::Future;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::agent::Checkpoints;
use crate::{Agent, AgentError, Context, Entry, decode_payload};

/// An agent whose state follows from what has happened to it: [`decide`](EventSourced::decide)
/// says what a message makes happen, [`apply`](EventSourced::apply) folds that into the
/// state, and what happened is kept as entries of the agent's thread.
///
/// A commit writes the events alone, and now and then a checkpoint; when the agent is
/// activated, it is read from its last checkpoint and the events since. [`Sourced`] makes
/// an [`Agent`] of it.
///
/// ```
/// use jido_core::{AgentError, Context, EventSourced};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct Account {
///     balance: u64,
/// }
///
/// #[derive(Serialize, Deserialize)]
/// enum Order {
///     Deposit(u64),
///     Withdraw(u64),
/// }
///
/// #[derive(Serialize, Deserialize)]
/// enum Event {
///     Deposited(u64),
///     Withdrawn(u64),
/// }
///
/// impl EventSourced for Account {
///     const KIND: &'static str = "account";
///     type Message = Order;
///     type Event = Event;
///     type Reply = Result<u64, String>;
///
///     async fn decide(
///         &self,
///         order: Order,
///         _ctx: &mut Context<'_>,
///     ) -> Result<(Vec<Event>, Self::Reply), AgentError> {
///         Ok(match order {
///             Order::Deposit(sum) => (vec![Event::Deposited(sum)], Ok(self.balance + sum)),
///             Order::Withdraw(sum) => match self.balance.checked_sub(sum) {
///                 Some(left) => (vec![Event::Withdrawn(sum)], Ok(left)),
///                 None => (vec![], Err(format!("there are only {}", self.balance))),
///             },
///         })
///     }
///
///     fn apply(&mut self, event: Event) {
///         match event {
///             Event::Deposited(sum) => self.balance += sum,
///             Event::Withdrawn(sum) => self.balance -= sum,
///         }
///     }
/// }
/// ```
pub trait EventSourced: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The kind's name, for errors and telemetry.
    const KIND: &'static str;

    /// The version of the state's shape in checkpoints; see [`Agent::VERSION`].
    const VERSION: u32 = 1;

    /// After how many events a commit carries a checkpoint: so many, and those of one
    /// commit, are read at the most when the agent is activated. 0 for never, and then
    /// all are.
    const CHECKPOINT_EVERY: u64 = 100;

    /// What is sent to the agent.
    type Message: Serialize + DeserializeOwned + Send + 'static;

    /// What happens to it.
    type Event: Serialize + DeserializeOwned + Send + 'static;

    /// What it answers. A refusal by the agent's own rules belongs in here.
    type Reply: Serialize + DeserializeOwned + Send + 'static;

    /// Decides what a message makes happen, in order, and what is answered. Without an
    /// event nothing is committed, but for reminders that it sets or forgets.
    ///
    /// What happens is told by the events alone: [`append`](Context::append) is refused here.
    /// Reminders, and messages that are [scheduled](Context::schedule), are no part of the
    /// state: they are set here, and brought here as any message is, and whether they are to be is
    /// for the state to tell.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use jido_core::*;
    /// # use serde::{Deserialize, Serialize};
    /// #[derive(Default, Serialize, Deserialize)]
    /// struct Invoice { reminded: u32 }
    ///
    /// #[derive(Serialize, Deserialize)]
    /// enum Message { Issued, Overdue, Paid }
    ///
    /// #[derive(Serialize, Deserialize)]
    /// enum Event { Issued, Reminded, Paid }
    ///
    /// impl EventSourced for Invoice {
    ///     const KIND: &'static str = "invoice";
    ///     type Message = Message;
    ///     type Event = Event;
    ///     type Reply = ();
    ///
    ///     async fn decide(
    ///         &self,
    ///         message: Message,
    ///         ctx: &mut Context<'_>,
    ///     ) -> Result<(Vec<Event>, ()), AgentError> {
    ///         let event = match message {
    ///             Message::Issued => {
    ///                 let weekly = Schedule::every(Duration::from_secs(7 * 24 * 3_600));
    ///                 ctx.remind::<Sourced<Self>>("overdue", weekly, &Message::Overdue)?;
    ///                 Event::Issued
    ///             }
    ///             Message::Overdue => Event::Reminded,
    ///             Message::Paid => {
    ///                 ctx.forget_reminder("overdue");
    ///                 Event::Paid
    ///             }
    ///         };
    ///         Ok((vec![event], ()))
    ///     }
    ///
    ///     fn apply(&mut self, event: Event) {
    ///         if let Event::Reminded = event {
    ///             self.reminded += 1;
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// `Err` means that the message failed: nothing happens, and the caller gets the error.
    /// A panic, here or in [`apply`](EventSourced::apply), is treated the same way.
    fn decide(
        &self,
        message: Self::Message,
        ctx: &mut Context<'_>,
    ) -> impl Future<Output = Result<(Vec<Self::Event>, Self::Reply), AgentError>> + Send;

    /// Folds an event into the state. It follows from the two alone: it is done again
    /// whenever the agent is read, so that it refuses nothing, draws nothing and looks at no
    /// clock.
    fn apply(&mut self, event: Self::Event);

    /// What sort of entry an event is kept as: 1 to
    /// [`MAX_ENTRY_KIND_LEN`](crate::MAX_ENTRY_KIND_LEN) bytes without NUL.
    fn event_kind(event: &Self::Event) -> &str {
        let _ = event;
        "event"
    }

    /// Reads an event that was kept as an entry of this kind: for events of older code,
    /// which a field with a default can't bridge.
    ///
    /// # Errors
    ///
    /// An error leaves the thread alone, and the agent can't be activated.
    fn read_event(kind: &str, payload: &[u8]) -> Result<Self::Event, AgentError> {
        let _ = kind;
        Ok(decode_payload(payload)?)
    }

    /// Reads the state of a checkpoint that code with a smaller
    /// [`VERSION`](EventSourced::VERSION) wrote; see [`Agent::migrate`].
    ///
    /// # Errors
    ///
    /// An error leaves the checkpoint alone, and the agent can't be activated.
    fn migrate(version: u32, payload: &[u8]) -> Result<Self, AgentError> {
        let _ = version;
        Ok(decode_payload(payload)?)
    }
}

/// The [`Agent`] that an [`EventSourced`] one is: what a manager of them runs.
///
/// A fresh one is what the manager's `initial` makes, `E::default()` by default, and all
/// events are folded into that: it has to stay the same as long as there are agents without
/// a checkpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sourced<E>(pub E);

impl<E: EventSourced> Agent for Sourced<E> {
    const KIND: &'static str = E::KIND;
    const VERSION: u32 = E::VERSION;
    const CHECKPOINTS: Checkpoints = match E::CHECKPOINT_EVERY {
        0 => Checkpoints::Never,
        entries => Checkpoints::Every(entries),
    };
    type Message = E::Message;
    type Reply = E::Reply;

    async fn handle(
        &mut self,
        message: E::Message,
        ctx: &mut Context<'_>,
    ) -> Result<E::Reply, AgentError> {
        ctx.set_deciding(true);
        let (events, reply) = self.0.decide(message, ctx).await?;
        ctx.set_deciding(false);
        for event in events {
            ctx.append(E::event_kind(&event), &event)?;
            self.0.apply(event);
        }
        Ok(reply)
    }

    fn migrate(version: u32, payload: &[u8]) -> Result<Self, AgentError> {
        E::migrate(version, payload).map(Self)
    }

    fn replay(&mut self, entry: &Entry) -> Result<(), AgentError> {
        self.0.apply(E::read_event(&entry.kind, &entry.payload)?);
        Ok(())
    }
}
