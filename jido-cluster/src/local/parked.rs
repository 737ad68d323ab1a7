//! An agent whose actor has stopped while its claim is kept.

use bytes::Bytes;
use jido_core::{Epoch, NewEntry, RequestId, Revision, Seq, Timestamp};

use crate::reminders::Listing;

/// What is left in memory of a parked agent: enough to run it again without a trip to
/// storage. There may be millions, so that it is small.
#[derive(Debug)]
pub(crate) struct Parked {
    /// The state after the last message, serialized.
    pub(crate) state: Bytes,
    pub(crate) epoch: Epoch,
    pub(crate) revision: Revision,
    pub(crate) thread_len: Seq,
    /// How much of the thread the last checkpoint covers.
    pub(crate) covered: Seq,
    /// When the agent was used last, in milliseconds of `Deadlines::now`.
    pub(crate) used_ms: u64,
    /// What most parked agents have not.
    pub(crate) rest: Option<Box<Rest>>,
}

/// What a parked agent may have besides.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    /// What waits for hibernation to be committed. Few have that.
    pub(crate) unsaved: Option<Box<Unsaved>>,
    pub(crate) reminders: Listing,
    /// Up to when records of requests may have been dropped, now and when it was loaded.
    pub(crate) floors: (Timestamp, Timestamp),
    /// The requests that it remembers, and when they were made.
    pub(crate) requests: Box<[(RequestId, Timestamp)]>,
}

/// What an agent has changed that is not in storage, where commits wait for
/// hibernation.
#[derive(Debug, Clone)]
pub(crate) struct Unsaved {
    /// The state as it is in storage.
    pub(crate) committed: Bytes,
    pub(crate) entries: Vec<NewEntry>,
    /// The reminders as they are in storage, if others wait.
    pub(crate) reminders: Option<Listing>,
}
