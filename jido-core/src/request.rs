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
    // Two halves rather than a `u128`, whose alignment would make every message that
    // carries an id a third larger.
    client: (u64, u64),
    seq: u64,
}

impl RequestId {
    /// The id of a client's request.
    pub fn new(client: u128, seq: u64) -> Self {
        Self {
            client: ((client >> 64) as u64, client as u64),
            seq,
        }
    }

    /// The id of a request that the caller names with a UUID of its own.
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self::new(uuid.as_u128(), 0)
    }

    /// Who asks: a random number of a handle, or the caller's UUID.
    pub fn client(self) -> u128 {
        u128::from(self.client.0) << 64 | u128::from(self.client.1)
    }

    /// Which of the client's requests; 0 for a caller's UUID.
    pub fn seq(self) -> u64 {
        self.seq
    }
}

impl From<Uuid> for RequestId {
    fn from(uuid: Uuid) -> Self {
        Self::from_uuid(uuid)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", Uuid::from_u128(self.client()), self.seq)
    }
}
