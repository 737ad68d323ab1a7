//! The crate's one error.

use std::error::Error as StdError;
use std::fmt;

use jido_core::Executed;

/// What went wrong, and so what the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was asked for breaks a rule, which the message names.
    InvalidInput,
    /// The machine refused something: a file, a port, a signal, a program. The
    /// message names it.
    Machine,
    /// A program that is needed is not installed. The message says what to install.
    Missing,
    /// The server was given by `DATABASE_URL`, and so is not ours to stop, or to
    /// start with settings.
    NotOurs,
    /// There is no node of that name, or it isn't in a state for what was asked.
    NoSuchNode,
    /// A node or server ended before it was ready. The message holds the end of its log.
    Exited,
    /// The time given ran out before a node or server was ready, or had ended. The message
    /// holds the end of its log.
    TooSlow,
    /// The node answered with an error: see [`Error::status`] and [`Error::code`].
    /// Or a database refused what it was told: the message says why.
    Refused,
    /// No connection to the node came about: nothing was sent.
    Unreachable,
    /// The connection broke or the time ran out with a request under way.
    Interrupted,
    /// The node's answer doesn't keep to its contract.
    Protocol,
    /// What is stored of an agent does not tell the state that was live. The message
    /// says how far.
    Differs,
}

/// An error of this crate: a kind that says what to do, and a text for people.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    executed: Executed,
    retryable: bool,
    answer: Option<Answer>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

struct Answer {
    status: u16,
    code: String,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let (executed, retryable) = match kind {
            ErrorKind::Unreachable => (Executed::No, true),
            ErrorKind::Interrupted => (Executed::Maybe, true),
            ErrorKind::Protocol => (Executed::Maybe, false),
            _ => (Executed::No, false),
        };
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            executed,
            retryable,
            answer: None,
            source: None,
        }))
    }

    pub(crate) fn refused(
        status: u16,
        code: String,
        message: String,
        retryable: bool,
        executed: Executed,
    ) -> Self {
        Self(Box::new(Inner {
            kind: ErrorKind::Refused,
            message,
            executed,
            retryable,
            answer: Some(Answer { status, code }),
            source: None,
        }))
    }

    #[must_use]
    pub(crate) fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether what was asked of a node was executed.
    pub fn executed(&self) -> Executed {
        self.0.executed
    }

    /// Whether the same request can succeed later, or at another node.
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// The HTTP status of a node's answer, if it answered.
    pub fn status(&self) -> Option<u16> {
        self.0.answer.as_ref().map(|answer| answer.status)
    }

    /// The code in a node's answer, if it answered.
    pub fn code(&self) -> Option<&str> {
        self.0.answer.as_ref().map(|answer| answer.code.as_str())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("status", &self.status())
            .field("code", &self.code())
            .field("executed", &self.0.executed)
            .field("retryable", &self.0.retryable)
            .field("message", &format_args!("{}", self.0.message))
            .field("source", &self.0.source)
            .finish()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Answer { status, code }) = &self.0.answer {
            write!(f, "{status} {code}: ")?;
        }
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
