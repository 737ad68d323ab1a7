//! What an agent has asked to be reminded of.
//!
//! Pure: a list of reminders and the time give what is due, and the list from
//! then on. Whoever keeps the list commits it together with what a reminder's message did,
//! so that each occurrence is applied once.

mod list;
mod schedule;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

pub use list::{
    DueReminder, MAX_REMINDER_BYTES, MAX_REMINDER_NAME_LEN, MAX_REMINDERS, ReminderList,
};
pub use schedule::{LAST_TIME, MIN_INTERVAL, Missed, SKIP_AFTER, Schedule};

/// One occurrence of a reminder. Its name and its time together tell it from every other of
/// the agent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Occurrence {
    /// The reminder's name.
    pub name: String,
    /// When it was due, which is in the past.
    pub due: Timestamp,
}

/// A reminder that is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reminder<'a> {
    /// Its name.
    pub name: &'a str,
    /// When its next occurrence is due; in the past if it has not been come to yet.
    pub due: Timestamp,
    /// Whether others come after that one.
    pub repeats: bool,
}
