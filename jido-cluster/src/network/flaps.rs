//! How long a peer is left alone that goes up and down: no clock and no I/O.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jido_core::Incarnation;

/// How far back losses count.
const WINDOW: Duration = Duration::from_secs(60);
/// So many losses in the window are an accident; each further one doubles the pause.
const FREE: u32 = 3;
/// The pause after the first loss beyond them.
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);
/// Peers that are remembered.
const PEERS: usize = 1_024;

/// When sessions were lost, by peer.
///
/// A session that comes and goes makes the owners of keys come and go with it, so after the third
/// loss in a minute the next one is put off: by 1 s, then 2 s, 4 s, up to 30 s. The end that
/// decides about sessions refuses them until then, whoever dials. A peer that stopped in order, and one that was restarted, which is another life,
/// owes nothing.
#[derive(Debug, Default)]
pub(super) struct Flaps(BTreeMap<Incarnation, VecDeque<Duration>>);

impl Flaps {
    /// A session with a peer was lost.
    pub(super) fn lost(&mut self, peer: Incarnation, now: Duration) {
        self.forget(now);
        if self.0.len() >= PEERS && !self.0.contains_key(&peer) {
            return;
        }
        self.0.entry(peer).or_default().push_back(now);
    }

    /// How long a peer is to be left alone from now on.
    pub(super) fn pause(&mut self, peer: Incarnation, now: Duration) -> Duration {
        self.forget(now);
        let Some(losses) = self.0.get(&peer) else {
            return Duration::ZERO;
        };
        let beyond = (losses.len() as u32).saturating_sub(FREE);
        let (Some(last), Some(doublings)) = (losses.back(), beyond.checked_sub(1)) else {
            return Duration::ZERO;
        };
        let pause = FIRST.saturating_mul(1 << doublings.min(16)).min(LONGEST);
        (*last + pause).saturating_sub(now)
    }

    fn forget(&mut self, now: Duration) {
        for losses in self.0.values_mut() {
            while losses.front().is_some_and(|at| *at + WINDOW <= now) {
                losses.pop_front();
            }
        }
        self.0.retain(|_, losses| !losses.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: Incarnation = Incarnation(7);

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_peer_that_flaps_is_left_alone_for_longer_and_longer() {
        let mut flaps = Flaps::default();
        let mut pauses = Vec::new();
        for second in 0..10 {
            flaps.lost(PEER, s(second));
            pauses.push(flaps.pause(PEER, s(second)).as_secs());
        }
        assert_eq!(pauses, [0, 0, 0, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(flaps.pause(PEER, s(19)), s(20));
        assert_eq!(flaps.pause(PEER, s(39)), s(0));
        assert_eq!(flaps.pause(Incarnation(8), s(9)), s(0));
    }

    #[test]
    fn what_is_long_ago_does_not_count() {
        let mut flaps = Flaps::default();
        for second in 0..4 {
            flaps.lost(PEER, s(second));
        }
        assert_eq!(flaps.pause(PEER, s(3)), s(1));
        flaps.lost(PEER, s(62));
        assert_eq!(flaps.pause(PEER, s(62)), s(0));
        assert_eq!(flaps.pause(PEER, s(200)), s(0));
        assert!(flaps.0.is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut flaps = Flaps::default();
        for peer in 0..2 * PEERS as u128 {
            flaps.lost(Incarnation(peer), s(1));
        }
        assert_eq!(flaps.0.len(), PEERS);
    }
}
