//! What a handler knows about the message it handles.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use crate::{
    Agent, AgentId, Epoch, Error, NewEntry, NodeName, Occurrence, Reminder, ReminderList,
    RequestId, Revision, Schedule, Timestamp, TraceContext, encode_payload,
};

/// How many messages an activation may have [scheduled](Context::schedule) at a time.
pub const MAX_TIMERS: usize = 1_000;

/// The facts of one turn: one message handled by one activation.
///
/// A runtime fills it in before it calls a handler. It is public so that an
/// agent can be tested alone:
///
/// ```
/// use jido_core::*;
///
/// # async fn test<A: Agent>(mut agent: A, message: A::Message) -> Result<(), AgentError> {
/// let id = AgentId::new(
///     ClusterName::new("test")?,
///     ManagerName::new("counters")?,
///     AgentKey::new("counter-1")?,
/// );
/// let turn = Turn {
///     id: &id,
///     node: &NodeName::new("n1")?,
///     epoch: Epoch(1),
///     revision: Revision::ZERO,
///     now: Timestamp(1_700_000_000_000),
///     request: None,
/// };
/// let mut ctx = Context::new(turn);
/// agent.handle(message, &mut ctx).await?;
/// assert!(ctx.into_entries().is_empty());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Turn<'a> {
    /// The agent.
    pub id: &'a AgentId,
    /// The node that it runs on.
    pub node: &'a NodeName,
    /// The epoch of its activation.
    pub epoch: Epoch,
    /// The revision that a commit of this turn will have at the least.
    pub revision: Revision,
    /// The time, read once for the whole turn.
    pub now: Timestamp,
    /// The id of the request, where it has one.
    pub request: Option<RequestId>,
}

/// What a turn left behind besides the state.
#[derive(Debug, Default)]
pub struct Effects {
    /// What it appended.
    pub entries: Vec<NewEntry>,
    /// The agent's reminders from now on, if it set or forgot any.
    pub reminders: Option<ReminderList>,
    /// The messages that it scheduled.
    pub timers: Vec<Timer>,
}

/// A message that an activation sends to itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer {
    /// After how long.
    pub after: Duration,
    /// Encoded.
    pub message: Bytes,
}

/// Handed to a handler with every message: who it is, what it may append, and what it may
/// be reminded of.
pub struct Context<'a> {
    turn: Turn<'a>,
    entries: Vec<NewEntry>,
    reminders: Cow<'a, ReminderList>,
    occurrence: Option<&'a Occurrence>,
    trace: Option<&'a TraceContext>,
    timers: Vec<Timer>,
    /// How many the activation has from before.
    pending: usize,
    /// Whether the journal tells what the agent decides, and nothing else.
    deciding: bool,
}

impl<'a> Context<'a> {
    /// A context for one turn.
    pub fn new(turn: Turn<'a>) -> Self {
        Self {
            turn,
            entries: Vec::new(),
            reminders: Cow::Borrowed(const { &ReminderList::EMPTY }),
            occurrence: None,
            trace: None,
            timers: Vec::new(),
            pending: 0,
            deciding: false,
        }
    }

    /// The reminders that the agent has, and which occurrence of one brought the message.
    #[must_use]
    pub fn with_reminders(
        self,
        reminders: &'a ReminderList,
        occurrence: Option<&'a Occurrence>,
    ) -> Self {
        Self {
            reminders: Cow::Borrowed(reminders),
            occurrence,
            ..self
        }
    }

    /// The trace that the message belongs to.
    #[must_use]
    pub fn with_trace(self, trace: Option<&'a TraceContext>) -> Self {
        Self { trace, ..self }
    }

    /// How many messages the activation has scheduled before.
    #[must_use]
    pub fn with_timers(self, pending: usize) -> Self {
        Self { pending, ..self }
    }

    /// The agent's identity.
    pub fn id(&self) -> &AgentId {
        self.turn.id
    }

    /// The agent's key.
    pub fn key(&self) -> &str {
        self.turn.id.key.as_str()
    }

    /// The node that the agent runs on.
    pub fn node(&self) -> &NodeName {
        self.turn.node
    }

    /// The epoch of this activation: larger for every one of the agent's. With [`id`](Context::id)
    /// it makes a fencing token for what is outside of the agent: who remembers the largest
    /// epoch that came for an id can refuse an activation that another has taken over from. To
    /// tell one effect from another see [`request_id`](Context::request_id).
    pub fn epoch(&self) -> Epoch {
        self.turn.epoch
    }

    /// The revision that a commit of this message will have at the least. Messages that are
    /// handled while a commit is under way share the next one, and have the same here.
    pub fn revision(&self) -> Revision {
        self.turn.revision
    }

    /// The time on the node's wall clock, the same during the whole message.
    pub fn now(&self) -> Timestamp {
        self.turn.now
    }

    /// The id of the request that brought the message; none for reminders
    /// ([`reminder`](Context::reminder) tells them apart), for what an agent scheduled, and in hooks.
    ///
    /// It is the same for every try of a request, also after another node has taken the agent over: with
    /// a number of its own for each effect of one message it makes an idempotency key for effects outside of
    /// the agent, which can happen again where a message was undone, or two activations run at once.
    pub fn request_id(&self) -> Option<RequestId> {
        self.turn.request
    }

    /// The trace that the message belongs to, where it has one: to take along to what is called
    /// outside of the cluster, as `traceparent`. Calls to other agents take it along by themselves.
    pub fn trace(&self) -> Option<&TraceContext> {
        self.trace
    }

    /// Journals an entry. It is committed together with the state, before the
    /// reply leaves, or not at all.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) when the kind is refused
    /// (see [`NewEntry::new`]), [`Encode`](crate::ErrorKind::Encode) when the
    /// payload does not serialize, `InvalidInput` in
    /// [`decide`](crate::EventSourced::decide), whose events are the agent's entries.
    /// Nothing is appended then.
    pub fn append<T: Serialize>(&mut self, kind: &str, payload: &T) -> Result<(), Error> {
        if self.deciding {
            return Err(Error::invalid(
                "an event-sourced agent journals the events that decide returns, and nothing else",
            ));
        }
        let entry = NewEntry::new(kind, self.turn.now, encode_payload(payload)?)?;
        self.entries.push(entry);
        Ok(())
    }

    /// Sets a reminder, in place of the agent's reminder of that name: at each time of its
    /// schedule the agent is sent the message, wherever it is then, also if it was dormant.
    /// Answers when that will be for the first time. `A` is the agent's own type: `ctx.remind::<Self>(..)`.
    ///
    /// It is committed together with the state, as an entry is: where that is only when the agent
    /// hibernates, a crash loses what was set since. Each occurrence is handled
    /// at least once, and applied once: what its message changes and that it has come are one
    /// commit. After `Err` or a panic it is tried again, at growing intervals; what that has done outside of the agent
    /// it does again, so use [`reminder`](Context::reminder) to tell it. It comes a
    /// second or two after it is due when the agent has to be woken. The wall clock counts,
    /// in UTC.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use jido_core::*;
    /// # use serde::{Deserialize, Serialize};
    /// #[derive(Default, Serialize, Deserialize)]
    /// struct Invoice { reminders_sent: u32 }
    ///
    /// #[derive(Serialize, Deserialize)]
    /// enum Message { Issued, Overdue, Paid }
    ///
    /// impl Agent for Invoice {
    ///     const KIND: &'static str = "invoice";
    ///     type Message = Message;
    ///     type Reply = ();
    ///
    ///     async fn handle(&mut self, message: Message, ctx: &mut Context<'_>) -> Result<(), AgentError> {
    ///         match message {
    ///             Message::Issued => {
    ///                 let weekly = Schedule::every(Duration::from_secs(7 * 24 * 3_600));
    ///                 ctx.remind::<Self>("overdue", weekly, &Message::Overdue)?;
    ///             }
    ///             Message::Overdue => self.reminders_sent += 1,
    ///             Message::Paid => { ctx.forget_reminder("overdue"); }
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a schedule that is refused, or beyond
    /// [`MAX_REMINDERS`](crate::MAX_REMINDERS),
    /// [`MAX_REMINDER_NAME_LEN`](crate::MAX_REMINDER_NAME_LEN) or
    /// [`MAX_REMINDER_BYTES`](crate::MAX_REMINDER_BYTES);
    /// [`Encode`](crate::ErrorKind::Encode) when the message does not serialize. The reminders
    /// are then as before.
    pub fn remind<A: Agent>(
        &mut self,
        name: &str,
        schedule: Schedule,
        message: &A::Message,
    ) -> Result<Timestamp, Error> {
        let message = encode_payload(message)?;
        let now = self.turn.now;
        self.reminders.to_mut().set(name, &schedule, message, now)
    }

    /// Drops a reminder with the occurrences that have not been come to yet; answers whether it
    /// was set.
    pub fn forget_reminder(&mut self, name: &str) -> bool {
        let is_set = self.reminders.iter().any(|one| one.name == name);
        is_set && self.reminders.to_mut().forget(name)
    }

    /// The agent's reminders, by name, as this turn has left them so far. The one that brought the
    /// message has gone on to its next occurrence already, or is gone if there is none.
    pub fn reminders(&self) -> impl Iterator<Item = Reminder<'_>> {
        self.reminders.iter()
    }

    /// Which reminder brought the message, and when it was due; none where somebody sent it. The
    /// same occurrence, tried again, is equal to itself.
    pub fn reminder(&self) -> Option<&Occurrence> {
        self.occurrence
    }

    /// Sends the agent a message after a time, unless this turn fails. `A` is the agent's own
    /// type: `ctx.schedule::<Self>(..)`.
    ///
    /// It is kept in memory alone, for what is no loss: it is gone when the node dies, and when
    /// the agent is stopped or moves. Until it has come the agent is not idle, so that it is
    /// neither parked nor hibernates by itself. Nobody gets its reply; `Err` and a panic are
    /// logged, and it does not come again then. Where the commit fails of what it did, it
    /// comes again, at growing intervals of up to a minute. Use [`remind`](Context::remind) for
    /// what must not be lost.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) beyond [`MAX_TIMERS`] at a time,
    /// [`Encode`](crate::ErrorKind::Encode) when the message does not serialize.
    pub fn schedule<A: Agent>(
        &mut self,
        after: Duration,
        message: &A::Message,
    ) -> Result<(), Error> {
        if self.pending + self.timers.len() >= MAX_TIMERS {
            return Err(Error::invalid(format!(
                "agent has {MAX_TIMERS} messages scheduled: that is the limit"
            )));
        }
        let message = encode_payload(message)?;
        self.timers.push(Timer { after, message });
        Ok(())
    }

    /// From here on, or no longer, the journal is for the events that are decided.
    pub(crate) fn set_deciding(&mut self, deciding: bool) {
        self.deciding = deciding;
    }

    /// What was appended during this turn.
    pub fn into_entries(self) -> Vec<NewEntry> {
        self.entries
    }

    /// What this turn left behind, for the runtime to commit.
    pub fn into_effects(self) -> Effects {
        Effects {
            entries: self.entries,
            reminders: match self.reminders {
                Cow::Borrowed(_) => None,
                Cow::Owned(reminders) => Some(reminders),
            },
            timers: self.timers,
        }
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("turn", &self.turn)
            .field("entries", &self.entries.len())
            .finish()
    }
}
