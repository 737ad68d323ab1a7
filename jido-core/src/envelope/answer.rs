//! How an ask ends.

use bytes::{Buf, BufMut, Bytes};

use super::{EnvelopeError, KIND_ANSWER, known_flags, prefix, text};
use crate::{Epoch, Executed, Incarnation, MAX_NAME_LEN, NodeName, Revision};

const HINT: u8 = 1;
const PASSED_ON: u8 = 2;
/// What each answer has, in bytes: the prefix, four bytes, epoch and revision.
const FIXED_LEN: usize = 10 + 4 + 8 + 8;

/// How an ask ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum AnswerStatus {
    /// Done; the payload is the reply.
    Ok = 0,
    /// Failed; the code is the failure's kind, the payload says why.
    Failed = 1,
    /// The asked node doesn't own the agent; the hint says who is thought to.
    NotOwner = 2,
    /// Too much is waiting already; try again later.
    Overloaded = 3,
    /// The agent, manager or node is stopping; ask again.
    Stopped = 4,
    /// The asked node can't read the ask: another protocol version, no such
    /// manager, or a message that it doesn't know.
    Incompatible = 5,
    /// The ask was not passed on: the asked node has no session with the node that it is
    /// for either.
    Unreachable = 6,
}

impl AnswerStatus {
    fn from_u8(byte: u8) -> Option<Self> {
        [
            Self::Ok,
            Self::Failed,
            Self::NotOwner,
            Self::Overloaded,
            Self::Stopped,
            Self::Incompatible,
            Self::Unreachable,
        ]
        .into_iter()
        .find(|status| *status as u8 == byte)
    }
}

/// The answer to an [`Ask`](super::Ask).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The ask's correlation number.
    pub correlation: u64,
    /// How it ended.
    pub status: AnswerStatus,
    /// Whether the message's effects took place.
    pub executed: Executed,
    /// The kind of a failure, in the receiver's numbering; 0 where there is none.
    pub code: u8,
    /// The epoch of the activation that answered; 0 where none did.
    pub epoch: Epoch,
    /// The revision that the reply saw.
    pub revision: Revision,
    /// Who is thought to own the agent.
    pub hint: Option<Incarnation>,
    /// The node that gave it, where another has passed it on.
    pub by: Option<NodeName>,
    /// The reply, or a text that says why there is none.
    pub payload: Bytes,
}

impl Answer {
    /// The envelope.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        self.encode_into(&mut out);
        out.into()
    }

    /// Appends the envelope to `out`.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let named = self.hint.map_or(0, |_| size_of::<u128>())
            + self.by.as_ref().map_or(0, |by| 1 + by.as_str().len());
        out.reserve(FIXED_LEN + named + self.payload.len());
        prefix(out, KIND_ANSWER, self.correlation);
        out.put_u8(self.status as u8);
        out.put_u8(match self.executed {
            Executed::No => 0,
            Executed::Maybe => 1,
            Executed::Yes => 2,
        });
        out.put_u8(self.code);
        let hint = if self.hint.is_some() { HINT } else { 0 };
        let passed_on = if self.by.is_some() { PASSED_ON } else { 0 };
        out.put_u8(hint | passed_on);
        out.put_u64(self.epoch.0);
        out.put_u64(self.revision.0);
        if let Some(hint) = self.hint {
            out.put_u128(hint.0);
        }
        if let Some(by) = &self.by {
            // The length fits: names were checked when they were made.
            out.put_u8(by.as_str().len() as u8);
            out.put_slice(by.as_str().as_bytes());
        }
        out.put_slice(&self.payload);
    }
}

pub(super) fn decode(correlation: u64, mut bytes: Bytes) -> Result<Answer, EnvelopeError> {
    let short = |_| EnvelopeError::Malformed("answer cut short");
    let status = AnswerStatus::from_u8(bytes.try_get_u8().map_err(short)?)
        .ok_or(EnvelopeError::Malformed("unknown status"))?;
    let executed = match bytes.try_get_u8().map_err(short)? {
        0 => Executed::No,
        1 => Executed::Maybe,
        2 => Executed::Yes,
        _ => return Err(EnvelopeError::Malformed("unknown outcome")),
    };
    let code = bytes.try_get_u8().map_err(short)?;
    let flags = known_flags(&mut bytes, HINT | PASSED_ON)?;
    let epoch = Epoch(bytes.try_get_u64().map_err(short)?);
    let revision = Revision(bytes.try_get_u64().map_err(short)?);
    let hint = if flags & HINT == 0 {
        None
    } else {
        Some(Incarnation(bytes.try_get_u128().map_err(short)?))
    };
    let by = if flags & PASSED_ON == 0 {
        None
    } else {
        let len = usize::from(bytes.try_get_u8().map_err(short)?);
        let name = text(&mut bytes, len, MAX_NAME_LEN, |name| {
            NodeName::new(name).map_err(|_| EnvelopeError::Malformed("bad node name"))
        });
        Some(name?)
    };
    Ok(Answer {
        correlation,
        status,
        executed,
        code,
        epoch,
        revision,
        hint,
        by,
        payload: bytes,
    })
}
