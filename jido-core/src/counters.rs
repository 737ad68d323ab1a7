//! Small numbers with a meaning: epochs, revisions, places in a thread,
//! incarnations and points in time.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Error;

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The value before the first.
            pub const ZERO: Self = Self(0);

            /// The one after this; the last possible value stays where it is.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter!(
    /// The fencing token of one activation: larger for every claim of the agent,
    /// also across its deletion. 0 means that it was never claimed.
    Epoch
);
counter!(
    /// Counts an agent's commits, one each, whether they wrote entries, a
    /// checkpoint or both. 0 means that nothing was committed yet.
    Revision
);
counter!(
    /// An entry's place in its thread, from 0, without gaps. As a length it
    /// counts entries.
    Seq
);

/// A random 128-bit id of one life of one node process.
///
/// Written and serialized as 32 hexadecimal digits; in formats that aren't read by people
/// as a number of 128 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u128);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for Incarnation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // A sign is taken for one of the digits otherwise.
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Error::invalid("an incarnation has 32 hexadecimal digits"));
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|cause| {
            Error::invalid("an incarnation has 32 hexadecimal digits").caused_by(cause)
        })
    }
}

impl Serialize for Incarnation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u128(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Incarnation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = Cow::<str>::deserialize(deserializer)?;
            text.parse().map_err(D::Error::custom)
        } else {
            u128::deserialize(deserializer).map(Self)
        }
    }
}

/// A point in time on the wall clock, in milliseconds since the Unix epoch.
///
/// Kept for people to read, and what reminders go by; nothing else is decided by it, since wall
/// clocks jump.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The time since the Unix epoch.
    pub fn since_unix_epoch(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incarnations_read_back_as_written() {
        let incarnation = Incarnation(0xab);
        assert_eq!(incarnation.to_string().len(), 32);
        assert_eq!(
            incarnation.to_string().parse::<Incarnation>().unwrap(),
            incarnation
        );
        for bad in [
            "",
            "zz",
            "+00000000000000000000000000000ab",
            &"f".repeat(33),
        ] {
            assert!(bad.parse::<Incarnation>().is_err(), "{bad}");
        }
    }

    #[test]
    fn incarnations_are_text_for_people_and_a_number_for_machines() {
        let incarnation = Incarnation(u128::MAX - 1);
        let text = serde_json::to_string(&incarnation).unwrap();
        assert_eq!(text, format!("\"{incarnation}\""));
        assert_eq!(
            serde_json::from_str::<Incarnation>(&text).unwrap(),
            incarnation
        );
        assert!(serde_json::from_str::<Incarnation>("\"7\"").is_err());
        let bytes = crate::encode_payload(&incarnation).unwrap();
        assert!(bytes.len() <= 18);
        assert_eq!(
            crate::decode_payload::<Incarnation>(&bytes).unwrap(),
            incarnation
        );
    }

    #[test]
    fn counters_do_not_wrap() {
        assert_eq!(Epoch(u64::MAX).next(), Epoch(u64::MAX));
        assert_eq!(Revision::ZERO.next(), Revision(1));
    }
}
