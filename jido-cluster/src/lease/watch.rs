//! The watch over the beats of others: a pure state machine.

use std::collections::BTreeMap;
use std::time::Duration;

use jido_core::Incarnation;
use jido_storage::{NodeRecord, NodeState, is_planted};

use super::RENEWED_EVERY;

/// For how much of the time to live, in parts of 80, others let a beat stand still,
/// counted from when they saw it. With the time until they saw it, and they look nine
/// times, it is less than the time to live that a dead node is declared so.
const SILENT: u32 = 70;

/// What a node says in its record of its lease's time to live, in milliseconds, so that
/// others judge it by that and not by their own.
pub(super) const TTL_METADATA: &str = "lease_ttl_ms";

/// A node's time to live as its record says; `own` where it doesn't.
fn ttl_of(record: &NodeRecord, own: Duration) -> Duration {
    let told = record.metadata.get(TTL_METADATA);
    told.and_then(|ms| ms.parse().ok())
        .map_or(own, Duration::from_millis)
}

/// So many parts of 80 of a time to live.
pub(super) fn parts(ttl: Duration, parts: u32) -> Duration {
    ttl * parts / 80
}

/// What was seen of others' beats.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    seen: BTreeMap<Incarnation, (u64, Duration)>,
    looked: Option<Duration>,
}

impl Watch {
    /// Takes in the records as they are `now`; gives the lives whose beat has stood
    /// still for too long, with that beat. `ttl` is this node's own, and for those
    /// whose record doesn't tell theirs.
    ///
    /// After a third of it without a look all have their time anew: while storage was
    /// away nobody could renew, and an observer that was paused can't tell.
    pub(crate) fn observe(
        &mut self,
        now: Duration,
        records: &[NodeRecord],
        ttl: Duration,
    ) -> Vec<(Incarnation, u64)> {
        self.seen
            .retain(|life, _| records.iter().any(|record| record.incarnation == *life));
        let was_away = self
            .looked
            .replace(now)
            .is_some_and(|looked| now.saturating_sub(looked) > ttl / RENEWED_EVERY);
        let mut silent = Vec::new();
        for record in records
            .iter()
            .filter(|record| record.state == NodeState::Up)
        {
            let (beat, since) = self
                .seen
                .entry(record.incarnation)
                .or_insert((record.beat, now));
            if *beat != record.beat || was_away {
                (*beat, *since) = (record.beat, now);
            } else if now.saturating_sub(*since) >= parts(ttl_of(record, ttl), SILENT)
                || is_planted!(DeadFromOneMissedBeat)
            {
                silent.push((record.incarnation, record.beat));
            }
        }
        silent
    }

    /// When the first of these will have stood still for too long, unless it moves.
    pub(crate) fn next(&self, records: &[NodeRecord], ttl: Duration) -> Option<Duration> {
        let up = records
            .iter()
            .filter(|record| record.state == NodeState::Up);
        let ends = up.filter_map(|record| {
            let (_, since) = self.seen.get(&record.incarnation)?;
            Some(*since + parts(ttl_of(record, ttl), SILENT))
        });
        ends.min()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{HELD, LOOKS};
    use super::*;
    use jido_core::{NodeName, Timestamp};

    fn record(life: u128, beat: u64) -> NodeRecord {
        NodeRecord {
            name: NodeName::new("n1").unwrap(),
            incarnation: Incarnation(life),
            beat,
            state: NodeState::Up,
            address: String::new(),
            metadata: BTreeMap::new(),
            registered_at: Timestamp(0),
        }
    }

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_beat_that_stands_still_for_too_long_is_silent() {
        let (mut watch, ttl) = (Watch::default(), at(1_000));
        assert!(
            watch
                .observe(at(0), &[record(1, 1), record(2, 1)], ttl)
                .is_empty()
        );
        assert!(
            watch
                .observe(at(300), &[record(1, 1), record(2, 2)], ttl)
                .is_empty()
        );
        let records = [record(1, 1), record(2, 2)];
        assert_eq!(watch.next(&records, ttl), Some(at(875)));
        for early in [600, 874] {
            assert!(watch.observe(at(early), &records, ttl).is_empty());
        }
        let silent = watch.observe(at(875), &records, ttl);
        assert_eq!(silent, [(Incarnation(1), 1)]);
    }

    #[test]
    fn a_node_is_judged_by_its_own_time_to_live() {
        let mut watch = Watch::default();
        let mut slow = record(1, 1);
        slow.metadata.insert(TTL_METADATA.into(), "2000".into());
        let records = [slow, record(2, 1)];
        for time in [0, 333, 666] {
            assert!(watch.observe(at(time), &records, at(1_000)).is_empty());
        }
        for time in [900, 1_200, 1_500, 1_749] {
            let silent = watch.observe(at(time), &records, at(1_000));
            assert_eq!(silent, [(Incarnation(2), 1)]);
        }
        assert_eq!(watch.observe(at(1_750), &records, at(1_000)).len(), 2);
    }

    #[test]
    fn one_missed_observation_is_no_silence() {
        // Two looks far apart show one beat each: that of the second is new.
        let (mut watch, ttl) = (Watch::default(), at(1_000));
        watch.observe(at(0), &[record(1, 1)], ttl);
        assert!(watch.observe(at(60_000), &[record(1, 2)], ttl).is_empty());
        assert!(watch.observe(at(60_100), &[record(1, 2)], ttl).is_empty());
    }

    #[test]
    fn after_a_time_without_looks_all_have_theirs_anew() {
        let (mut watch, ttl) = (Watch::default(), at(1_000));
        let records = [record(1, 1)];
        watch.observe(at(0), &records, ttl);
        // Storage was away: the beat stood still because nobody could renew.
        assert!(watch.observe(at(5_000), &records, ttl).is_empty());
        for time in [5_300, 5_600, 5_874] {
            assert!(watch.observe(at(time), &records, ttl).is_empty());
        }
        assert_eq!(watch.observe(at(5_875), &records, ttl).len(), 1);
    }

    #[test]
    fn a_lease_ends_for_its_holder_before_it_ends_for_others_whatever_clocks_do() {
        // A holder's clock that goes slower by a fifth, and one of an observer that
        // goes faster by a quarter, counted in each other's time.
        for ttl in [at(200), at(3_000), at(600_000)] {
            assert!(parts(ttl, HELD) * 5 / 4 <= parts(ttl, SILENT));
            assert!(parts(ttl, SILENT) + ttl / LOOKS <= ttl);
        }
    }

    #[test]
    fn the_dead_are_not_watched() {
        let (mut watch, ttl) = (Watch::default(), at(1_000));
        let dead = NodeRecord {
            state: NodeState::Dead,
            ..record(1, 1)
        };
        for time in (0..9_000).step_by(300) {
            let silent = watch.observe(at(time), std::slice::from_ref(&dead), ttl);
            assert!(silent.is_empty());
        }
        assert_eq!(watch.next(&[dead], ttl), None);
    }
}
