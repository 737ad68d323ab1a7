//! What goes wrong.

use std::fmt;
use std::str::FromStr;

use super::stage::Store;

/// One kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FaultKind {
    /// A node, at times two at once, is killed and started again.
    Kill,
    /// A node is paused for longer than its lease, and goes on.
    Pause,
    /// A node is told to end, and started again.
    Terminate,
    /// The Postgres server is shut down in order, and started again.
    PostgresFast,
    /// The Postgres server goes down without a word, as in a crash, and is started again.
    PostgresImmediate,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::Kill,
        Self::Pause,
        Self::Terminate,
        Self::PostgresFast,
        Self::PostgresImmediate,
    ];

    /// Its name, as it is given and printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Terminate => "terminate",
            Self::PostgresFast => "postgres-fast",
            Self::PostgresImmediate => "postgres-immediate",
        }
    }

    /// Whether it can happen with this storage.
    pub fn fits(self, store: Store) -> bool {
        match self {
            Self::Kill | Self::Pause | Self::Terminate => true,
            Self::PostgresFast | Self::PostgresImmediate => store == Store::Postgres,
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FaultKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|kind| kind.name() == text);
        named.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{text:?} is none of {names}")
        })
    }
}
