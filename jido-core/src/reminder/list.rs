//! The reminders of one agent, and what the time makes of them.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::schedule::{Missed, Repeat, SKIP_AFTER, Schedule};
use super::{Occurrence, Reminder};
use crate::{Error, ErrorKind, Timestamp, decode_payload, encode_payload};

/// How many reminders an agent may have.
pub const MAX_REMINDERS: usize = 100;

/// The longest name of a reminder, in bytes.
pub const MAX_REMINDER_NAME_LEN: usize = 128;

/// How many bytes the names, messages and patterns of an agent's reminders may have together.
pub const MAX_REMINDER_BYTES: usize = 64 * 1024;

/// Begins a list that is stored: its form, of which there may be others one day.
const FORMAT: u8 = 1;

/// The reminders of one agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReminderList {
    reminders: BTreeMap<String, Kept>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// When the next occurrence is due. It grows from occurrence to occurrence, whatever
    /// the clock does.
    due: Timestamp,
    repeat: Repeat,
    missed: Missed,
    /// Encoded, as it was set.
    message: Bytes,
}

/// What is to be done about a reminder that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueReminder {
    /// The reminder's name.
    pub name: String,
    /// The occurrence that comes, with its encoded message; none where all that were due are
    /// missed, and skipped.
    pub comes: Option<(Occurrence, Bytes)>,
    /// The list from then on, to be committed with what the message does.
    pub after: ReminderList,
}

impl ReminderList {
    /// A list without reminders.
    pub const EMPTY: Self = Self {
        reminders: BTreeMap::new(),
    };

    /// Reads what [`encode`](ReminderList::encode) wrote.
    ///
    /// # Errors
    ///
    /// [`NewerVersion`](ErrorKind::NewerVersion) for a form of list that this code does not
    /// know, [`Corrupt`](ErrorKind::Corrupt) for bytes that are no list.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        match bytes.split_first() {
            None => Ok(Self::default()),
            Some((&FORMAT, list)) => Ok(Self {
                reminders: decode_payload(list)?,
            }),
            Some((format, _)) => Err(Error::new(
                ErrorKind::NewerVersion,
                format!("list of reminders has format {format}: this code reads {FORMAT}"),
            )),
        }
    }

    /// Writes the list; nothing where there is no reminder.
    ///
    /// # Errors
    ///
    /// [`Encode`](ErrorKind::Encode) when it does not serialize.
    pub fn encode(&self) -> Result<Bytes, Error> {
        if self.is_empty() {
            return Ok(Bytes::new());
        }
        let list = encode_payload(&self.reminders)?;
        Ok(Bytes::from([&[FORMAT], &*list].concat()))
    }

    /// Whether there is no reminder.
    pub fn is_empty(&self) -> bool {
        self.reminders.is_empty()
    }

    /// The reminders, by name.
    pub fn iter(&self) -> impl Iterator<Item = Reminder<'_>> {
        self.reminders.iter().map(|(name, kept)| Reminder {
            name,
            due: kept.due,
            repeats: kept.repeat != Repeat::Once,
        })
    }

    /// Sets a reminder, in place of the one of that name; answers when it is due first.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a schedule, a name or a size that is
    /// refused, with the limit. Nothing is changed then.
    pub fn set(
        &mut self,
        name: &str,
        schedule: &Schedule,
        message: Bytes,
        now: Timestamp,
    ) -> Result<Timestamp, Error> {
        if name.is_empty() || name.len() > MAX_REMINDER_NAME_LEN {
            return Err(Error::invalid(format!(
                "name of a reminder has {} bytes: it has 1 to {MAX_REMINDER_NAME_LEN}",
                name.len()
            )));
        }
        let (due, repeat) = schedule.begin(now)?;
        let others = || self.reminders.iter().filter(|(other, _)| *other != name);
        let count = others().count() + 1;
        if count > MAX_REMINDERS {
            return Err(Error::invalid(format!(
                "agent would have {count} reminders: the limit is {MAX_REMINDERS}"
            )));
        }
        let kept = Kept {
            due,
            repeat,
            missed: schedule.on_missed(),
            message,
        };
        let len = |name: &str, kept: &Kept| name.len() + kept.message.len() + kept.repeat.len();
        let bytes: usize = others().map(|(name, kept)| len(name, kept)).sum();
        let bytes = bytes + len(name, &kept);
        if bytes > MAX_REMINDER_BYTES {
            return Err(Error::invalid(format!(
                "reminders of the agent would have {bytes} bytes: the limit is {MAX_REMINDER_BYTES}"
            )));
        }
        self.reminders.insert(name.to_owned(), kept);
        Ok(due)
    }

    /// Drops a reminder; answers whether it was set.
    pub fn forget(&mut self, name: &str) -> bool {
        self.reminders.remove(name).is_some()
    }

    /// When the first of them is due; none if there are none.
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.reminders.values().map(|kept| kept.due).min()
    }

    /// What is to be done about the reminder that has been due the longest, of those that
    /// `ready` lets through by name; none if none is due. One at a time: whoever did
    /// that asks the list from then on.
    ///
    /// # Errors
    ///
    /// With the reminder's name, when its pattern can't be read (any more): it stays, and
    /// others are not held up by it if it is let through no longer.
    pub fn due(
        &self,
        now: Timestamp,
        ready: impl Fn(&str) -> bool,
    ) -> Result<Option<DueReminder>, (String, Error)> {
        let due = self
            .reminders
            .iter()
            .filter(|(name, kept)| kept.due <= now && ready(name))
            .min_by_key(|(name, kept)| (kept.due, *name));
        let Some((name, kept)) = due else {
            return Ok(None);
        };
        let (comes, next) = kept.step(now).map_err(|error| (name.clone(), error))?;
        let mut after = self.clone();
        match next {
            Some(due) => {
                let kept = Kept {
                    due,
                    ..kept.clone()
                };
                after.reminders.insert(name.clone(), kept);
            }
            None => {
                after.forget(name);
            }
        }
        let name = name.clone();
        let comes = comes.map(|due| {
            let name = name.clone();
            (Occurrence { name, due }, kept.message.clone())
        });
        Ok(Some(DueReminder { name, comes, after }))
    }
}

impl Kept {
    /// Which occurrence comes, if any, of one that is due, and when the next is.
    fn step(&self, now: Timestamp) -> Result<(Option<Timestamp>, Option<Timestamp>), Error> {
        let comes = match self.missed {
            Missed::All => self.due,
            Missed::Latest | Missed::Skip => self.repeat.latest(self.due, now)?.unwrap_or(self.due),
        };
        let next = self.repeat.after(comes)?;
        let late = now
            .since_unix_epoch()
            .saturating_sub(comes.since_unix_epoch());
        let skipped = self.missed == Missed::Skip && late > SKIP_AFTER;
        Ok(((!skipped).then_some(comes), next))
    }
}
