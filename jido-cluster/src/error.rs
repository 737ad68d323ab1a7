//! The crate's one error.

use std::error::Error as StdError;
use std::fmt;

use jido_core::Executed;

/// What the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum ErrorKind {
    /// The input breaks a rule that the message names. Mend it.
    InvalidInput = 1,
    /// The agent's handler answered with an error or panicked; nothing of the
    /// message is kept. What to do is for the agent's rules to say.
    Agent = 2,
    /// The call's time ran out. [`Error::executed`] says whether it may have been
    /// executed.
    Timeout = 3,
    /// The agent's owner can't be reached or isn't settled yet, or its storage is
    /// away: try again later.
    Unavailable = 4,
    /// The session to the owner ended while the call was under way: the message
    /// may have been executed.
    Interrupted = 5,
    /// Too much is waiting already: try again after a pause.
    Overloaded = 6,
    /// This node or manager is shutting down: ask another node.
    Stopped = 7,
    /// The other node doesn't know the message, the manager or the protocol: run
    /// versions that know each other.
    Incompatible = 8,
    /// What is stored of the agent can't be read, or was written by newer code.
    /// It is left as it is.
    Unreadable = 9,
    /// The node can't start with this configuration, or its name is taken.
    Startup = 10,
    /// A retry came after the agent had forgotten which requests of that time it had
    /// applied: the message may have been executed. Look at the agent's state.
    Expired = 11,
}

impl ErrorKind {
    /// How many kinds there are; they are numbered from 1.
    pub(crate) const COUNT: usize = Self::ALL.len();

    pub(crate) const ALL: [Self; 11] = [
        Self::InvalidInput,
        Self::Agent,
        Self::Timeout,
        Self::Unavailable,
        Self::Interrupted,
        Self::Overloaded,
        Self::Stopped,
        Self::Incompatible,
        Self::Unreadable,
        Self::Startup,
        Self::Expired,
    ];

    /// The kind as labels of metrics and fields of spans have it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::Agent => "agent",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Interrupted => "interrupted",
            Self::Overloaded => "overloaded",
            Self::Stopped => "stopped",
            Self::Incompatible => "incompatible",
            Self::Unreadable => "unreadable",
            Self::Startup => "startup",
            Self::Expired => "expired",
        }
    }

    /// The kind that another node numbered so; unknown numbers come from newer
    /// versions.
    pub(crate) fn from_code(code: u8) -> Self {
        Self::ALL
            .into_iter()
            .find(|kind| *kind as u8 == code)
            .unwrap_or(Self::Incompatible)
    }
}

/// An error of this crate: a kind that says what to do, whether the message was
/// executed, and a text for people. It never holds the cookie or another secret.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    executed: Executed,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Makes an error of the given kind; its message was not executed.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            executed: Executed::No,
            message: message.into(),
            source: None,
        }))
    }

    /// Says whether the message was executed.
    #[must_use]
    pub fn with_executed(mut self, executed: Executed) -> Self {
        self.0.executed = executed;
        self
    }

    /// The error of a try, where those before it may have been executed.
    pub(crate) fn at_least(self, executed: Executed) -> Self {
        match self.executed() {
            Executed::No => self.with_executed(executed),
            _ => self,
        }
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What the caller does next.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the message was not executed, may have been, or was.
    pub fn executed(&self) -> Executed {
        self.0.executed
    }

    /// Whether the same call can succeed later without a change to it. Whether it
    /// may be repeated is another question: see [`Error::executed`].
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::Timeout
                | ErrorKind::Unavailable
                | ErrorKind::Interrupted
                | ErrorKind::Overloaded
                | ErrorKind::Stopped
        )
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("executed", &self.0.executed)
            .field("message", &self.0.message)
            .field("source", &self.0.source)
            .finish()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|s| s as &(dyn StdError + 'static))
    }
}

impl From<jido_core::Error> for Error {
    fn from(error: jido_core::Error) -> Self {
        let kind = match error.kind() {
            jido_core::ErrorKind::InvalidInput | jido_core::ErrorKind::Encode => {
                ErrorKind::InvalidInput
            }
            _ => ErrorKind::Unreadable,
        };
        Self::new(kind, error.to_string()).caused_by(error)
    }
}

impl From<jido_storage::Error> for Error {
    fn from(error: jido_storage::Error) -> Self {
        use jido_storage::ErrorKind as Storage;
        let kind = match error.kind() {
            Storage::InvalidInput | Storage::TooLarge => ErrorKind::InvalidInput,
            Storage::Corrupt | Storage::Schema => ErrorKind::Unreadable,
            Storage::Overloaded => ErrorKind::Overloaded,
            _ => ErrorKind::Unavailable,
        };
        let executed = match error.kind() {
            Storage::Unknown => Executed::Maybe,
            _ => Executed::No,
        };
        Self::new(kind, error.to_string())
            .with_executed(executed)
            .caused_by(error)
    }
}
