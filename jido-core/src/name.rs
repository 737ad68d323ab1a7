//! Names of clusters, managers and nodes.

use std::fmt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::Error;

/// The longest name of a cluster, a manager or a node, in bytes.
///
/// Names stand in session names, process groups and storage keys; with room for
/// the rest of those, 128 bytes stay well inside their limits.
pub const MAX_NAME_LEN: usize = 128;

/// Checks what keeps to the rule of names; `what` says what it is.
pub(crate) fn check(what: &str, name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > MAX_NAME_LEN {
        return Err(Error::invalid(format!(
            "{what} has {} bytes: it has 1 to {MAX_NAME_LEN}",
            name.len()
        )));
    }
    match name
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
    {
        Some(c) => Err(Error::invalid(format!(
            "{what} {name:?} has {c:?}: it has ASCII letters, digits, '-', '_' and '.'"
        ))),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(SmolStr);

        impl $name {
            /// Checks and takes a name: 1 to [`MAX_NAME_LEN`] ASCII letters,
            /// digits, `-`, `_` and `.`.
            ///
            /// # Errors
            ///
            /// [`InvalidInput`](crate::ErrorKind::InvalidInput), saying what is
            /// wrong with the name.
            pub fn new(name: impl AsRef<str>) -> Result<Self, Error> {
                let name = name.as_ref();
                check($what, name)?;
                Ok(Self(SmolStr::from(name)))
            }

            /// The name's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(name: String) -> Result<Self, Error> {
                Self::new(name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.to_string()
            }
        }
    };
}

name!(
    /// Names a cluster: agents, sessions and records of differently named
    /// clusters never meet.
    ClusterName,
    "cluster name"
);
name!(
    /// Names a manager: one kind of agent in a cluster, with the same name on
    /// every node.
    ManagerName,
    "manager name"
);
name!(
    /// Names a node. Placement depends on it, so a node keeps its name when it
    /// is restarted; one life of a node is its [`Incarnation`](crate::Incarnation).
    NodeName,
    "node name"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!(NodeName::new("n1.zone-a_b").is_ok());
        for bad in ["", "a/b", "a@b", "ü", "a b", &"x".repeat(MAX_NAME_LEN + 1)] {
            let error = ManagerName::new(bad).unwrap_err().to_string();
            assert!(error.starts_with("manager name"), "{error}");
        }
    }
}
