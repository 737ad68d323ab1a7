//! How an ask gets to the node that it is for.

use bytes::{Buf, BufMut, Bytes};

use super::EnvelopeError;
use crate::Incarnation;

const DIRECT: u8 = 0;
const PASS_ON: u8 = 1;
const PASSED_ON: u8 = 2;

/// How an ask gets to the node that it is for: from the asker, or by way of one other node.
/// One that has been passed on has no form in which it could be passed on again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// It is for the receiver, from the sender.
    Direct,
    /// The receiver is to pass it on to this node, with which the sender has no session.
    PassOn {
        /// The node that it is for.
        to: Incarnation,
    },
    /// It is for the receiver, and the sender has passed it on.
    PassedOn {
        /// The node that asks.
        from: Incarnation,
    },
}

impl Route {
    /// How many bytes [`encode`](Route::encode) writes.
    pub(super) fn encoded_len(self) -> usize {
        match self {
            Self::Direct => 1,
            Self::PassOn { .. } | Self::PassedOn { .. } => 1 + size_of::<u128>(),
        }
    }

    pub(super) fn encode(self, out: &mut Vec<u8>) {
        let (byte, node) = match self {
            Self::Direct => return out.put_u8(DIRECT),
            Self::PassOn { to } => (PASS_ON, to),
            Self::PassedOn { from } => (PASSED_ON, from),
        };
        out.put_u8(byte);
        out.put_u128(node.0);
    }

    pub(super) fn decode(bytes: &mut Bytes) -> Result<Self, EnvelopeError> {
        let short = |_| EnvelopeError::Malformed("route cut short");
        let byte = bytes.try_get_u8().map_err(short)?;
        let mut node = || bytes.try_get_u128().map_err(short).map(Incarnation);
        match byte {
            DIRECT => Ok(Self::Direct),
            PASS_ON => Ok(Self::PassOn { to: node()? }),
            PASSED_ON => Ok(Self::PassedOn { from: node()? }),
            _ => Err(EnvelopeError::Malformed("unknown route")),
        }
    }
}
