//! What nodes say to each other.
//!
//! An envelope begins with ten bytes that every protocol version keeps: the
//! version, the kind (1 ask, 2 answer, 3 notice) and a correlation number, so
//! that an ask of a version that a node doesn't speak can still be answered. All
//! numbers are big-endian. In version 1 there follow
//!
//! - **ask**: operation `u8`, flags `u8` (1 verify, 2 request, 4 its first try, 8 trace),
//!   route `u8` (0 direct, 1 pass on, 2 passed on), unless it is direct the node that it is for
//!   or from (`u128`), budget in ms `u32`, manager (`u8` length, bytes), key (`u16` length,
//!   bytes), request if flagged (`u128` client, `u64` seq, `u64` when it was made in
//!   ms of Unix time), trace if flagged (`u128` trace id, `u64` parent id, `u8` its flags, state
//!   (`u16` length, bytes)), payload to the end;
//! - **answer**: status `u8`, executed `u8`, code `u8`, flags `u8` (1 hint, 2 passed on), epoch
//!   `u64`, revision `u64`, hint if flagged (`u128`), who gave it if passed on (`u8` length,
//!   bytes), payload to the end;
//! - **notice**: which `u8` (1 leaving, 2 serves, 3 labels, 4 health, 5 took over); after the second, whether it
//!   does `u8` and the manager (`u8` length, bytes); after the third, weight `u32`, zone, region
//!   and version (`u8` length, 0 for none, bytes); after the
//!   fourth, whether it is healthy `u8`.

mod answer;
mod notice;
mod renewal;
mod route;
mod trace;

use bytes::{Buf, BufMut, Bytes};
use thiserror::Error;

use crate::{
    AgentKey, MAX_KEY_LEN, MAX_NAME_LEN, ManagerName, RequestId, RequestTry, Timestamp,
    TraceContext,
};

pub use answer::{Answer, AnswerStatus};
pub use notice::Notice;
pub use renewal::Renewal;
pub use route::Route;

/// The protocol version that this code speaks.
pub const PROTOCOL_VERSION: u8 = 1;

const KIND_ASK: u8 = 1;
const KIND_ANSWER: u8 = 2;
const KIND_NOTICE: u8 = 3;

const ASK_VERIFY: u8 = 1;
const ASK_REQUEST: u8 = 2;
const ASK_FIRST_TRY: u8 = 4;
const ASK_TRACE: u8 = 8;
const ASK_FLAGS: u8 = ASK_VERIFY | ASK_REQUEST | ASK_FIRST_TRY | ASK_TRACE;

/// What an ask wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// Handle a message and answer with its reply.
    Call = 1,
    /// Handle a message; answer as soon as the agent has taken it.
    Cast = 2,
    /// Say whether the agent runs here.
    Lookup = 3,
    /// Run the agent.
    Activate = 4,
    /// Hibernate the agent, if it runs.
    Stop = 5,
    /// Delete the agent with all its records.
    Delete = 6,
    /// Say how many agents of the manager run here.
    Stats = 7,
    /// Make durable, or undo, what the agent has taken so far.
    Settle = 8,
    /// Run the agent, and keep it awake for the asker; the payload is a [`Renewal`].
    Attach = 9,
    /// Keep the agent awake for the asker no longer.
    Detach = 10,
    /// Go on keeping agents awake for the asker; the payload is a [`Renewal`], and so is
    /// the answer's.
    Renew = 11,
    /// Say which agents run here that are placed elsewhere; the payload says which part of them.
    Misplaced = 12,
    /// Hand the agent over to the node that the payload names.
    HandOver = 13,
    /// Look for agents that run elsewhere than they are placed, and move some of them.
    Rebalance = 14,
}

impl Operation {
    fn from_u8(byte: u8) -> Option<Self> {
        [
            Self::Call,
            Self::Cast,
            Self::Lookup,
            Self::Activate,
            Self::Stop,
            Self::Delete,
            Self::Stats,
            Self::Settle,
            Self::Attach,
            Self::Detach,
            Self::Renew,
            Self::Misplaced,
            Self::HandOver,
            Self::Rebalance,
        ]
        .into_iter()
        .find(|op| *op as u8 == byte)
    }

    /// Whether the operation is about one agent, and so carries a key.
    pub fn has_key(self) -> bool {
        !matches!(
            self,
            Self::Stats | Self::Renew | Self::Misplaced | Self::Rebalance
        )
    }
}

/// A request to another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Pairs the answer with the ask; unique among those that the sender has open.
    pub correlation: u64,
    /// What is wanted.
    pub operation: Operation,
    /// Whether the receiver must look at storage rather than at what it remembers
    /// of the agent's owner.
    pub verify: bool,
    /// How it gets to the node that it is for.
    pub route: Route,
    /// How long the asker goes on waiting, in milliseconds from when it was sent.
    pub budget_ms: u32,
    /// The manager that is asked.
    pub manager: ManagerName,
    /// The agent; none for operations on the whole manager.
    pub key: Option<AgentKey>,
    /// The request that this is a try of.
    pub request: Option<RequestTry>,
    /// The trace that it belongs to; without one it takes no byte.
    pub trace: Option<TraceContext>,
    /// The message.
    pub payload: Bytes,
}

/// An envelope of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Envelope {
    /// A request.
    Ask(Ask),
    /// An answer.
    Answer(Answer),
    /// A notice.
    Notice(Notice),
}

/// Why bytes are no envelope that this code reads.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// The bytes are not what they claim to be.
    #[error("malformed envelope: {0}")]
    Malformed(&'static str),
    /// The sender speaks another version. An ask can be answered with
    /// [`AnswerStatus::Incompatible`] under its correlation number.
    #[error("envelope of protocol version {version}, this node speaks {PROTOCOL_VERSION}")]
    Version {
        /// The sender's version.
        version: u8,
        /// The correlation number, when the envelope is an ask.
        ask: Option<u64>,
    },
}

/// What each ask has, in bytes: the prefix, operation and flags, the time, and the lengths of
/// the manager's name and of the key.
const FIXED_LEN: usize = 10 + 2 + 4 + 1 + 2;
/// A request's id, and when it was made.
const REQUEST_LEN: usize = 16 + 8 + 8;

impl Ask {
    /// The envelope.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        self.encode_into(&mut out);
        out.into()
    }

    /// Sets the correlation number of an ask that is written already, for whoever draws it last.
    pub fn correlate(envelope: &mut [u8], correlation: u64) {
        if let Some(place) = envelope.get_mut(CORRELATION) {
            place.copy_from_slice(&correlation.to_be_bytes());
        }
    }

    /// Appends the envelope to `out`. The payload is its end, so that one that is not in
    /// [`payload`](Ask::payload) may be appended after it.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let key = self.key.as_ref().map_or("", AgentKey::as_str);
        let optional = self.route.encoded_len()
            + self.request.map_or(0, |_| REQUEST_LEN)
            + self.trace.as_ref().map_or(0, trace::encoded_len);
        out.reserve(
            FIXED_LEN + optional + self.manager.as_str().len() + key.len() + self.payload.len(),
        );
        prefix(out, KIND_ASK, self.correlation);
        out.put_u8(self.operation as u8);
        let mut flags = 0;
        if self.verify {
            flags |= ASK_VERIFY;
        }
        if let Some(request) = self.request {
            flags |= ASK_REQUEST;
            if request.first {
                flags |= ASK_FIRST_TRY;
            }
        }
        if self.trace.is_some() {
            flags |= ASK_TRACE;
        }
        out.put_u8(flags);
        self.route.encode(out);
        out.put_u32(self.budget_ms);
        // Both lengths fit: names and keys were checked when they were made.
        out.put_u8(self.manager.as_str().len() as u8);
        out.put_slice(self.manager.as_str().as_bytes());
        out.put_u16(key.len() as u16);
        out.put_slice(key.as_bytes());
        if let Some(request) = self.request {
            out.put_u128(request.id.client());
            out.put_u64(request.id.seq());
            out.put_u64(request.issued_at.0);
        }
        if let Some(trace) = &self.trace {
            trace::encode(trace, out);
        }
        out.put_slice(&self.payload);
    }
}

/// Where it stands, after version and kind.
const CORRELATION: std::ops::Range<usize> = 2..10;

fn prefix(out: &mut Vec<u8>, kind: u8, correlation: u64) {
    out.put_u8(PROTOCOL_VERSION);
    out.put_u8(kind);
    out.put_u64(correlation);
}

impl Envelope {
    /// Reads an envelope. Payloads share the memory of `bytes`.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`]: malformed bytes are dropped, an ask of another version
    /// is answered.
    pub fn decode(mut bytes: Bytes) -> Result<Self, EnvelopeError> {
        let short = |_| EnvelopeError::Malformed("cut short");
        let version = bytes.try_get_u8().map_err(short)?;
        let kind = bytes.try_get_u8().map_err(short)?;
        let correlation = bytes.try_get_u64().map_err(short)?;
        if version != PROTOCOL_VERSION {
            return Err(EnvelopeError::Version {
                version,
                ask: (kind == KIND_ASK).then_some(correlation),
            });
        }
        match kind {
            KIND_ASK => decode_ask(correlation, bytes).map(Self::Ask),
            KIND_ANSWER => answer::decode(correlation, bytes).map(Self::Answer),
            KIND_NOTICE => notice::decode(bytes).map(Self::Notice),
            _ => Err(EnvelopeError::Malformed("unknown kind")),
        }
    }
}

fn decode_ask(correlation: u64, mut bytes: Bytes) -> Result<Ask, EnvelopeError> {
    let short = |_| EnvelopeError::Malformed("ask cut short");
    let operation = Operation::from_u8(bytes.try_get_u8().map_err(short)?)
        .ok_or(EnvelopeError::Malformed("unknown operation"))?;
    let flags = known_flags(&mut bytes, ASK_FLAGS)?;
    let route = Route::decode(&mut bytes)?;
    let budget_ms = bytes.try_get_u32().map_err(short)?;
    let manager = manager_name(&mut bytes)?;
    let key_len = usize::from(bytes.try_get_u16().map_err(short)?);
    let key = match (operation.has_key(), key_len) {
        (false, 0) => None,
        (false, _) => return Err(EnvelopeError::Malformed("key where none belongs")),
        (true, _) => Some(agent_key(&mut bytes, key_len)?),
    };
    let request = if flags & ASK_REQUEST == 0 {
        None
    } else {
        let client = bytes.try_get_u128().map_err(short)?;
        let seq = bytes.try_get_u64().map_err(short)?;
        Some(RequestTry {
            id: RequestId::new(client, seq),
            issued_at: Timestamp(bytes.try_get_u64().map_err(short)?),
            first: flags & ASK_FIRST_TRY != 0,
        })
    };
    let trace = match flags & ASK_TRACE {
        0 => None,
        _ => Some(trace::decode(&mut bytes)?),
    };
    Ok(Ask {
        correlation,
        operation,
        verify: flags & ASK_VERIFY != 0,
        route,
        budget_ms,
        manager,
        key,
        request,
        trace,
        payload: bytes,
    })
}

/// A sender that sets another flag means something that would be misread.
fn known_flags(bytes: &mut Bytes, known: u8) -> Result<u8, EnvelopeError> {
    let flags = bytes
        .try_get_u8()
        .map_err(|_| EnvelopeError::Malformed("cut short before the flags"))?;
    match flags & !known {
        0 => Ok(flags),
        _ => Err(EnvelopeError::Malformed("unknown flags")),
    }
}

fn manager_name(bytes: &mut Bytes) -> Result<ManagerName, EnvelopeError> {
    let short = |_| EnvelopeError::Malformed("cut short before a manager's name");
    let len = usize::from(bytes.try_get_u8().map_err(short)?);
    text(bytes, len, MAX_NAME_LEN, |name| {
        ManagerName::new(name).map_err(|_| EnvelopeError::Malformed("bad manager name"))
    })
}

fn agent_key(bytes: &mut Bytes, len: usize) -> Result<AgentKey, EnvelopeError> {
    text(bytes, len, MAX_KEY_LEN, |key| {
        AgentKey::new(key).map_err(|_| EnvelopeError::Malformed("bad agent key"))
    })
}

/// Takes a text off, and reads it where it is.
fn text<T>(
    bytes: &mut Bytes,
    len: usize,
    limit: usize,
    read: impl FnOnce(&str) -> Result<T, EnvelopeError>,
) -> Result<T, EnvelopeError> {
    if len > limit {
        return Err(EnvelopeError::Malformed("a name or key beyond its limit"));
    }
    let Some(text) = bytes.get(..len) else {
        return Err(EnvelopeError::Malformed("cut short within a name or key"));
    };
    let text = std::str::from_utf8(text)
        .map_err(|_| EnvelopeError::Malformed("a name or key that is no UTF-8"))?;
    let value = read(text)?;
    bytes.advance(len);
    Ok(value)
}

#[cfg(test)]
mod tests;
