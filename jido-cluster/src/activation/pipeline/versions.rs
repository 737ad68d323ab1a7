//! The reminders that an activation is between, as the pipeline is between states.

use jido_storage::is_planted;

use crate::reminders::Listing;

/// Goes with the state into a commit, but only if it changed.
#[derive(Debug, Default)]
pub(super) struct Versions {
    /// As they are in storage.
    committed: Listing,
    /// As they are after the last message.
    current: Listing,
    /// Whether those wait for a commit.
    changed: bool,
    /// What the commit in flight carries.
    flying: Option<Listing>,
}

impl Versions {
    pub(super) fn new(committed: Listing) -> Self {
        Self {
            current: committed.clone(),
            committed,
            ..Self::default()
        }
    }

    /// Goes on where others were left with nothing in flight. `committed` is none where
    /// nothing had changed.
    pub(super) fn resumed(committed: Option<Listing>, current: Listing) -> Self {
        Self {
            changed: committed.is_some(),
            committed: committed.unwrap_or_else(|| current.clone()),
            current,
            flying: None,
        }
    }

    pub(super) fn current(&self) -> &Listing {
        &self.current
    }

    /// Whether others than those in storage wait for a commit.
    pub(super) fn is_unsaved(&self) -> bool {
        self.changed
    }

    /// Those that are in storage, if others wait for a commit.
    pub(super) fn unsaved(&self) -> Option<Listing> {
        self.changed.then(|| self.committed.clone())
    }

    /// The bytes that wait for a commit.
    pub(super) fn staged_len(&self) -> usize {
        if self.changed { self.current.len() } else { 0 }
    }

    pub(super) fn set(&mut self, listing: Listing) {
        self.current = listing;
        self.changed = true;
    }

    /// What the next commit carries.
    pub(super) fn take(&mut self) -> Option<Listing> {
        self.flying = std::mem::take(&mut self.changed).then(|| self.current.clone());
        self.flying.clone()
    }

    /// The commit in flight is durable.
    pub(super) fn committed(&mut self) {
        if let Some(flying) = self.flying.take() {
            self.committed = flying;
        }
    }

    /// The commit in flight was not made; what it carried waits for the next one.
    pub(super) fn put_back(&mut self) {
        self.changed |= self.flying.take().is_some();
    }

    /// Nothing that waits will be committed.
    pub(super) fn undo(&mut self) {
        self.flying = None;
        self.changed = false;
        if !is_planted!(RemindersNotUndone) {
            self.current = self.committed.clone();
        }
    }
}
