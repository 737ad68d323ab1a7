//! How often storage fails, and for whom.

use serde::{Deserialize, Serialize};

/// What goes wrong between nodes and storage for a while. Each number is the share of
/// operations in a hundred; the four ways to fail together are at most 100.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageFaults {
    /// The node that is concerned; all of them when none is given.
    pub node: Option<String>,
    /// Fail before they take effect, and their caller knows that.
    pub before: u8,
    /// Take effect, and their caller learns no outcome.
    pub after: u8,
    /// Take no effect, and their caller learns no outcome.
    pub lost: u8,
    /// Take effect up to four seconds after their caller has given up on them.
    pub late: u8,
    /// Are under way for up to three seconds before they take effect.
    pub stall: u8,
}

impl StorageFaults {
    /// Storage is away: nothing gets there, and everybody knows that.
    pub fn away() -> Self {
        Self {
            before: 100,
            ..Self::default()
        }
    }

    pub(super) fn concerns(&self, node: &str) -> bool {
        self.node.as_deref().is_none_or(|name| name == node)
    }
}
