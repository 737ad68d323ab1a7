//! The way back for an answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use jido_core::{Answer, AnswerStatus, Epoch, Executed, Incarnation, NodeName, Revision};

use super::Exchange;
use crate::error::Error;

/// Answers one ask from a peer, exactly once: whoever drops it unused answers
/// that the ask's agent has stopped.
#[derive(Debug)]
pub(crate) struct AnswerPort {
    exchange: Arc<Exchange>,
    to: Incarnation,
    correlation: u64,
    executed: Executed,
    answered: bool,
}

impl AnswerPort {
    pub(super) fn new(exchange: Arc<Exchange>, to: Incarnation, correlation: u64) -> Self {
        Self {
            exchange,
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

    pub(crate) fn ok(self, epoch: Epoch, revision: Revision, reply: Bytes) {
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

    pub(crate) fn failed(self, error: &Error) {
        let why = Bytes::from(error.to_string());
        let (executed, code) = (error.executed(), error.kind() as u8);
        self.send(
            AnswerStatus::Failed,
            executed,
            code,
            Epoch::ZERO,
            Revision::ZERO,
            None,
            why,
        );
    }

    /// Answers that nothing was executed: the ask belongs elsewhere, or must be
    /// made again.
    pub(crate) fn refused(self, status: AnswerStatus, hint: Option<Incarnation>, why: Bytes) {
        self.send(
            status,
            Executed::No,
            0,
            Epoch::ZERO,
            Revision::ZERO,
            hint,
            why,
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
        self.exchange.send_answer(self.to, correlation, &answer);
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "the fields of an answer, each named once"
    )]
    fn send(
        mut self,
        status: AnswerStatus,
        executed: Executed,
        code: u8,
        epoch: Epoch,
        revision: Revision,
        hint: Option<Incarnation>,
        payload: Bytes,
    ) {
        self.answered = true;
        let correlation = self.correlation;
        self.exchange.send_answer(
            self.to,
            correlation,
            &Answer {
                correlation,
                status,
                executed,
                code,
                epoch,
                revision,
                hint,
                by: None,
                payload,
            },
        );
    }
}

impl Drop for AnswerPort {
    fn drop(&mut self) {
        if !self.answered {
            self.exchange.send_answer(
                self.to,
                self.correlation,
                &Answer {
                    correlation: self.correlation,
                    status: AnswerStatus::Stopped,
                    executed: self.executed,
                    code: 0,
                    epoch: Epoch::ZERO,
                    revision: Revision::ZERO,
                    hint: None,
                    by: None,
                    payload: Bytes::from_static(b"the agent stopped before it answered"),
                },
            );
        }
        self.exchange.unanswered.fetch_sub(1, Ordering::AcqRel);
    }
}
