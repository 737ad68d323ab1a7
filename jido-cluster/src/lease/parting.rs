//! Sessions that have ended, until nobody can be taking agents over for that reason any more: a
//! pure state machine.

use std::time::Duration;

/// What was seen of the peers whose sessions have ended.
#[derive(Debug, Default)]
pub(super) struct Partings {
    /// How many sessions had ended when none of the peers was away any more, and since when
    /// that is so.
    rejoined: Option<(u64, Duration)>,
}

impl Partings {
    /// Takes in how many sessions had ended by `now`, and whether any of the peers is away: up,
    /// and without a session. Answers whether none has been since `calm` or longer. A peer that
    /// is back may still be at a takeover that it began before, and has ended that by then.
    pub(super) fn observe(
        &mut self,
        now: Duration,
        parted: u64,
        any_away: bool,
        calm: Duration,
    ) -> bool {
        let since = match self.rejoined {
            _ if any_away => None,
            Some((known, since)) if known == parted => Some(since),
            _ => Some(now),
        };
        self.rejoined = since.map(|since| (parted, since));
        since.is_some_and(|since| now.saturating_sub(since) >= calm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_have_to_be_back_for_a_while() {
        let mut partings = Partings::default();
        let mut observe = |ms, parted, any_away| {
            let (now, calm) = (Duration::from_millis(ms), Duration::from_millis(100));
            partings.observe(now, parted, any_away, calm)
        };
        assert!(!observe(0, 1, true));
        assert!(!observe(1_000, 1, false));
        assert!(!observe(1_099, 1, false));
        assert!(observe(1_100, 1, false));
        // Another one ends meanwhile, and is made up for at once.
        assert!(!observe(1_150, 2, false));
        assert!(!observe(1_200, 2, false));
        assert!(!observe(1_240, 2, true));
        assert!(!observe(1_300, 2, false));
        assert!(!observe(1_399, 2, false));
        assert!(observe(1_400, 2, false));
    }
}
