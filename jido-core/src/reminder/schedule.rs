//! When a reminder occurs.

use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::Cron;
use croner::errors::CronError;
use croner::parser::CronParser;
use serde::{Deserialize, Serialize};

use crate::{Error, Timestamp};

/// The shortest interval between two occurrences of a reminder.
pub const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// The last time at which a reminder may occur: the end of the year 9999.
pub const LAST_TIME: Timestamp = Timestamp(253_402_300_799_999);

/// How late an occurrence may be before [`Missed::Skip`] drops it.
pub const SKIP_AFTER: Duration = Duration::from_secs(60);

/// The longest pattern of cron that is taken, in bytes.
const MAX_PATTERN_LEN: usize = 256;

/// What becomes of occurrences that passed while nobody could serve them: all nodes were
/// down, storage was away, or the handler failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Missed {
    /// Each of them comes, one after another, the oldest first.
    All,
    /// Of those that are due the latest comes, however late it is; those before it don't.
    #[default]
    Latest,
    /// The same, but one that is later than [`SKIP_AFTER`] doesn't come either.
    Skip,
}

/// When a reminder occurs: once, at intervals, or by a pattern of cron.
///
/// ```
/// use std::time::Duration;
/// use jido_core::{Missed, Schedule, Timestamp};
///
/// let soon = Schedule::after(Duration::from_secs(90));
/// let at_new_year = Schedule::at(Timestamp(1_798_761_600_000)).missed(Missed::Skip);
/// let hourly = Schedule::every(Duration::from_secs(3_600));
/// let mornings = Schedule::cron("30 8 * * MON-FRI").missed(Missed::All);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    first: First,
    repeat: Repeat,
    missed: Missed,
}

/// When a reminder occurs first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    At(Timestamp),
    After(Duration),
    /// At the first point of a grid that the time has not passed yet.
    Grid(Timestamp),
    /// As its pattern says.
    Pattern,
}

/// How a reminder goes on after an occurrence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Repeat {
    Once,
    /// Milliseconds.
    Every(u64),
    Cron(String),
}

impl Schedule {
    fn new(first: First, repeat: Repeat) -> Self {
        Self {
            first,
            repeat,
            missed: Missed::default(),
        }
    }

    /// Once, at a time of the wall clock, up to [`LAST_TIME`]. One that has passed already is
    /// due at once.
    pub fn at(time: Timestamp) -> Self {
        Self::new(First::At(time), Repeat::Once)
    }

    /// Once, this long after it is set.
    pub fn after(time: Duration) -> Self {
        Self::new(First::After(time), Repeat::Once)
    }

    /// Again and again, the first time one interval after it is set. It does not drift: each
    /// occurrence is due a whole number of intervals after the first, whenever those
    /// between were come to. Intervals are [`MIN_INTERVAL`] or longer, of whole milliseconds.
    pub fn every(interval: Duration) -> Self {
        Self::new(First::After(interval), Repeat::Every(millis(interval)))
    }

    /// Again and again, a whole number of intervals after a time, which may have passed: the
    /// first time at that time, or else as soon as the next interval ends.
    pub fn every_from(anchor: Timestamp, interval: Duration) -> Self {
        Self::new(First::Grid(anchor), Repeat::Every(millis(interval)))
    }

    /// By a pattern of cron, in UTC: minute, hour, day of the month, month, day of the week,
    /// optionally seconds before them, or a name such as `@daily`. It is checked when
    /// the reminder is set. Up to 256 bytes.
    pub fn cron(pattern: impl Into<String>) -> Self {
        Self::new(First::Pattern, Repeat::Cron(pattern.into()))
    }

    /// What becomes of missed occurrences: [`Missed::Latest`] unless it is said here.
    #[must_use]
    pub fn missed(self, missed: Missed) -> Self {
        Self { missed, ..self }
    }

    pub(super) fn on_missed(&self) -> Missed {
        self.missed
    }

    /// When it occurs first, and how it goes on.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for what is refused, with the
    /// limit.
    pub(super) fn begin(&self, now: Timestamp) -> Result<(Timestamp, Repeat), Error> {
        if let Repeat::Every(interval) = self.repeat
            && interval < millis(MIN_INTERVAL)
        {
            return Err(Error::invalid(format!(
                "interval of a reminder is {interval} ms: it is at least {MIN_INTERVAL:?}"
            )));
        }
        let first = match self.first {
            First::At(time) => Some(time),
            First::After(time) => later(now, millis(time)),
            First::Grid(anchor) if anchor >= now => Some(anchor),
            First::Grid(anchor) => {
                self.repeat
                    .latest(anchor, now)?
                    .and_then(|latest| match latest == now {
                        true => Some(now),
                        false => self.repeat.after(latest).ok().flatten(),
                    })
            }
            First::Pattern => self.repeat.after(now)?,
        };
        match first {
            Some(first) if first <= LAST_TIME => Ok((first, self.repeat.clone())),
            _ => Err(Error::invalid(
                "a reminder would never occur, or only after the year 9999",
            )),
        }
    }
}

impl Repeat {
    /// The occurrence after one, if there is one.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) when a pattern can't be read.
    pub(super) fn after(&self, due: Timestamp) -> Result<Option<Timestamp>, Error> {
        let next = match self {
            Self::Once => None,
            Self::Every(interval) => later(due, (*interval).max(1)),
            Self::Cron(pattern) => find(pattern, due, |cron, at| {
                cron.find_next_occurrence(at, false)
            })?,
        };
        Ok(next.filter(|next| *next > due && *next <= LAST_TIME))
    }

    /// The last occurrence up to now, `due` being one; none if that is yet to come.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) when a pattern can't be read.
    pub(super) fn latest(
        &self,
        due: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Error> {
        let now = now.min(LAST_TIME);
        if due > now {
            return Ok(None);
        }
        let latest = match self {
            Self::Once => due,
            Self::Every(interval) => {
                let passed = now.0 - due.0;
                Timestamp(due.0 + (passed - passed % (*interval).max(1)))
            }
            Self::Cron(pattern) => find(pattern, now, |cron, at| {
                cron.find_previous_occurrence(at, true)
            })?
            .map_or(due, |latest| latest.max(due)),
        };
        Ok(Some(latest))
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Once | Self::Every(_) => 0,
            Self::Cron(pattern) => pattern.len(),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn later(at: Timestamp, by: u64) -> Option<Timestamp> {
    at.0.checked_add(by).map(Timestamp)
}

/// Searches from a time for one that a pattern matches; none if there is none.
fn find(
    pattern: &str,
    from: Timestamp,
    search: impl FnOnce(&Cron, &DateTime<Utc>) -> Result<DateTime<Utc>, CronError>,
) -> Result<Option<Timestamp>, Error> {
    if pattern.len() > MAX_PATTERN_LEN {
        return Err(Error::invalid(format!(
            "cron pattern has {} bytes: the limit is {MAX_PATTERN_LEN}",
            pattern.len()
        )));
    }
    let cron = CronParser::new().parse(pattern).map_err(|cause| {
        Error::invalid(format!("cron pattern {pattern:?} is refused: {cause}")).caused_by(cause)
    })?;
    // Patterns know no less than seconds.
    let seconds = i64::try_from(from.0 / 1_000).ok();
    let Some(from) = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0)) else {
        return Ok(None);
    };
    // What is not found within thousands of years never comes.
    let found = search(&cron, &from).ok();
    Ok(found
        .and_then(|found| u64::try_from(found.timestamp_millis()).ok())
        .map(Timestamp))
}
