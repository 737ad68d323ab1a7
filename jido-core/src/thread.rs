//! An agent's append-only journal.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Epoch, Error, Revision, Seq, Timestamp};

/// The longest kind of an entry, in bytes.
pub const MAX_ENTRY_KIND_LEN: usize = 128;

/// An entry that is about to be appended to a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// What sort of entry it is, in the agent's own words: 1 to
    /// [`MAX_ENTRY_KIND_LEN`] bytes without NUL.
    pub kind: String,
    /// When it was made.
    pub at: Timestamp,
    /// Its content, as written by [`encode_payload`](crate::encode_payload).
    pub payload: Bytes,
    /// References to things elsewhere (other threads, messages, files), as
    /// names and values.
    pub refs: Vec<(String, String)>,
}

impl NewEntry {
    /// Makes an entry without references.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) when the kind is empty,
    /// longer than [`MAX_ENTRY_KIND_LEN`] bytes, or contains NUL.
    pub fn new(kind: impl Into<String>, at: Timestamp, payload: Bytes) -> Result<Self, Error> {
        let kind = kind.into();
        if kind.is_empty() || kind.len() > MAX_ENTRY_KIND_LEN || kind.contains('\0') {
            return Err(Error::invalid(format!(
                "entry kind {kind:?} is refused: it has 1 to {MAX_ENTRY_KIND_LEN} bytes and no NUL"
            )));
        }
        Ok(Self {
            kind,
            at,
            payload,
            refs: Vec::new(),
        })
    }
}

/// An entry of a thread, as it was committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its place in the thread.
    pub seq: Seq,
    /// The commit that wrote it.
    pub revision: Revision,
    /// The epoch of the activation that wrote it.
    pub epoch: Epoch,
    /// What sort of entry it is.
    pub kind: String,
    /// When it was made.
    pub at: Timestamp,
    /// Its content.
    pub payload: Bytes,
    /// References to things elsewhere, as names and values.
    pub refs: Vec<(String, String)>,
}

impl Entry {
    /// The committed form of a new entry.
    pub fn committed(entry: &NewEntry, seq: Seq, revision: Revision, epoch: Epoch) -> Self {
        Self {
            seq,
            revision,
            epoch,
            kind: entry.kind.clone(),
            at: entry.at,
            payload: entry.payload.clone(),
            refs: entry.refs.clone(),
        }
    }
}
