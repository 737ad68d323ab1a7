//! The cluster's shared secret.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};

/// The shortest cookie, in bytes, that nodes which listen or dial beyond
/// loopback take.
pub const MIN_COOKIE_LEN: usize = 16;

/// The secret by which the nodes of a cluster know each other: who has it is
/// let in and may do anything. Nothing prints it.
#[derive(Clone)]
pub struct Cookie(Arc<str>);

impl Cookie {
    /// Takes a secret. [`MIN_COOKIE_LEN`] random bytes in hexadecimal are a good
    /// one; shorter ones are for loopback only.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) when it is empty.
    pub fn new(secret: impl Into<String>) -> Result<Self, Error> {
        let secret = secret.into();
        if secret.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, "the cookie is empty"));
        }
        Ok(Self(secret.into()))
    }

    /// The secret itself, for the handshake alone.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is long enough for a network that others share.
    pub(super) fn is_long(&self) -> bool {
        self.0.len() >= MIN_COOKIE_LEN
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookie(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_never_printed() {
        let cookie = Cookie::new("open sesame, please").unwrap();
        assert_eq!(format!("{cookie:?}"), "Cookie(..)");
        assert!(cookie.is_long());
        assert!(!Cookie::new("short").unwrap().is_long());
        assert_eq!(Cookie::new("").unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
