//! Keys of agents.

use std::fmt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::Error;

/// The longest key, in bytes of UTF-8.
///
/// Keys travel in every envelope and stand in every storage index, so they are
/// bounded; 1,024 bytes hold a URL or a handful of joined identifiers.
pub const MAX_KEY_LEN: usize = 1024;

/// Names one agent within a manager: 1 to [`MAX_KEY_LEN`] bytes of UTF-8
/// without NUL.
///
/// Two keys are equal when their bytes are. Cloning is cheap; keys of up to 23
/// bytes stand in place, without a trip to the heap.
///
/// ```
/// use jido_core::AgentKey;
///
/// let key = AgentKey::new("room-7")?;
/// assert_eq!(key.as_str(), "room-7");
///
/// // Parts joined by `composite` never collide, whatever they contain.
/// let a = AgentKey::composite(["tenant/1", "user"])?;
/// let b = AgentKey::composite(["tenant", "1/user"])?;
/// assert_ne!(a, b);
/// assert_eq!(a.parts(), ["tenant/1", "user"]);
/// # Ok::<(), jido_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AgentKey(SmolStr);

impl AgentKey {
    /// Checks and takes a key.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) when the key is empty,
    /// longer than [`MAX_KEY_LEN`] bytes, or contains NUL; the message says which.
    pub fn new(key: impl AsRef<str>) -> Result<Self, Error> {
        let key = key.as_ref();
        Self::check(key)?;
        Ok(Self(SmolStr::from(key)))
    }

    /// Checks a key without taking it, for callers that only look one up.
    ///
    /// # Errors
    ///
    /// As [`AgentKey::new`].
    pub fn check(key: &str) -> Result<(), Error> {
        if key.is_empty() {
            return Err(Error::invalid("key is empty: a key has 1 to 1024 bytes"));
        }
        if key.len() > MAX_KEY_LEN {
            return Err(Error::invalid(format!(
                "key is {} bytes long: a key has at most {MAX_KEY_LEN} bytes of UTF-8",
                key.len()
            )));
        }
        if let Some(at) = key.bytes().position(|b| b == 0) {
            return Err(Error::invalid(format!(
                "key has a NUL at byte {at}: NUL is not allowed in keys"
            )));
        }
        Ok(())
    }

    /// Joins parts into one key, so that different lists of parts always give
    /// different keys.
    ///
    /// Parts are joined with `/`; within a part `/` becomes `%2F` and `%`
    /// becomes `%25`. A list of one part without either is that part itself.
    ///
    /// # Errors
    ///
    /// As [`AgentKey::new`], for the joined key; also when there are no parts.
    pub fn composite<P: AsRef<str>>(parts: impl IntoIterator<Item = P>) -> Result<Self, Error> {
        let mut joined = String::new();
        for (i, part) in parts.into_iter().enumerate() {
            if i > 0 {
                joined.push('/');
            }
            for c in part.as_ref().chars() {
                match c {
                    '/' => joined.push_str("%2F"),
                    '%' => joined.push_str("%25"),
                    c => joined.push(c),
                }
            }
        }
        Self::new(joined)
    }

    /// The parts that [`AgentKey::composite`] joined.
    ///
    /// A key that was not made by `composite` splits at its slashes all the same;
    /// a `%` that begins neither escape stands for itself.
    pub fn parts(&self) -> Vec<String> {
        self.0
            .split('/')
            .map(|part| part.replace("%2F", "/").replace("%25", "%"))
            .collect()
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for AgentKey {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for AgentKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl TryFrom<String> for AgentKey {
    type Error = Error;

    fn try_from(key: String) -> Result<Self, Error> {
        Self::check(&key)?;
        Ok(Self(SmolStr::from(key)))
    }
}

impl From<AgentKey> for String {
    fn from(key: AgentKey) -> Self {
        key.0.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use proptest::prelude::*;

    #[test]
    fn refuses_empty_too_long_and_nul_and_says_so() {
        for (key, word) in [
            (String::new(), "empty"),
            ("x".repeat(MAX_KEY_LEN + 1), "1025 bytes"),
            ("é".repeat(513), "1026 bytes"),
            ("a\0b".to_owned(), "NUL at byte 1"),
        ] {
            let error = AgentKey::new(&key).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(word), "{error}");
        }
        assert!(AgentKey::new("x".repeat(MAX_KEY_LEN)).is_ok());
    }

    #[test]
    fn deserializing_checks_too() {
        assert!(serde_json::from_str::<AgentKey>("\"\"").is_err());
        assert_eq!(
            serde_json::from_str::<AgentKey>("\"a\"").unwrap().as_str(),
            "a"
        );
    }

    #[test]
    fn a_composite_of_nothing_is_refused() {
        assert!(AgentKey::composite(Vec::<&str>::new()).is_err());
        assert!(AgentKey::composite([""]).is_err());
    }

    proptest! {
        #[test]
        fn composites_split_into_what_they_were_joined_from(
            parts in proptest::collection::vec("[^\0]{0,12}", 2..6)
        ) {
            let key = AgentKey::composite(&parts).unwrap();
            prop_assert_eq!(key.parts(), parts);
        }

        #[test]
        fn different_parts_give_different_keys(
            a in proptest::collection::vec("[a%/2F5]{0,5}", 1..5),
            b in proptest::collection::vec("[a%/2F5]{0,5}", 1..5),
        ) {
            if let (Ok(x), Ok(y)) = (AgentKey::composite(&a), AgentKey::composite(&b)) {
                prop_assert_eq!(x == y, a == b);
            }
        }
    }
}
