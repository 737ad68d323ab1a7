//! Which sessions have fallen silent, and when to send a heartbeat: no clock and no I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use super::frame::SessionId;
use crate::error::{Error, ErrorKind};

/// The bounds of what may be configured.
const HEARTBEAT: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(20)..=Duration::from_secs(60);
const SILENCE: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(600);
/// Heartbeats that have to be missing before a peer is unreachable, at the least.
const MISSED: u32 = 3;
/// Ticks in the time between two heartbeats.
const TICKS: u32 = 4;

/// When a peer is unreachable.
///
/// A heartbeat goes to every peer every [`heartbeat_every`](Detection::heartbeat_every); whatever
/// comes in by a peer's connection counts as life. A peer from which nothing came for
/// [`unreachable_after`](Detection::unreachable_after) is unreachable: its session is ended, and it
/// is dialed again.
///
/// Nodes may differ. Each tells its peers how long it waits, and they send at least four
/// heartbeats in that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detection {
    /// The time between two heartbeats: 20 ms to 60 s, 500 ms by default.
    pub heartbeat_every: Duration,
    /// The silence after which a peer is unreachable: 100 ms to 600 s and at least three heartbeats, 2 s
    /// by default. It is noticed at most a quarter of a heartbeat later.
    pub unreachable_after: Duration,
}

impl Default for Detection {
    fn default() -> Self {
        Self {
            heartbeat_every: Duration::from_millis(500),
            unreachable_after: Duration::from_secs(2),
        }
    }
}

impl Detection {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |why: String| Err(Error::new(ErrorKind::InvalidInput, why));
        let Self {
            heartbeat_every: beat,
            unreachable_after: silence,
        } = *self;
        for (field, value, range) in [
            ("heartbeat_every", beat, HEARTBEAT),
            ("unreachable_after", silence, SILENCE),
        ] {
            if !range.contains(&value) {
                let (least, most) = range.into_inner();
                return refuse(format!("{field} is {value:?}: it is {least:?} to {most:?}"));
            }
        }
        if silence < beat * MISSED {
            return refuse(format!(
                "unreachable_after is {silence:?} and heartbeat_every {beat:?}: it is at least {MISSED} heartbeats, here {:?}, or one that is late would end a session",
                beat * MISSED
            ));
        }
        Ok(())
    }

    /// How soon [`Detector::tick`] wants to be called again, with these sessions: a few times
    /// between two heartbeats of the one that gets the most, and at most every 5 ms.
    pub(super) fn tick_every(&self, up: &[Seen]) -> Duration {
        let own = self.heartbeat_every.min(self.unreachable_after / TICKS);
        let beats = up.iter().map(|seen| self.beat_for(seen.peer_waits));
        beats.fold(own, Duration::min) / TICKS
    }

    /// How often a peer that waits so long is sent a heartbeat.
    fn beat_for(&self, peer_waits: Duration) -> Duration {
        let for_peer = (peer_waits / TICKS).max(*HEARTBEAT.start());
        self.heartbeat_every.min(for_peer)
    }
}

/// A session that is up, as it is at a tick.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) session: SessionId,
    /// How often something has come in by it, ever.
    pub(super) heard: u64,
    /// The silence after which the peer takes this node for unreachable.
    pub(super) peer_waits: Duration,
}

/// What a session needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// A heartbeat.
    Beat(SessionId),
    /// Its end: nothing came for so long.
    End(SessionId, Duration),
}

#[derive(Debug, Default)]
struct Watched {
    heard: u64,
    silent: Duration,
    /// Since the last heartbeat was due.
    unsent: Duration,
}

/// Watches the sessions that are up.
#[derive(Debug)]
pub(super) struct Detector {
    detection: Detection,
    last: Duration,
    sessions: BTreeMap<SessionId, Watched>,
}

impl Detector {
    pub(super) fn new(detection: Detection, now: Duration) -> Self {
        Self {
            detection,
            last: now,
            sessions: BTreeMap::new(),
        }
    }

    /// Looks at the sessions that are up now. `now` only has to go on.
    ///
    /// Of a tick that comes late, no more than one heartbeat counts as silence: it is this
    /// node that stood still, and what peers sent meanwhile still waits to be read.
    pub(super) fn tick(&mut self, now: Duration, up: &[Seen]) -> Vec<Due> {
        let passed = now.saturating_sub(self.last);
        self.last = now;
        let silence = passed.min(self.detection.heartbeat_every);
        let mut due = Vec::new();
        let mut sessions = BTreeMap::new();
        for seen in up {
            let beat = self.detection.beat_for(seen.peer_waits);
            let known = self.sessions.remove(&seen.session);
            let mut watched = match known {
                Some(mut watched) => {
                    watched.silent += silence;
                    watched.unsent += passed;
                    watched
                }
                // A heartbeat goes at once to whoever is new.
                None => Watched {
                    unsent: beat,
                    ..Watched::default()
                },
            };
            if watched.heard != seen.heard {
                watched.heard = seen.heard;
                watched.silent = Duration::ZERO;
            }
            if watched.silent >= self.detection.unreachable_after {
                due.push(Due::End(seen.session, watched.silent));
                continue;
            }
            if watched.unsent >= beat {
                // What a tick came late by is not lost, or there would be fewer than promised; and
                // a node that stood still sends no more for that.
                let late = watched.unsent - beat;
                watched.unsent = if late < beat { late } else { Duration::ZERO };
                due.push(Due::Beat(seen.session));
            }
            sessions.insert(seen.session, watched);
        }
        self.sessions = sessions;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{Packer, Signal};
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const ONE: SessionId = SessionId(1);

    fn seen(heard: u64) -> Seen {
        Seen {
            session: ONE,
            heard,
            peer_waits: 2_000 * MS,
        }
    }

    /// Ticks on time from 0 on, with what was heard by each of them, until the session ends;
    /// the times of heartbeats and of the end.
    fn run(
        detection: Detection,
        most: Duration,
        heard: impl Fn(Duration) -> u64,
    ) -> (Vec<u128>, Option<u128>) {
        let mut detector = Detector::new(detection, Duration::ZERO);
        let (mut now, mut beats) = (Duration::ZERO, Vec::new());
        while now < most {
            now += detection.tick_every(&[seen(0)]);
            for due in detector.tick(now, &[seen(heard(now))]) {
                match due {
                    Due::Beat(_) => beats.push(now.as_millis()),
                    Due::End(..) => return (beats, Some(now.as_millis())),
                }
            }
        }
        (beats, None)
    }

    #[test]
    fn a_peer_that_is_heard_of_now_and_then_stays_and_gets_heartbeats() {
        let (beats, end) = run(Detection::default(), 60_000 * MS, |now| {
            (now.as_millis() / 1_900) as u64
        });
        assert_eq!(end, None);
        assert_eq!(beats.len(), 120);
        assert!(beats.windows(2).all(|pair| pair[1] - pair[0] == 500));
    }

    #[test]
    fn a_silent_peer_is_unreachable_after_two_seconds_and_hardly_later() {
        for last in [0, 1, 124, 499, 10_000] {
            let (_, end) = run(Detection::default(), 60_000 * MS, |now| {
                (now.as_millis() as u64).min(last)
            });
            let silent = end.unwrap() - u128::from(last);
            assert!((2_000..=2_250).contains(&silent), "{last}: {silent}");
        }
    }

    #[test]
    fn a_node_that_stood_still_does_not_take_its_own_silence_for_that_of_peers() {
        let mut detector = Detector::new(Detection::default(), Duration::ZERO);
        detector.tick(125 * MS, &[seen(1)]);
        let due = detector.tick(30_000 * MS, &[seen(1)]);
        assert_eq!(due, [Due::Beat(ONE)]);
        // Who is silent all the same is found soon after.
        let mut now = 30_000 * MS;
        let end = loop {
            now += 125 * MS;
            if let Some(Due::End(..)) = detector.tick(now, &[seen(1)]).first() {
                break now;
            }
        };
        assert!(end <= 32_000 * MS, "{end:?}");
    }

    #[test]
    fn a_peer_that_waits_for_less_gets_more_heartbeats() {
        let detection = Detection::default();
        assert_eq!(detection.beat_for(2_000 * MS), 500 * MS);
        assert_eq!(detection.beat_for(400 * MS), 100 * MS);
        assert_eq!(detection.beat_for(Duration::ZERO), 20 * MS);
        assert_eq!(detection.beat_for(60_000 * MS), 500 * MS);
    }

    #[test]
    fn every_peer_gets_four_heartbeats_in_the_time_that_it_waits() {
        let detection = Detection {
            heartbeat_every: 10_000 * MS,
            unreachable_after: 60_000 * MS,
        };
        let waits = [60_000, 2_000, 1_100, 300, 100].map(|waits| waits * MS);
        for count in 1..=waits.len() {
            let up = |heard| {
                let session = |at: usize| Seen {
                    session: SessionId(at as u128),
                    heard,
                    peer_waits: waits[at],
                };
                (0..count).map(session).collect::<Vec<_>>()
            };
            let mut detector = Detector::new(detection, Duration::ZERO);
            let (mut now, mut ticks) = (Duration::ZERO, 0);
            let mut beats = vec![0_u32; count];
            while now < 60_000 * MS {
                for due in detector.tick(now, &up(ticks)) {
                    match due {
                        Due::Beat(SessionId(at)) => beats[at as usize] += 1,
                        Due::End(..) => panic!("{due:?}"),
                    }
                }
                // A little late, as timers are.
                now += detection.tick_every(&up(0)) + MS;
                ticks += 1;
            }
            for (beats, waits) in beats.iter().zip(waits) {
                let promised = 4 * 60_000 / waits.as_millis() as u32;
                assert!(*beats >= promised, "{beats} and not {promised}: {waits:?}");
            }
            assert!(ticks < 60_000 / 5, "{ticks}");
        }
    }

    #[test]
    fn heartbeats_grow_with_the_members_and_no_faster() {
        let detection = Detection::default();
        let mut packer = Packer::new(ONE);
        packer.signal(Signal::Heartbeat);
        let frame = packer.take().pop().unwrap();
        for members in [2, 10, 50, 100] {
            let up = |heard| {
                let session = |at| Seen {
                    session: SessionId(at),
                    ..seen(heard)
                };
                (1..members).map(session).collect::<Vec<_>>()
            };
            let mut detector = Detector::new(detection, Duration::ZERO);
            let every = detection.tick_every(&up(0));
            let ticks = (60_000 * MS).as_millis() / every.as_millis();
            let (mut now, mut beats) = (Duration::ZERO, 0);
            for tick in 0..ticks as u64 {
                now += every;
                let due = detector.tick(now, &up(tick));
                beats += due.iter().filter(|d| matches!(d, Due::Beat(_))).count();
            }
            let every_second = beats as f64 / 60.0;
            println!(
                "{members} members: {every_second} heartbeats a second from each node, {} bytes a second as frames",
                every_second * frame.len() as f64
            );
            assert_eq!(beats as u128, (members - 1) * 120);
        }
    }

    #[test]
    fn a_session_that_follows_another_begins_anew() {
        let mut detector = Detector::new(Detection::default(), Duration::ZERO);
        for tick in 1..16 {
            detector.tick(tick * 125 * MS, &[seen(0)]);
        }
        let other = Seen {
            session: SessionId(2),
            ..seen(0)
        };
        assert_eq!(
            detector.tick(2_000 * MS, &[other]),
            [Due::Beat(SessionId(2))]
        );
        assert!(!detector.sessions.contains_key(&ONE));
    }

    #[test]
    fn what_can_not_work_is_refused_with_the_reason() {
        let refused = |heartbeat_every, unreachable_after| {
            let detection = Detection {
                heartbeat_every,
                unreachable_after,
            };
            detection.check().unwrap_err().to_string()
        };
        assert!(Detection::default().check().is_ok());
        assert!(refused(Duration::ZERO, 2_000 * MS).starts_with("heartbeat_every is 0ns"));
        assert!(refused(500 * MS, 50 * MS).starts_with("unreachable_after is 50ms"));
        let both = refused(1_000 * MS, 2_000 * MS);
        assert!(both.contains("at least 3 heartbeats, here 3s"), "{both}");
    }
}
