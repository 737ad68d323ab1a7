//! An agent's reminders beside their stored form.

use std::sync::Arc;

use jido_core::{ReminderList, Timestamp};
use jido_storage::Reminders;

use crate::error::Error;

/// A list of reminders, and the same as it is stored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) list: ReminderList,
    pub(crate) stored: Reminders,
}

/// An agent's reminders; none where it has none, as most.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Listing(Option<Arc<Listed>>);

impl Listing {
    /// # Errors
    ///
    /// When the list does not serialize.
    pub(crate) fn new(list: ReminderList) -> Result<Self, Error> {
        if list.is_empty() {
            return Ok(Self(None));
        }
        let stored = Reminders {
            wake_at: list.wake_at(),
            list: list.encode()?,
        };
        Ok(Self(Some(Arc::new(Listed { list, stored }))))
    }

    /// # Errors
    ///
    /// When the list can't be read.
    pub(crate) fn read(stored: &Reminders) -> Result<Self, Error> {
        Self::new(ReminderList::decode(&stored.list)?)
    }

    /// As if all that are due had come.
    pub(crate) fn without_due(self, now: Timestamp) -> Result<Self, Error> {
        let mut list = self.list().clone();
        while let Ok(Some(due)) = list.due(now, |_| true) {
            list = due.after;
        }
        Self::new(list)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn list(&self) -> &ReminderList {
        const NONE: &ReminderList = &ReminderList::EMPTY;
        self.0.as_ref().map_or(NONE, |listed| &listed.list)
    }

    pub(crate) fn stored(&self) -> Reminders {
        let stored = self.0.as_ref().map(|listed| listed.stored.clone());
        stored.unwrap_or_default()
    }

    /// How many bytes they take in a commit.
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |listed| listed.stored.list.len())
    }
}
