//! What a node tells another about the agents there that it keeps awake.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{EnvelopeError, agent_key};
use crate::AgentKey;

/// The payload of [`Attach`](super::Operation::Attach), without keys, and of
/// [`Renew`](super::Operation::Renew); the answer to the latter has the same form and
/// lists the agents that were not renewed.
///
/// For how long `u32` in ms, then each key (`u16` length, bytes) to the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// For how long the asker is to be believed, in milliseconds; 0 in an answer.
    pub for_ms: u32,
    /// The agents.
    pub keys: Vec<AgentKey>,
}

impl Renewal {
    /// Writes the payload.
    pub fn encode(&self) -> Bytes {
        let keys = self.keys.iter().map(|key| 2 + key.as_str().len());
        let mut out = BytesMut::with_capacity(4 + keys.sum::<usize>());
        out.put_u32(self.for_ms);
        for key in &self.keys {
            // It fits: keys were checked when they were made.
            out.put_u16(key.as_str().len() as u16);
            out.put_slice(key.as_str().as_bytes());
        }
        out.freeze()
    }

    /// Reads the payload.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError::Malformed`] when the bytes are none: the asker is answered that
    /// they can't be read.
    pub fn decode(mut bytes: Bytes) -> Result<Self, EnvelopeError> {
        let short = |_| EnvelopeError::Malformed("renewal cut short");
        let for_ms = bytes.try_get_u32().map_err(short)?;
        let mut keys = Vec::new();
        while bytes.has_remaining() {
            let len = usize::from(bytes.try_get_u16().map_err(short)?);
            keys.push(agent_key(&mut bytes, len)?);
        }
        Ok(Self { for_ms, keys })
    }
}
