//! The crate's one error, and the answer to "was it executed?".

use std::error::Error as StdError;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether the effects of a message took place, as far as its caller can know.
///
/// A caller that gets [`Executed::No`] may send the message again without a
/// second thought. After [`Executed::Maybe`] only a message that is harmless
/// when applied twice, or one sent under the same request id, may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Executed {
    /// Nothing of it happened, and nothing of it will.
    No,
    /// It may have been executed, or may yet be.
    Maybe,
    /// It was executed and its effects are committed; only the answer is lost.
    Yes,
}

impl fmt::Display for Executed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::No => "no",
            Self::Maybe => "maybe",
            Self::Yes => "yes",
        })
    }
}

/// What the caller of a `jido-core` function does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input breaks a rule that the message names. Mend the input.
    InvalidInput,
    /// Stored or received bytes are not what they claim to be. Nothing was
    /// changed; keep the bytes and look at where they come from.
    Corrupt,
    /// The bytes were written by a newer version of the code. Run that version;
    /// the bytes are left alone.
    NewerVersion,
    /// A value could not be serialized. Mend its `Serialize` implementation.
    Encode,
}

/// An error of this crate: a kind that says what to do, and a message for people.
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Makes an error of the given kind with a message for people.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What the caller does next.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("message", &self.message)
            .field("source", &self.source)
            .finish()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|s| s as &(dyn StdError + 'static))
    }
}
