//! Identities of requests.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Names one request of one client, the same for every retry of it.
///
/// A handle numbers its own requests; a caller that has an identity of its own
/// (an idempotency key, a message id) brings it as a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId {
    /// Who asks: a random number of a handle, or the caller's UUID.
    pub client: u128,
    /// Which of the client's requests; 0 for a caller's UUID.
    pub seq: u64,
}

impl RequestId {
    /// The id of a request that the caller names with a UUID of its own.
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self {
            client: uuid.as_u128(),
            seq: 0,
        }
    }
}

impl From<Uuid> for RequestId {
    fn from(uuid: Uuid) -> Self {
        Self::from_uuid(uuid)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", Uuid::from_u128(self.client), self.seq)
    }
}
