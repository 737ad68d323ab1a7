//! Identities of requests.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Timestamp;

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

    /// When the request was made, if its id tells: that of a UUID of version 7 does
    /// (RFC 9562, section 5.7: milliseconds of Unix time in the first 48 bits).
    pub fn issued_at(self) -> Option<Timestamp> {
        let uuid = Uuid::from_u128(self.client());
        let tells = self.seq == 0 && uuid.get_version_num() == 7;
        tells.then_some(Timestamp(self.client.0 >> 16))
    }
}

/// One try of a request, as it travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestTry {
    /// The request.
    pub id: RequestId,
    /// When its caller made it, on the caller's clock, the same for every try.
    pub issued_at: Timestamp,
    /// Whether no try was made before this one. One that was made later may have been
    /// faster all the same, where a session that was given up still delivers.
    pub first: bool,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_of_version_7_tells_when_it_was_made_and_no_other_id_does() {
        // The example of RFC 9562, appendix A.6.
        let v7: Uuid = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f".parse().unwrap();
        let made = Timestamp(1_645_557_742_000);
        assert_eq!(RequestId::from_uuid(v7).issued_at(), Some(made));
        assert_eq!(RequestId::new(v7.as_u128(), 1).issued_at(), None);
        let v4: Uuid = "919108f7-52d1-4320-9bac-f847db4148a8".parse().unwrap();
        assert_eq!(RequestId::from_uuid(v4).issued_at(), None);
    }
}
