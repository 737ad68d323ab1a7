//! Snapshots of an agent's state.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Seq;

/// A snapshot of an agent's state. It never contains the thread: it says how
/// much of it the state already covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The state, as [`encode_state`](crate::encode_state) writes it: format,
    /// version, MessagePack.
    pub state: Bytes,
    /// The length of the thread that the state covers: entries from this place
    /// on came after it.
    pub covers: Seq,
}
