//! The way back for an answer.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use bytes::Bytes;
use crossbeam_utils::CachePadded;
use jido_core::{Answer, AnswerStatus, Epoch, Executed, Incarnation, NodeName, Revision};

use super::question::Payload;
use super::scratch;
use crate::error::{Error, ErrorKind};
use crate::runtime::{self, SHARDS};
use crate::transport::{SendError, Transport};

/// The ways back of one node, one for each shard. Who has one holds it, and so they tell how many
/// are unanswered.
#[derive(Debug)]
pub(super) struct WaysBack([Arc<CachePadded<Way>>; SHARDS]);

#[derive(Debug)]
struct Way {
    transport: Arc<dyn Transport>,
}

impl WaysBack {
    pub(super) fn new(transport: &Arc<dyn Transport>) -> Self {
        Self(std::array::from_fn(|_| {
            let transport = transport.clone();
            Arc::new(CachePadded::new(Way { transport }))
        }))
    }

    /// The one of this thread.
    pub(super) fn here(&self) -> WayBack {
        WayBack(self.0[runtime::shard()].clone())
    }

    /// How many asks of peers have been taken and not been answered yet.
    pub(super) fn unanswered(&self) -> usize {
        let held = self.0.iter().map(|way| Arc::strong_count(way) - 1);
        let unanswered = held.sum();
        // Whose answers were counted as sent before are sent for whoever reads this.
        fence(Ordering::Acquire);
        unanswered
    }
}

/// The way back of one ask.
#[derive(Debug)]
pub(super) struct WayBack(Arc<CachePadded<Way>>);

impl WayBack {
    /// Sends an answer, with a payload behind its own.
    fn send(&self, to: Incarnation, answer: &Answer, payload: &impl Payload) {
        let lane = answer.correlation;
        let transport = &self.0.transport;
        let why = scratch::with(|envelope| {
            answer.encode_into(envelope);
            if let Err(error) = payload.write(envelope) {
                return Some(Error::from(error));
            }
            match transport.send(to, lane, envelope) {
                // The asker's own exchange answers it when the session ends.
                Ok(()) | Err(SendError::Unreachable) => None,
                Err(error) => Some(Error::new(
                    ErrorKind::InvalidInput,
                    format!("the reply was not sent: {error}"),
                )),
            }
        });
        let Some(why) = why else {
            return;
        };
        tracing::warn!(%to, error = %why, "an answer was not sent");
        let unsent = Answer {
            status: AnswerStatus::Failed,
            executed: Executed::Yes,
            code: why.kind() as u8,
            payload: Bytes::from(why.to_string()),
            ..answer.clone()
        };
        // It fits: and if the session has ended, the asker knows.
        let _ = transport.send(to, lane, &unsent.encode());
    }
}

/// Answers one ask from a peer, exactly once: whoever drops it unused answers
/// that the ask's agent has stopped.
#[derive(Debug)]
pub(crate) struct AnswerPort {
    way: WayBack,
    to: Incarnation,
    correlation: u64,
    executed: Executed,
    answered: bool,
}

impl AnswerPort {
    pub(super) fn new(way: WayBack, to: Incarnation, correlation: u64) -> Self {
        Self {
            way,
            to,
            correlation,
            executed: Executed::No,
            answered: false,
        }
    }

    /// From here on, an ask that is dropped may have been executed.
    pub(crate) fn begin(&mut self) {
        self.executed = Executed::Maybe;
    }

    /// Answers with a reply. Should that not serialize, or be too large, the answer tells of it.
    pub(crate) fn ok(mut self, epoch: Epoch, revision: Revision, reply: &impl Payload) {
        self.send(
            AnswerStatus::Ok,
            Executed::Yes,
            0,
            epoch,
            revision,
            None,
            reply,
        );
    }

    pub(crate) fn failed(mut self, error: &Error) {
        let why = Bytes::from(error.to_string());
        let (executed, code) = (error.executed(), error.kind() as u8);
        self.send(
            AnswerStatus::Failed,
            executed,
            code,
            Epoch::ZERO,
            Revision::ZERO,
            None,
            &why,
        );
    }

    /// Answers that nothing was executed: the ask belongs elsewhere, or must be
    /// made again.
    pub(crate) fn refused(mut self, status: AnswerStatus, hint: Option<Incarnation>, why: Bytes) {
        self.send(
            status,
            Executed::No,
            0,
            Epoch::ZERO,
            Revision::ZERO,
            hint,
            &why,
        );
    }

    /// Answers as another node has.
    pub(crate) fn pass_back(mut self, answer: Answer, by: NodeName) {
        self.answered = true;
        let correlation = self.correlation;
        let answer = Answer {
            correlation,
            by: Some(by),
            ..answer
        };
        self.way.send(self.to, &answer, &Bytes::new());
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "the fields of an answer, each named once"
    )]
    fn send(
        &mut self,
        status: AnswerStatus,
        executed: Executed,
        code: u8,
        epoch: Epoch,
        revision: Revision,
        hint: Option<Incarnation>,
        payload: &impl Payload,
    ) {
        self.answered = true;
        let answer = Answer {
            correlation: self.correlation,
            status,
            executed,
            code,
            epoch,
            revision,
            hint,
            by: None,
            payload: Bytes::new(),
        };
        self.way.send(self.to, &answer, payload);
    }
}

impl Drop for AnswerPort {
    fn drop(&mut self) {
        if !self.answered {
            self.send(
                AnswerStatus::Stopped,
                self.executed,
                0,
                Epoch::ZERO,
                Revision::ZERO,
                None,
                &Bytes::from_static(b"the agent stopped before it answered"),
            );
        }
    }
}
