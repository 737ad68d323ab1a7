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

/// The longest text, in bytes, that tells a peer why there is no reply. A failure may quote whatever it
/// failed on.
const MAX_WHY_LEN: usize = 8 * 1024;

/// A text for a peer, without its end where it is too long.
fn why(text: &str) -> Bytes {
    let cut = &text[..text.floor_char_boundary(MAX_WHY_LEN)];
    Bytes::copy_from_slice(cut.as_bytes())
}

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
        let unsent = scratch::with(|envelope| {
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
        let Some(error) = unsent else {
            return;
        };
        tracing::warn!(%to, %error, "an answer was not sent");
        // What came of the ask is what it was; only a success is told as a failure.
        let (status, code) = match answer.status {
            AnswerStatus::Ok => (AnswerStatus::Failed, error.kind() as u8),
            status => (status, answer.code),
        };
        let unsent = Answer {
            status,
            code,
            payload: why(&error.to_string()),
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
        let why = why(&error.to_string());
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

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use jido_core::Envelope;
    use parking_lot::Mutex;

    use super::*;
    use crate::transport::{Inbox, MAX_ENVELOPE_LEN, Peer};

    const PEER: Incarnation = Incarnation(2);

    /// Keeps what is sent, and refuses what is too large.
    #[derive(Debug, Default)]
    struct Keeper(Mutex<Vec<Bytes>>);

    #[async_trait]
    impl Transport for Keeper {
        async fn start(&self, _: Arc<dyn Inbox>) -> Result<(), Error> {
            Ok(())
        }

        fn address(&self) -> String {
            String::new()
        }

        fn send(&self, _: Incarnation, _: u64, envelope: &[u8]) -> Result<(), SendError> {
            let len = envelope.len();
            if len > MAX_ENVELOPE_LEN {
                return Err(SendError::TooLarge { len });
            }
            self.0.lock().push(Bytes::copy_from_slice(envelope));
            Ok(())
        }

        fn discovered(&self, _: Peer) {}

        fn is_settled(&self) -> bool {
            true
        }

        async fn stop(&self) {}
    }

    /// The one answer that is sent by a port.
    fn answered(give: impl FnOnce(AnswerPort)) -> Answer {
        let keeper = Arc::new(Keeper::default());
        let transport: Arc<dyn Transport> = keeper.clone();
        let mut port = AnswerPort::new(WaysBack::new(&transport).here(), PEER, 5);
        port.begin();
        give(port);
        let sent = std::mem::take(&mut *keeper.0.lock());
        let [envelope] = <[Bytes; 1]>::try_from(sent).unwrap();
        match Envelope::decode(envelope).unwrap() {
            Envelope::Answer(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_answer_that_is_too_large_tells_what_came_of_the_ask_all_the_same() {
        let large = Bytes::from(vec![b'x'; MAX_ENVELOPE_LEN]);
        let not_sent = |answer: &Answer| {
            let why = std::str::from_utf8(&answer.payload).unwrap();
            assert!(why.contains("the reply was not sent"), "{why}");
            assert_eq!(answer.correlation, 5);
        };
        let ok = answered(|port| port.ok(Epoch(3), Revision(4), &large));
        not_sent(&ok);
        assert_eq!(ok.status, AnswerStatus::Failed);
        assert_eq!(ok.executed, Executed::Yes);
        assert_eq!(ok.code, ErrorKind::InvalidInput as u8);

        let refused = answered(|port| port.refused(AnswerStatus::NotOwner, None, large.clone()));
        not_sent(&refused);
        assert_eq!(refused.status, AnswerStatus::NotOwner);
        assert_eq!(refused.executed, Executed::No);

        for executed in [Executed::No, Executed::Maybe, Executed::Yes] {
            let passed = Answer {
                correlation: 9,
                status: AnswerStatus::Failed,
                executed,
                code: ErrorKind::Agent as u8,
                epoch: Epoch::ZERO,
                revision: Revision::ZERO,
                hint: None,
                by: None,
                payload: large.clone(),
            };
            let by = NodeName::new("n3").unwrap();
            let back = answered(|port| port.pass_back(passed, by.clone()));
            not_sent(&back);
            assert_eq!((back.executed, back.by), (executed, Some(by)));
            assert_eq!(back.code, ErrorKind::Agent as u8);
        }
    }

    #[test]
    fn a_long_text_of_a_failure_is_cut_and_its_kind_stays() {
        // Two bytes a letter, after one: the limit is in the middle of a letter.
        let text = format!("x{}", "\u{e9}".repeat(MAX_ENVELOPE_LEN / 2));
        for executed in [Executed::No, Executed::Maybe] {
            let error = Error::new(ErrorKind::Agent, text.clone()).with_executed(executed);
            let answer = answered(|port| port.failed(&error));
            assert_eq!(answer.status, AnswerStatus::Failed);
            assert_eq!(answer.executed, executed);
            assert_eq!(answer.code, ErrorKind::Agent as u8);
            assert_eq!(answer.payload.len(), MAX_WHY_LEN - 1);
            assert!(text.starts_with(std::str::from_utf8(&answer.payload).unwrap()));
        }
        let short = answered(|port| port.failed(&Error::new(ErrorKind::Agent, "no")));
        assert_eq!(short.payload, "no");
    }
}
