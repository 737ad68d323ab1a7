//! Reminders: what an agent is asked to set, and what it writes down of them.

use std::time::Duration;

use jido_core::{Missed, Schedule, Timestamp};
use serde::{Deserialize, Serialize};

/// A reminder that an agent is asked to set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reminding {
    /// Which of the agent's reminders it is, and takes the place of.
    pub name: u8,
    /// When it is due.
    pub when: When,
    /// What becomes of occurrences that are missed.
    pub missed: Missed,
    /// For how many milliseconds after an occurrence was due its message fails.
    pub fails_for: u16,
}

/// When a reminder is due. Times are in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// Once, so long after it is set, or before.
    Once(i32),
    /// Again and again, so long apart.
    Every(u32),
    /// Again and again on a grid, of which one point was so long before it is set.
    Grid {
        /// How far its points are apart.
        every: u32,
        /// How long before.
        ago: u32,
    },
    /// By a pattern of cron: whenever the seconds are a multiple of this, a divisor of 60.
    Seconds(u8),
}

impl Reminding {
    /// Its name.
    pub fn title(name: u8) -> String {
        format!("r{name}")
    }

    /// Its schedule, for one that is set now.
    pub fn schedule(&self, now: Timestamp) -> Schedule {
        let span = |millis: u32| Duration::from_millis(millis.into());
        let schedule = match self.when {
            When::Once(after) => Schedule::at(Timestamp(now.0.saturating_add_signed(after.into()))),
            When::Every(every) => Schedule::every(span(every)),
            When::Grid { every, ago } => {
                let anchor = Timestamp(now.0.saturating_sub(ago.into()));
                Schedule::every_from(anchor, span(every))
            }
            When::Seconds(seconds) => Schedule::cron(format!("*/{seconds} * * * * *")),
        };
        schedule.missed(self.missed)
    }

    /// When it is due first, if it is set at a time.
    pub fn first(&self, at: u64) -> u64 {
        match self.when {
            When::Once(after) => at.saturating_add_signed(after.into()),
            When::Every(every) => at + u64::from(every),
            When::Grid { every, ago } => {
                let (every, ago) = (u64::from(every.max(1)), u64::from(ago));
                at - ago + ago.div_ceil(every) * every
            }
            When::Seconds(_) => {
                let every = self.interval().unwrap_or(1);
                (at / every + 1) * every
            }
        }
    }

    /// How long its occurrences are apart; none if there is but one.
    pub fn interval(&self) -> Option<u64> {
        match self.when {
            When::Once(_) => None,
            When::Every(every) | When::Grid { every, .. } => Some(u64::from(every.max(1))),
            When::Seconds(seconds) => Some(u64::from(seconds.max(1)) * 1_000),
        }
    }
}

/// What an agent writes down of its reminders, and of what it schedules, as part of its
/// state. Times are those of its node's wall clock, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reminded {
    /// It set one.
    Set {
        /// The operation that asked for it.
        id: u64,
        /// Which.
        what: Reminding,
        /// When that is due first, as it was told.
        first: u64,
        /// When it did.
        at: u64,
    },
    /// It cancelled one.
    Cancelled {
        /// Which.
        name: u8,
        /// Whether it had it, as it was told.
        was_set: bool,
        /// When it did.
        at: u64,
    },
    /// An occurrence came.
    Came {
        /// The operation that asked for the reminder.
        id: u64,
        /// When it was due.
        due: u64,
        /// When it came.
        at: u64,
    },
    /// It scheduled a message to itself.
    Scheduled {
        /// The operation that asked for it.
        id: u64,
    },
    /// That message came.
    Echoed {
        /// The operation that asked for it.
        id: u64,
    },
}

#[cfg(test)]
mod tests {
    use jido_core::ReminderList;

    use super::*;

    #[test]
    fn reminders_are_due_first_when_the_agent_is_told_so() {
        let now = 1_767_225_607_300;
        let grid = |every, ago| When::Grid { every, ago };
        for when in [
            When::Once(1_500),
            When::Once(-90_000),
            When::Every(2_500),
            grid(3_000, 0),
            grid(3_000, 6_000),
            grid(3_000, 7_001),
            When::Seconds(1),
            When::Seconds(5),
        ] {
            let what = Reminding {
                name: 0,
                when,
                missed: Missed::Latest,
                fails_for: 0,
            };
            for now in [now, now - 300, now + 699, now + 700] {
                let mut list = ReminderList::default();
                let schedule = what.schedule(Timestamp(now));
                let due = list
                    .set("r0", &schedule, Default::default(), Timestamp(now))
                    .unwrap();
                assert_eq!(due.0, what.first(now), "{when:?} at {now}");
            }
        }
    }
}
