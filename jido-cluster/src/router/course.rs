//! What to do with a message that came back: a pure policy.

use std::time::Duration;

use jido_storage::is_planted;

use crate::delivery::Refusal;
use crate::router::Target;

/// Pauses between tries grow from the first to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// How many tries in a row may follow each other at once. Three lead from a stale
/// hint by way of the placed node to the owner.
const QUICK_TRIES: u32 = 3;

/// How many nodes are asked in a row to pass a message on, before the node that the key
/// is placed on is asked again.
const RELAYS_IN_A_ROW: usize = 3;

/// How much of the caller's time a try is worth beginning for, after one that
/// took so long: twice that. Of a long one, which waited for a lease perhaps,
/// nothing follows for the next.
pub(crate) fn time_for_a_try(last_took: Duration) -> Duration {
    (2 * last_took).min(LONGEST_PAUSE)
}

/// Whether a try that needs so long may be begun then. Never once the time is up: the caller
/// would stop waiting at once, and not know what became of the try.
pub(crate) fn has_time(begin: Duration, needed: Duration, expires: Duration) -> bool {
    begin.saturating_add(needed) < expires
}

/// The tries of one request.
#[derive(Debug, Default)]
pub(crate) struct Course {
    tries: u32,
    verify: bool,
    here: bool,
    /// How many nodes could not pass the message on.
    relays: usize,
}

/// The node that a refusal hints at, as this node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hinted {
    /// This node itself.
    Me,
    /// A node that there is a session with.
    Member,
    /// A node that others may have a session with.
    Beyond,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Try again, after this pause at the most (it is drawn from its second half).
    Retry { pause: Duration },
    /// Tell the caller.
    GiveUp,
}

/// What was learned about who owns the key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Learned {
    Nothing,
    /// The remembered owner isn't it.
    Forget,
    /// The owner is the hinted node.
    Remember,
}

impl Course {
    /// Whether storage must be asked, rather than what is remembered.
    pub(crate) fn verify(&self) -> bool {
        self.verify
    }

    /// Whether this node must take the message, wherever the key is placed:
    /// storage says that it is the owner.
    pub(crate) fn here(&self) -> bool {
        self.here
    }

    /// Which of the other members passes the message on, should there be no session with
    /// its node.
    pub(crate) fn relay(&self) -> usize {
        self.relays
    }

    /// A try at `target` was refused. `hinted` says who the hint names, if there is one.
    pub(crate) fn refused(
        &mut self,
        target: Target,
        refusal: &Refusal,
        hinted: Option<Hinted>,
    ) -> (Next, Learned) {
        self.tries += 1;
        self.here = false;
        if is_planted!(ForwardingLoop) && matches!(refusal, Refusal::NotOwner { hint: Some(_) }) {
            let pause = Duration::ZERO;
            return (Next::Retry { pause }, Learned::Remember);
        }
        let quick = self.tries <= QUICK_TRIES;
        match refusal {
            Refusal::Overloaded | Refusal::Broken(..) => (Next::GiveUp, Learned::Nothing),
            Refusal::Stopped => (self.retry(quick), Learned::Nothing),
            Refusal::Unsettled(_) => (self.retry(false), Learned::Forget),
            Refusal::NotOwner { .. } => {
                if matches!(target, Target::There { hinted: true, .. }) {
                    // What was remembered is stale: the placed node must look at
                    // storage, and not at what it remembers itself.
                    self.verify = true;
                    return (self.retry(quick), Learned::Forget);
                }
                match hinted {
                    // The placed node has looked at storage: this node owns the
                    // agent, though it doesn't run here.
                    Some(Hinted::Me) if self.verify => {
                        self.here = true;
                        (self.retry(quick), Learned::Forget)
                    }
                    // It only remembers so, and it is wrong.
                    Some(Hinted::Me) => {
                        self.verify = true;
                        (self.retry(quick), Learned::Forget)
                    }
                    Some(Hinted::Member) => {
                        self.verify = false;
                        (self.retry(quick), Learned::Remember)
                    }
                    // Whether it can be reached is found out at once; if it can't, a
                    // pause follows that.
                    Some(Hinted::Beyond) => {
                        self.verify = false;
                        (self.retry(true), Learned::Remember)
                    }
                    None => {
                        self.verify = true;
                        (self.retry(false), Learned::Forget)
                    }
                }
            }
        }
    }

    /// The node was not reached: nothing was sent.
    pub(crate) fn unreachable(&mut self) -> Next {
        self.tries += 1;
        self.here = false;
        self.verify = true;
        self.retry(false)
    }

    /// A node could not pass the message on, of so many that could be asked to: nothing was
    /// executed.
    pub(crate) fn not_passed_on(&mut self, relays: usize) -> (Next, Learned) {
        self.relays += 1;
        let in_a_row = relays.clamp(1, RELAYS_IN_A_ROW);
        match self.relays.is_multiple_of(in_a_row) {
            true => (self.unreachable(), Learned::Forget),
            false => (self.retry(true), Learned::Nothing),
        }
    }

    fn retry(&self, quick: bool) -> Next {
        if quick {
            return Next::Retry {
                pause: Duration::ZERO,
            };
        }
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.tries.min(10));
        Next::Retry {
            pause: doubled.min(LONGEST_PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jido_core::Incarnation;

    const PLACED: Target = Target::There {
        node: Incarnation(1),
        hinted: false,
    };
    const HINTED: Target = Target::There {
        node: Incarnation(2),
        hinted: true,
    };

    fn not_owner(hint: Option<u128>) -> Refusal {
        Refusal::NotOwner {
            hint: hint.map(Incarnation),
        }
    }

    fn at_once() -> Next {
        Next::Retry {
            pause: Duration::ZERO,
        }
    }

    #[test]
    fn a_hint_of_the_placed_node_is_followed_at_once() {
        let mut course = Course::default();
        let next = course.refused(PLACED, &not_owner(Some(2)), Some(Hinted::Member));
        assert_eq!(next, (at_once(), Learned::Remember));
        assert!(!course.verify());
    }

    #[test]
    fn a_stale_hint_is_forgotten_and_storage_is_asked() {
        let mut course = Course::default();
        let next = course.refused(HINTED, &not_owner(Some(1)), Some(Hinted::Member));
        assert_eq!(next, (at_once(), Learned::Forget));
        assert!(course.verify());
    }

    #[test]
    fn a_hint_at_this_node_that_storage_confirms_starts_it_here() {
        let mut course = Course::default();
        let next = course.refused(PLACED, &not_owner(Some(9)), Some(Hinted::Me));
        assert_eq!(next, (at_once(), Learned::Forget));
        assert!(
            course.verify() && !course.here(),
            "the placed node may be mistaken"
        );
        course.refused(PLACED, &not_owner(Some(9)), Some(Hinted::Me));
        assert!(course.here());
    }

    #[test]
    fn pauses_grow_to_a_bound_when_nothing_is_settled() {
        let mut course = Course::default();
        let mut last = Duration::ZERO;
        for _ in 0..40 {
            let (Next::Retry { pause }, _) = course.refused(PLACED, &not_owner(None), None) else {
                panic!("gave up");
            };
            assert!(pause >= last && pause > Duration::ZERO && pause <= LONGEST_PAUSE);
            last = pause;
        }
        assert_eq!(last, LONGEST_PAUSE);
    }

    #[test]
    fn nodes_that_send_each_other_around_are_not_followed_without_a_pause() {
        let mut course = Course::default();
        let quick = (0..10)
            .filter(|i| {
                let target = if i % 2 == 0 { PLACED } else { HINTED };
                course
                    .refused(target, &not_owner(Some(2)), Some(Hinted::Member))
                    .0
                    == at_once()
            })
            .count();
        assert_eq!(quick, QUICK_TRIES as usize);
    }

    #[test]
    fn a_try_is_given_twice_what_the_last_one_took_but_no_more_than_a_pause() {
        let ms = Duration::from_millis;
        assert_eq!(time_for_a_try(Duration::ZERO), Duration::ZERO);
        assert_eq!(time_for_a_try(ms(5)), ms(10));
        assert_eq!(time_for_a_try(ms(3000)), LONGEST_PAUSE);
    }

    #[test]
    fn no_try_is_begun_when_the_time_is_up() {
        let ms = Duration::from_millis;
        assert!(has_time(ms(99), ms(0), ms(100)));
        assert!(!has_time(ms(100), ms(0), ms(100)));
        assert!(has_time(ms(89), ms(10), ms(100)));
        assert!(!has_time(ms(90), ms(10), ms(100)));
        assert!(!has_time(Duration::MAX, ms(10), ms(100)));
    }

    #[test]
    fn a_hint_beyond_is_tried_by_way_of_a_few_nodes_and_then_there_is_a_pause() {
        let mut course = Course::default();
        let mut relays = Vec::new();
        for round in 0..20 {
            let next = course.refused(PLACED, &not_owner(Some(2)), Some(Hinted::Beyond));
            assert_eq!(next, (at_once(), Learned::Remember), "{round}");
            for tried in 1..=RELAYS_IN_A_ROW {
                relays.push(course.relay());
                let (next, learned) = course.not_passed_on(10);
                let is_last = tried == RELAYS_IN_A_ROW;
                assert_eq!(next != at_once(), is_last);
                assert_eq!(learned == Learned::Forget, is_last);
                assert_eq!(course.verify(), is_last);
            }
        }
        assert_eq!(relays, (0..60).collect::<Vec<_>>());
        // Nobody is asked twice in a row.
        let (next, learned) = Course::default().not_passed_on(1);
        assert!(next != at_once() && learned == Learned::Forget);
    }

    #[test]
    fn overload_is_told_at_once() {
        let next = Course::default().refused(PLACED, &Refusal::Overloaded, None);
        assert_eq!(next, (Next::GiveUp, Learned::Nothing));
    }
}
