//! What an agent does when its activation starts and stops.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use bytes::BytesMut;
use futures_util::FutureExt;
use jido_core::{Agent, AgentError, NewEntry, encode_state};

use super::running::{Running, agent_error, context, panic_text};
use crate::error::{Error, ErrorKind};

/// How a hook ended: well, with an error, or in a panic.
type Ended = Result<Result<(), AgentError>, Box<dyn Any + Send>>;

impl<A: Agent> Running<A> {
    /// Runs [`Agent::started`].
    pub(super) async fn started(&mut self) -> Result<(), Error> {
        let mut ctx = context(&self.router, &self.id, self.epoch, self.revision, None);
        let ended = AssertUnwindSafe(self.agent.started(&mut ctx))
            .catch_unwind()
            .await;
        let entries = ctx.into_entries();
        let result = self.end_hook(ended, entries, "started");
        self.starting = self.pipeline.is_dirty();
        result
    }

    /// Runs [`Agent::stopping`]. The agent hibernates however it ends.
    pub(super) async fn stopping(&mut self) {
        let mut ctx = context(&self.router, &self.id, self.epoch, self.revision, None);
        let ended = AssertUnwindSafe(self.agent.stopping(&mut ctx))
            .catch_unwind()
            .await;
        let entries = ctx.into_entries();
        if let Err(error) = self.end_hook(ended, entries, "stopping") {
            tracing::warn!(agent = %self.id, %error, "an agent's last wish was not kept");
        }
    }

    /// Takes in what a hook left behind, or undoes it.
    fn end_hook(
        &mut self,
        ended: Ended,
        entries: Vec<NewEntry>,
        hook: &'static str,
    ) -> Result<(), Error> {
        let mut state = BytesMut::new();
        let result = match ended {
            Ok(Ok(())) => encode_state(&self.agent, &mut state).map_err(Error::from),
            Ok(Err(error)) => Err(agent_error(&error)),
            Err(panic) => {
                let text = panic_text(panic.as_ref());
                tracing::error!(agent = %self.id, hook, panic = text, "an agent's hook panicked");
                Err(Error::new(
                    ErrorKind::Agent,
                    format!("the agent's hook `{hook}` panicked: {text}"),
                ))
            }
        };
        match result {
            Ok(()) => self.pipeline.change(&state, entries),
            Err(_) => self.restore(),
        }
        result
    }
}
