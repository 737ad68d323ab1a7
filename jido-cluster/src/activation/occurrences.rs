//! What an agent is sent by itself: its reminders that are due, and what it has scheduled.
//!
//! An occurrence's message is handled as any other, with the list of reminders that
//! has gone on already. Both are staged together, so that the occurrence and its effect
//! are one commit, and undone together.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use jido_core::{Agent, DueReminder, Occurrence, ReminderList, Timer, Timestamp, decode_payload};
use jido_storage::is_planted;
use ractor::ActorRef;

use super::ActivationMessage;
use super::running::{Running, context};
use super::timers::{Alarm, Popped, Timers};
use crate::error::Error;
use crate::reminders::Listing;
use crate::telemetry::UNTRACED;

/// How long an occurrence that failed waits before it is tried again: from the first to the
/// second.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How often something failed in a row, and until when it waits. Times are those of
/// `Deadlines`.
#[derive(Debug, Clone, Copy, Default)]
struct Failing {
    times: u32,
    until: Duration,
}

impl Failing {
    /// Counts a failure, unless the wait after the last one is still on: that others fail
    /// meanwhile, which come as often as callers please, makes it no longer.
    fn again(&mut self, now: Duration, jitter: impl FnOnce(Duration) -> Duration) {
        if now < self.until {
            return;
        }
        let doubled = PAUSES.0.saturating_mul(1 << self.times.min(16));
        let pause = doubled.min(PAUSES.1);
        self.times += 1;
        self.until = now + pause + jitter(pause / 4);
    }
}

/// What an activation keeps about what it is sent by itself.
#[derive(Debug, Default)]
pub(super) struct Own {
    pub(super) timers: Timers,
    pub(super) retries: Retries,
    alarm: Alarm,
    /// Whether the last turn was that of a scheduled message.
    scheduled_last: bool,
}

impl Own {
    /// The scheduled message that is due the longest, if one may be tried.
    fn pop(&mut self, now: Duration) -> Option<Popped> {
        // What a commit that failed has undone is due at once.
        (self.retries.all.until <= now)
            .then(|| self.timers.pop(now))
            .flatten()
    }

    /// When the next scheduled message may be tried.
    fn next(&self) -> Option<Duration> {
        self.timers.next().map(|at| at.max(self.retries.all.until))
    }
}

/// Occurrences that failed, to be tried again later.
#[derive(Debug, Default)]
pub(super) struct Retries {
    /// Commits failed: none is tried before.
    all: Failing,
    each: BTreeMap<String, Failing>,
    /// Whether what waited for `all` no longer has to.
    is_eased: bool,
}

impl Retries {
    /// From when on a reminder may be tried.
    fn ready_at(&self, name: &str) -> Duration {
        let each = self.each.get(name).map_or(Duration::ZERO, |one| one.until);
        each.max(self.all.until)
    }

    /// Whether a reminder that failed waits to be tried again. How often it did is known here
    /// alone.
    pub(super) fn is_any_waiting(&self, now: Duration) -> bool {
        self.each.values().any(|one| one.until > now)
    }

    /// A commit went well.
    pub(super) fn committed(&mut self) {
        self.is_eased |= self.all.times > 0;
        self.all = Failing::default();
    }
}

impl<A: Agent> Running<A> {
    /// Handles one of the messages that have come due, if any has; answers whether it did. `now`
    /// is that of `Deadlines`.
    pub(super) async fn wake(&mut self, now: Duration) -> bool {
        self.own.alarm.stale = true;
        // In turns, so that an agent that sends itself one after the other is reminded too.
        if std::mem::take(&mut self.own.scheduled_last) && self.wake_by_reminder(now).await {
            return true;
        }
        self.own.scheduled_last = self.wake_by_timer(now).await;
        self.own.scheduled_last || self.wake_by_reminder(now).await
    }

    async fn wake_by_timer(&mut self, now: Duration) -> bool {
        let Some(popped) = self.own.pop(now) else {
            return false;
        };
        match self.own_turn(&popped.message, None).await {
            // Also one that changed nothing: what it saw, and what it scheduled, may be undone.
            Ok(()) => self.own.timers.handled(popped, self.pipeline.is_dirty()),
            Err(error) => {
                tracing::warn!(agent = %self.id, %error, "a message that an agent scheduled failed");
                self.own.timers.handled(popped, false);
            }
        }
        true
    }

    async fn wake_by_reminder(&mut self, now: Duration) -> bool {
        let wall = self.wall();
        let ready = |name: &str| self.own.retries.ready_at(name) <= now;
        let (name, result) = match self.pipeline.reminders().due(wall, ready) {
            Ok(None) => return false,
            Err((name, error)) => (name, Err(error.into())),
            Ok(Some(DueReminder { name, comes, after })) => {
                let result = match comes {
                    Some((occurrence, message)) => {
                        self.own_turn(&message, Some((&occurrence, after))).await
                    }
                    None => Listing::new(after).map(|after| self.remind(Some(after))),
                };
                (name, result)
            }
        };
        self.router.settings().metrics.reminded(result.is_ok());
        match result {
            Ok(()) => {
                self.own.retries.each.remove(&name);
            }
            Err(error) => {
                tracing::warn!(agent = %self.id, reminder = name, %error, "a reminder failed, and is tried again");
                let environment = &self.router.core().environment;
                let failing = self.own.retries.each.entry(name).or_default();
                failing.again(now, |limit| environment.jitter(limit));
            }
        }
        true
    }

    /// The time by which reminders are due.
    fn wall(&self) -> Timestamp {
        let mut wall = self.router.core().environment.wall();
        if is_planted!(RemindedTooEarly) {
            wall.0 += 1_000;
        }
        wall
    }

    /// Handles a message that nobody waits for. With a reminder's occurrence comes the list of
    /// reminders after it.
    async fn own_turn(
        &mut self,
        message: &[u8],
        reminder: Option<(&Occurrence, ReminderList)>,
    ) -> Result<(), Error> {
        let message = decode_payload(message)?;
        let (list, occurrence) = match &reminder {
            Some((occurrence, after)) => (after, Some(*occurrence)),
            None => (self.pipeline.reminders(), None),
        };
        let mut ctx = context(&self.router, &self.id, self.epoch, self.revision, None)
            .with_reminders(list, occurrence)
            .with_timers(self.own.timers.len());
        let began = self.router.core().deadlines.now();
        let trace = UNTRACED.handle(self.router.whose(self.id.key.as_str()));
        let handling = AssertUnwindSafe(self.agent.handle(message, &mut ctx));
        let ended = trace.handling(handling.catch_unwind()).await;
        self.told(&ended, &trace, began);
        let mut effects = ctx.into_effects();
        if let Some((_, after)) = reminder {
            effects.reminders.get_or_insert(after);
        }
        let ended = ended.map(|handled| handled.map(drop));
        self.end_alone(ended, effects, "handle")
    }

    /// The reminders that a message has left behind, if they are others than before.
    pub(super) fn changed_reminders(
        &self,
        reminders: Option<ReminderList>,
    ) -> Result<Option<Listing>, Error> {
        let changed = reminders.filter(|list| list != self.pipeline.reminders());
        changed.map(Listing::new).transpose()
    }

    /// Takes in the reminders that a message has changed, before its state.
    pub(super) fn remind(&mut self, reminders: Option<Listing>) {
        if let Some(reminders) = reminders {
            self.pipeline.remind(reminders);
            self.own.alarm.stale = true;
        }
    }

    /// Takes in what a message has scheduled, after its state.
    pub(super) fn schedule(&mut self, timers: Vec<Timer>) {
        if !timers.is_empty() {
            let now = self.router.core().deadlines.now();
            self.own.timers.add(now, timers, self.pipeline.is_dirty());
            self.own.alarm.stale = true;
        }
    }

    /// A commit failed, and all that was built on it is undone.
    pub(super) fn undo_own(&mut self) {
        self.own.timers.undo();
        let core = self.router.core();
        let now = core.deadlines.now();
        let environment = &core.environment;
        self.own
            .retries
            .all
            .again(now, |limit| environment.jitter(limit));
        self.own.alarm.stale = true;
    }

    /// Sets the alarm for what is due next.
    pub(super) fn arm(&mut self, myself: &ActorRef<ActivationMessage<A>>) {
        let is_eased = std::mem::take(&mut self.own.retries.is_eased);
        if !std::mem::take(&mut self.own.alarm.stale) && !is_eased {
            return;
        }
        let now = self.router.core().deadlines.now();
        let wall = self.wall().since_unix_epoch();
        let reminders = self.pipeline.reminders().iter().map(|one| {
            let due = now + one.due.since_unix_epoch().saturating_sub(wall);
            due.max(self.own.retries.ready_at(one.name))
        });
        let next = reminders.chain(self.own.next()).min();
        let myself = myself.clone();
        self.own.alarm.set(next, now, move || {
            // One that has ended has nothing to be woken for.
            let _ = myself.send_message(ActivationMessage::Wake);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let mut failing = Failing::default();
        let mut pauses = Vec::new();
        for _ in 0..40 {
            let now = failing.until;
            failing.again(now, |_| Duration::ZERO);
            pauses.push((failing.until - now).as_secs());
        }
        assert_eq!(pauses[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pauses.last(), Some(&60));
    }

    #[test]
    fn what_fails_during_a_wait_makes_it_no_longer() {
        let mut failing = Failing::default();
        let (mut now, mut waits) = (Duration::ZERO, Vec::new());
        for _ in 0..8 {
            failing.again(now, |_| Duration::ZERO);
            let wait = failing.until - now;
            // Callers try in vain.
            for part in 0..30 {
                failing.again(now + wait * part / 30, |_| Duration::ZERO);
            }
            assert_eq!(failing.until, now + wait);
            waits.push(wait.as_secs());
            now = failing.until;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
