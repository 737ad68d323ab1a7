//! An agent that runs, and its errands.

use std::sync::Arc;

use bytes::Bytes;
use jido_core::{
    Agent, AgentId, Checkpoints, Context, Epoch, NewEntry, RequestTry, Revision, Seq, Turn,
    decode_state,
};
use jido_storage::{AppendOutcome, Loaded};
use ractor::ActorCell;
use tokio::sync::oneshot;

use super::answers::Held;
use super::occurrences::Own;
use super::pipeline::Pipeline;
use super::start::prepared;
use super::window::{Forgotten, Window};
use super::{Errand, Start};
use crate::delivery::{Delivery, Refusal};
use crate::error::{Error, ErrorKind};
use crate::reminders::Listing;
use crate::router::Router;

/// What comes after an errand.
pub(super) enum After {
    GoOn,
    End,
}

/// Why an errand was not done.
pub(super) enum Failed {
    /// The activation goes on as before.
    Undone(Refusal),
    /// The activation may not go on.
    Lost(Refusal),
}

pub(super) struct Running<A: Agent> {
    pub(super) router: Arc<Router<A>>,
    pub(super) id: AgentId,
    /// The actor.
    pub(super) me: Option<ActorCell>,
    pub(super) agent: A,
    pub(super) epoch: Epoch,
    pub(super) revision: Revision,
    pub(super) thread_len: Seq,
    /// Whether what it did when it started is not durable yet.
    pub(super) starting: bool,
    /// How much of the thread the last checkpoint covers.
    pub(super) covered: Seq,
    /// How much that of the commit in flight covers; none if it carries none.
    pub(super) covering: Option<Seq>,
    /// How many entries the commit in flight appends.
    pub(super) appending: u64,
    pub(super) pipeline: Pipeline<Held<A>>,
    pub(super) in_flight: Option<oneshot::Receiver<AppendOutcome>>,
    /// The requests that were applied; none where the manager keeps no records of them.
    pub(super) window: Option<Window>,
    /// What the commit in flight drops from the window.
    pub(super) forgetting: Forgotten,
    /// Tries of requests whose effect is on its way to storage.
    pub(super) waiting: Vec<Delivery<A>>,
    /// What it is sent by itself.
    pub(super) own: Own,
    /// Why it can't be put back to the state that it was in, once that was tried: it handles no
    /// further message.
    pub(super) unreadable: Option<Box<Refusal>>,
}

impl<A: Agent> Running<A> {
    /// An agent as it was loaded, with its serialized state and its reminders.
    pub(super) fn loaded(
        start: &Start<A>,
        agent: A,
        state: Bytes,
        reminders: Listing,
        loaded: &Loaded,
    ) -> Self {
        let settings = start.router.settings();
        let record = &loaded.record;
        let window = settings.requests;
        Self {
            window: window.map(|limits| Window::stored(limits, &loaded.requests)),
            pipeline: Pipeline::new(settings.durability, by_entries::<A>(), state)
                .with_reminders(reminders),
            covered: covered(loaded),
            covering: None,
            id: record.id.clone(),
            me: start.me.clone(),
            agent,
            epoch: record.epoch,
            revision: record.revision,
            thread_len: record.thread_len,
            starting: false,
            forgetting: Forgotten::default(),
            waiting: Vec::new(),
            appending: 0,
            in_flight: None,
            own: Own::default(),
            unreadable: None,
            router: start.router.clone(),
        }
    }

    /// Whether nothing is on its way to storage, nobody waits for it, and nothing is
    /// scheduled.
    pub(super) fn is_at_rest(&self) -> bool {
        self.pipeline.is_at_rest() && self.waiting.is_empty() && self.own.timers.is_empty()
    }

    /// Whether as many messages wait for a commit as may.
    pub(super) fn is_crowded(&self) -> bool {
        let waiting = self.pipeline.held_len() + self.waiting.len();
        waiting > 0 && waiting as u64 >= self.router.settings().mailbox_limit
    }

    /// Checks that what a message left behind can be committed: so many bytes of state, its
    /// entries, and as much as is given besides. What has `changed` nothing is in no commit.
    pub(super) fn check_len(
        &self,
        changed: bool,
        state: usize,
        entries: &[NewEntry],
        besides: usize,
    ) -> Result<(), Error> {
        let limit = self.router.settings().max_commit_bytes;
        let entries: usize = entries
            .iter()
            .map(|entry| entry.kind.len() + entry.payload.len())
            .sum();
        let state = match A::CHECKPOINTS {
            Checkpoints::Never => 0,
            Checkpoints::EveryCommit | Checkpoints::Every(_) => state,
        };
        let len = state + entries + besides;
        if len > limit {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "state, entries and reply of the agent have {len} bytes: the limit is {limit}"
                ),
            ));
        }
        if changed && len + self.pipeline.staged_len() > limit {
            return Err(Error::new(
                ErrorKind::Overloaded,
                format!("more waits for the agent's next commit than the {limit} bytes of one"),
            ));
        }
        Ok(())
    }

    /// A panic as an error, of which the manager's supervisor is told.
    pub(super) fn panicked(&self, why: String) -> Error {
        self.router.panicked(self.me.as_ref(), &self.id, why)
    }

    /// Puts the agent back to the state after the last message that went well.
    pub(super) fn restore(&mut self) {
        let read = decode_state(self.pipeline.current()).map_err(Error::from);
        match read.and_then(|agent| prepared(&self.router, self.me.as_ref(), &self.id, Some(agent)))
        {
            Ok(agent) => self.agent = agent,
            // It was serialized by the same code a moment ago: that reads otherwise than it
            // writes, or can't be prepared. What was undone must not be committed with the next
            // message.
            Err(error) => {
                tracing::error!(agent = %self.id, %error, "an agent can't be put back to its own state");
                let refusal = Refusal::Broken(error.kind(), error.to_string().into());
                self.unreadable = Some(Box::new(refusal));
            }
        }
    }

    /// Does something other than handling a message.
    pub(super) async fn errand(&mut self, errand: Errand) -> Result<After, Failed> {
        match errand {
            // Parking is no errand of the agent itself.
            Errand::Activate | Errand::Attach | Errand::Park(_) => Ok(After::GoOn),
            Errand::Hibernate | Errand::Passivate(_) => self.hibernate().await.map(|()| After::End),
            Errand::Settle => match self.flush().await {
                Ok(()) if self.pipeline.is_dirty() => Err(Failed::Undone(Refusal::unsettled(
                    "the state could not be written yet",
                ))),
                Ok(()) => Ok(After::GoOn),
                Err(refusal) => Err(Failed::Lost(refusal)),
            },
            Errand::Delete => self.delete().await.map(|()| After::End),
            Errand::Abandon => {
                let undone = self.pipeline.undo();
                Self::unresolved(undone, "the node may not own agents any more");
                Ok(After::End)
            }
        }
    }
}

/// Whether an agent's entries alone are committed, and tell its state.
pub(super) fn by_entries<A: Agent>() -> bool {
    A::CHECKPOINTS != Checkpoints::EveryCommit
}

/// How much of its thread an agent's stored state covers.
pub(super) fn covered(loaded: &Loaded) -> Seq {
    let checkpoint = loaded.checkpoint.as_ref();
    checkpoint.map_or(Seq::ZERO, |checkpoint| checkpoint.covers)
}

/// What a turn of an agent at a revision is told.
pub(super) fn context<'a, A: Agent>(
    router: &'a Router<A>,
    id: &'a AgentId,
    epoch: Epoch,
    revision: Revision,
    request: Option<RequestTry>,
) -> Context<'a> {
    let core = router.core();
    Context::new(Turn {
        id,
        node: &core.name,
        epoch,
        revision: revision.next(),
        now: core.environment.wall(),
        request: request.map(|request| request.id),
    })
}
