//! The crate's one error.

use std::error::Error as StdError;
use std::fmt;

/// What the caller of a storage does next. Whatever the kind but
/// [`Unknown`](ErrorKind::Unknown), nothing of what failed was written, or will be.
///
/// An append or delete whose outcome is not known is no error but
/// [`AppendOutcome::Unknown`](crate::AppendOutcome::Unknown). A claim or a call
/// about a node that ends as [`Unavailable`](ErrorKind::Unavailable) may have
/// taken effect, since each of them may simply be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input breaks a rule that the message names: mend it.
    InvalidInput,
    /// The commit is larger than the adapter's limit, which the message gives:
    /// make it smaller.
    TooLarge,
    /// A record can't be read; the message names it. It was left as it is: look
    /// at it before anything writes over it.
    Corrupt,
    /// The data was laid down by another version of the schema: run the version
    /// that the message names, or migrate.
    Schema,
    /// The disk or the map is full: make room, then try again.
    Full,
    /// The storage can't be reached or is shutting down: try again later.
    Unavailable,
    /// More is queued than the adapter takes: try again after a pause.
    Overloaded,
    /// Another owns the agent, which a [`Journal`](crate::Journal) was to write to: a live node,
    /// which the message names, or who has claimed it meanwhile. Send the agent a message
    /// instead, stop it there, or try again later.
    Held,
    /// The [`Journal`](crate::Journal) was closed, or declared dead since nobody renewed its
    /// lease: open a new one.
    Closed,
    /// What a [`Journal`](crate::Journal) was to write may be written, or may yet be: load
    /// the agent with the next call that writes to it, or with a new journal after closing this
    /// one, before going on.
    Unknown,
}

/// An error of a storage: a kind that says what to do, and a message for people.
/// It never holds a connection string or another secret.
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

    /// The same once more, for another caller, without what caused it.
    #[cfg(any(feature = "foundationdb", feature = "lmdb", feature = "postgres"))]
    pub(crate) fn copy(&self) -> Self {
        Self::new(self.kind, &*self.message)
    }

    /// What the caller does next.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same call can succeed later without a change to it.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Full | ErrorKind::Unavailable | ErrorKind::Overloaded | ErrorKind::Held
        )
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
