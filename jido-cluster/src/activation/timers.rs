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

/// What can be undone yet.
#[derive(Debug, Default)]
struct Doubtful {
    /// Those that were scheduled.
    added: BTreeSet<Place>,
    /// Those that were handled, of those that were certain before.
    handled: BTreeMap<Place, Bytes>,
}

impl Doubtful {
    /// What came later is decided upon together with this.
    fn append(&mut self, mut later: Self) {
        self.added.append(&mut later.added);
        self.handled.append(&mut later.handled);
        // One that comes and goes with the same commit leaves nothing to undo.
        let Self { added, handled } = self;
        handled.retain(|place, _| !added.remove(place));
    }
}

/// The messages that an activation has scheduled. Those of messages whose effects were
/// undone are dropped, as if these had not been handled, and come again if they are such
/// messages themselves.
#[derive(Debug, Default)]
pub(super) struct Timers {
    waiting: BTreeMap<Place, Bytes>,
    count: u64,
    /// What waits for the next commit, and for the one in flight, to stay as it is.
    staged: Doubtful,
    flying: Doubtful,
}

/// A message that has come due.
#[derive(Debug)]
pub(super) struct Popped {
    place: Place,
    pub(super) message: Bytes,
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
                self.staged.added.insert(place);
            }
        }
    }

    /// The message that is due the longest, if one is.
    pub(super) fn pop(&mut self, now: Duration) -> Option<Popped> {
        let first = self.waiting.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        let (place, message) = first.remove_entry();
        Some(Popped { place, message })
    }

    /// One has been handled. With `staged`, that may be undone yet, and it comes again then.
    pub(super) fn handled(&mut self, popped: Popped, staged: bool) {
        let Popped { place, message } = popped;
        // There is nothing left of what is undone with it. An agent that never rests may never
        // commit either, and would note all of them for ever.
        if !self.staged.added.remove(&place) && staged {
            self.staged.handled.insert(place, message);
        }
    }

    /// A commit starts.
    pub(super) fn start_commit(&mut self) {
        self.flying = std::mem::take(&mut self.staged);
    }

    /// It went well. Where nothing else is `staged`, nothing can be undone any more.
    pub(super) fn committed(&mut self, staged: bool) {
        self.flying = Doubtful::default();
        if !staged {
            self.staged = Doubtful::default();
        }
    }

    /// It did not, and what it carried waits for the next one.
    pub(super) fn put_back(&mut self) {
        let later = std::mem::replace(&mut self.staged, std::mem::take(&mut self.flying));
        self.staged.append(later);
    }

    /// Whatever could be undone is.
    pub(super) fn undo(&mut self) {
        self.put_back();
        if is_planted!(TimersNotUndone) {
            self.staged.added.clear();
        }
        let Doubtful { added, mut handled } = std::mem::take(&mut self.staged);
        self.waiting.append(&mut handled);
        for place in added {
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

    fn popped(timers: &mut Timers, now: u64) -> Option<u8> {
        timers.pop(at(now)).map(|popped| popped.message[0])
    }

    /// Handles the message that is due the longest.
    fn handle(timers: &mut Timers, now: u64, staged: bool) {
        let popped = timers.pop(at(now)).unwrap();
        timers.handled(popped, staged);
    }

    fn waiting(timers: &Timers) -> Vec<u64> {
        timers.waiting.keys().map(|(at, _)| at.as_secs()).collect()
    }

    #[test]
    fn they_come_in_order_when_they_are_due() {
        let mut timers = Timers::default();
        timers.add(at(10), vec![timer(5), timer(1), timer(5)], false);
        assert_eq!(timers.next(), Some(at(11)));
        assert_eq!(popped(&mut timers, 10), None);
        assert_eq!(popped(&mut timers, 20), Some(1));
        assert_eq!(popped(&mut timers, 14), None);
        assert_eq!(popped(&mut timers, 15), Some(5));
        assert_eq!(popped(&mut timers, 15), Some(5));
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
        assert_eq!(waiting(&timers), [1, 2]);
    }

    #[test]
    fn those_that_have_come_leave_nothing_behind() {
        let mut timers = Timers::default();
        // As they come where only hibernation commits, which an agent that has something
        // scheduled never comes to.
        for second in 0..1_000 {
            timers.add(at(second), vec![timer(1)], true);
            handle(&mut timers, second + 1, true);
            if second % 10 == 5 {
                // It is asked to settle while storage is away.
                timers.start_commit();
                timers.put_back();
            }
        }
        let Doubtful { added, handled } = &timers.staged;
        assert!(added.is_empty() && handled.is_empty(), "{timers:?}");
    }

    #[test]
    fn those_that_were_handled_come_again_when_that_is_undone() {
        let mut timers = Timers::default();
        timers.add(at(0), vec![timer(1), timer(2), timer(3)], false);
        // That of the first is committed, that of the second is in flight, and that of the
        // third waits; each schedules another one.
        handle(&mut timers, 1, true);
        timers.add(at(1), vec![timer(10)], true);
        timers.start_commit();
        timers.committed(false);
        handle(&mut timers, 2, true);
        timers.add(at(2), vec![timer(20)], true);
        timers.start_commit();
        handle(&mut timers, 3, true);
        timers.add(at(3), vec![timer(30)], true);
        timers.undo();
        assert_eq!(waiting(&timers), [2, 3, 11]);
        timers.undo();
        assert_eq!(waiting(&timers), [2, 3, 11], "it was undone already");
    }

    #[test]
    fn those_that_are_undone_with_who_scheduled_them_do_not_come_again() {
        let mut timers = Timers::default();
        timers.add(at(0), vec![timer(1)], true);
        timers.start_commit();
        // Handled while the commit is in flight that it depends on.
        handle(&mut timers, 1, true);
        timers.undo();
        assert!(timers.is_empty());
        timers.add(at(0), vec![timer(1)], true);
        timers.start_commit();
        handle(&mut timers, 1, true);
        timers.committed(true);
        timers.undo();
        assert_eq!(waiting(&timers), [1], "that it was scheduled is certain");
    }

    #[test]
    fn those_that_changed_nothing_do_not_come_again() {
        let mut timers = Timers::default();
        timers.add(at(0), vec![timer(1), timer(2)], false);
        handle(&mut timers, 1, false);
        handle(&mut timers, 2, true);
        timers.start_commit();
        timers.committed(false);
        timers.undo();
        assert!(timers.is_empty());
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
