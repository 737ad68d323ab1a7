//! What an agent does when its activation starts and stops, and what is told of its handlers.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::FutureExt;
use jido_core::{Agent, AgentError, Effects, NewEntry, ReminderList, encode_state};

use super::running::{Running, context};
use crate::error::{Error, ErrorKind};
use crate::reminders::Listing;
use crate::telemetry::{Handled, Text, Trace};

/// How a hook or a message ended: well, with an error, or in a panic.
type Ended = Result<Result<(), AgentError>, Box<dyn Any + Send>>;

impl<A: Agent> Running<A> {
    /// Runs [`Agent::started`].
    pub(super) async fn started(&mut self) -> Result<(), Error> {
        let mut ctx = context(&self.router, &self.id, self.epoch, self.revision, None)
            .with_reminders(self.pipeline.reminders(), None)
            .with_timers(self.own.timers.len());
        let ended = AssertUnwindSafe(self.agent.started(&mut ctx))
            .catch_unwind()
            .await;
        let effects = ctx.into_effects();
        let result = self.end_alone(ended, effects, "started");
        self.starting = self.pipeline.is_dirty();
        result
    }

    /// Runs [`Agent::stopping`]. The agent hibernates however it ends.
    pub(super) async fn stopping(&mut self) {
        let mut ctx = context(&self.router, &self.id, self.epoch, self.revision, None)
            .with_reminders(self.pipeline.reminders(), None)
            .with_timers(self.own.timers.len());
        let ended = AssertUnwindSafe(self.agent.stopping(&mut ctx))
            .catch_unwind()
            .await;
        let effects = ctx.into_effects();
        if let Err(error) = self.end_alone(ended, effects, "stopping") {
            tracing::warn!(agent = %self.id, %error, "an agent's last wish was not kept");
        }
    }

    /// Takes in what a hook left behind, or a message that nobody waits for; or undoes it.
    pub(super) fn end_alone(
        &mut self,
        ended: Ended,
        effects: Effects,
        method: &'static str,
    ) -> Result<(), Error> {
        let Effects {
            entries,
            reminders,
            timers,
        } = effects;
        let mut state = BytesMut::new();
        let result = match ended {
            Ok(Ok(())) => self.check_alone(&entries, reminders, &mut state),
            Ok(Err(error)) => Err(agent_error(&error)),
            Err(panic) => {
                let text = panic_text(panic.as_ref());
                tracing::error!(agent = %self.id, method, panic = text, "an agent panicked by itself");
                Err(self.panicked(format!("the agent's `{method}` panicked: {text}")))
            }
        };
        result
            .map(|reminders| {
                self.remind(reminders);
                self.pipeline.change(&state, entries);
                self.schedule(timers);
            })
            .inspect_err(|_| self.restore())
    }

    /// Serializes the state and checks that it can be committed. Gives the reminders if they
    /// changed.
    fn check_alone(
        &self,
        entries: &[NewEntry],
        reminders: Option<ReminderList>,
        state: &mut BytesMut,
    ) -> Result<Option<Listing>, Error> {
        encode_state(&self.agent, state)?;
        let reminders = self.changed_reminders(reminders)?;
        let reminding = reminders.as_ref().map_or(0, Listing::len);
        let changed = reminders.is_some() || self.pipeline.is_changed_by(state, entries);
        self.check_len(changed, state.len(), entries, reminding)?;
        Ok(reminders)
    }
}

impl<A: Agent> Running<A> {
    /// Counts what became of a message that began at this time, and says so where it is followed.
    pub(super) fn told<R>(
        &self,
        handled: &Result<Result<R, AgentError>, Box<dyn Any + Send>>,
        trace: &Trace,
        began: Duration,
    ) {
        let how = match handled {
            Ok(Ok(_)) => Handled::Ok,
            Ok(Err(_)) => Handled::Failed,
            Err(_) => Handled::Panicked,
        };
        let since = self.router.core().since(began);
        self.router.settings().metrics.handled(how, since);
        trace.ended(how.text());
    }
}

pub(super) fn agent_error(error: &AgentError) -> Error {
    Error::new(ErrorKind::Agent, error.to_string())
}

pub(super) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a text")
}
