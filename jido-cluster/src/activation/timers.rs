//! What wakes an activation: messages that it has scheduled for itself, and its alarm.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use jido_core::Timer;
use jido_storage::is_planted;

use crate::runtime::OwnedTask;

/// An alarm is set for no longer than this, and then anew, so that a wall clock that jumps
/// is noticed.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// When a message is due, in time of `Deadlines`, and what tells those of one time apart.
type Place = (Duration, u64);

/// The messages that an activation has scheduled. Those of messages whose effects were
/// undone are dropped, as if these had not been handled.
#[derive(Debug, Default)]
pub(super) struct Timers {
    waiting: BTreeMap<Place, Bytes>,
    count: u64,
    /// Those that wait for the next commit, and for the one in flight, to stay.
    staged: BTreeSet<Place>,
    flying: BTreeSet<Place>,
}

impl Timers {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When the next is due.
    pub(super) fn next(&self) -> Option<Duration> {
        self.waiting.keys().next().map(|(at, _)| *at)
    }

    /// Takes in what a message has scheduled. With `staged`, it may be undone yet.
    pub(super) fn add(&mut self, now: Duration, timers: Vec<Timer>, staged: bool) {
        for Timer { after, message } in timers {
            let place = (now.saturating_add(after), self.count);
            self.count += 1;
            self.waiting.insert(place, message);
            if staged {
                self.staged.insert(place);
            }
        }
    }

    /// The message that is due the longest, if one is.
    pub(super) fn pop(&mut self, now: Duration) -> Option<Bytes> {
        let first = self.waiting.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        // There is nothing left of it to undo. An agent that never rests may never commit
        // either, and would note them for ever.
        self.staged.remove(first.key());
        Some(first.remove())
    }

    /// A commit starts.
    pub(super) fn start_commit(&mut self) {
        self.flying = std::mem::take(&mut self.staged);
    }

    /// It went well. Where nothing else is `staged`, nothing can be undone any more.
    pub(super) fn committed(&mut self, staged: bool) {
        self.flying.clear();
        if !staged {
            self.staged.clear();
        }
    }

    /// It did not, and what it carried waits for the next one.
    pub(super) fn put_back(&mut self) {
        self.staged.append(&mut self.flying);
    }

    /// Whatever could be undone is.
    pub(super) fn undo(&mut self) {
        self.put_back();
        if is_planted!(TimersNotUndone) {
            self.staged.clear();
        }
        for place in std::mem::take(&mut self.staged) {
            self.waiting.remove(&place);
        }
    }
}

/// Tells an activation when something of its own is due.
#[derive(Debug)]
pub(super) struct Alarm {
    /// Whether it may have to be set anew.
    pub(super) stale: bool,
    set: Option<(Duration, OwnedTask)>,
}

impl Default for Alarm {
    fn default() -> Self {
        Self {
            stale: true,
            set: None,
        }
    }
}

impl Alarm {
    /// Sets it to ring at a time; none for never. One that is set may ring earlier:
    /// it is set anew then.
    pub(super) fn set(
        &mut self,
        at: Option<Duration>,
        now: Duration,
        ring: impl FnOnce() + Send + 'static,
    ) {
        let Some(at) = at else {
            self.set = None;
            return;
        };
        let at = at.clamp(now, now.saturating_add(LONGEST));
        if self
            .set
            .as_ref()
            .is_some_and(|(set, _)| *set > now && *set <= at)
        {
            return;
        }
        let task = OwnedTask::spawn(async move {
            tokio::time::sleep(at - now).await;
            ring();
        });
        self.set = Some((at, task));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(after: u64) -> Timer {
        Timer {
            after: Duration::from_secs(after),
            message: Bytes::from(vec![after as u8]),
        }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn they_come_in_order_when_they_are_due() {
        let mut timers = Timers::default();
        timers.add(at(10), vec![timer(5), timer(1), timer(5)], false);
        assert_eq!(timers.next(), Some(at(11)));
        assert_eq!(timers.pop(at(10)), None);
        assert_eq!(timers.pop(at(20)).as_deref(), Some(&[1][..]));
        assert_eq!(timers.pop(at(14)), None);
        assert_eq!(timers.pop(at(15)).as_deref(), Some(&[5][..]));
        assert_eq!(timers.pop(at(15)).as_deref(), Some(&[5][..]));
        assert!(timers.is_empty());
    }

    #[test]
    fn those_that_are_certain_stay_when_others_are_undone() {
        let mut timers = Timers::default();
        timers.add(at(0), vec![timer(1)], false);
        timers.add(at(0), vec![timer(2)], true);
        timers.start_commit();
        timers.add(at(0), vec![timer(3)], true);
        timers.committed(true);
        timers.start_commit();
        timers.add(at(0), vec![timer(4)], true);
        timers.undo();
        let left: Vec<_> = timers.waiting.keys().map(|(at, _)| at.as_secs()).collect();
        assert_eq!(left, [1, 2]);
    }

    #[test]
    fn those_that_have_come_leave_nothing_behind() {
        let mut timers = Timers::default();
        // As they come where only hibernation commits, which an agent that has something
        // scheduled never comes to.
        for second in 0..1_000 {
            timers.add(at(second), vec![timer(1)], true);
            assert!(timers.pop(at(second + 1)).is_some());
        }
        assert!(timers.staged.is_empty(), "{}", timers.staged.len());
    }

    #[test]
    fn what_is_put_back_can_be_undone_yet() {
        let mut timers = Timers::default();
        timers.add(at(0), vec![timer(1)], true);
        timers.start_commit();
        timers.put_back();
        timers.start_commit();
        timers.undo();
        assert!(timers.is_empty());
    }
}
