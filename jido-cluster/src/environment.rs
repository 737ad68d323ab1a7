//! Clock and randomness: a seam, so that a simulation decides both.

use std::fmt;
use std::time::Duration;

use jido_core::{Incarnation, Timestamp};

/// Where a node gets the time and chance from.
///
/// Pauses and time-outs are tokio's, which a test can pause; what is measured
/// or drawn comes from here.
pub trait Environment: fmt::Debug + Send + Sync + 'static {
    /// The wall clock, for people to read. It may jump.
    fn wall(&self) -> Timestamp;

    /// Time since some fixed point. It never goes back, and it goes on while the
    /// machine is suspended.
    fn elapsed(&self) -> Duration;

    /// 64 random bits.
    fn random(&self) -> u64;

    /// 128 random bits: two draws.
    fn random_128(&self) -> u128 {
        u128::from(self.random()) << 64 | u128::from(self.random())
    }

    /// A new life's id.
    fn incarnation(&self) -> Incarnation {
        Incarnation(self.random_128())
    }

    /// A random time in `[0, limit)`, to spread what would happen at once.
    fn jitter(&self, limit: Duration) -> Duration {
        limit.mul_f64((self.random() >> 11) as f64 / (1u64 << 53) as f64)
    }
}

/// A period, up to an eighth more or less, so that nodes don't all do the same at once.
pub(crate) fn spread(environment: &dyn Environment, every: Duration) -> Duration {
    // A period may be meant for never.
    (every - every / 8).saturating_add(environment.jitter(every / 4))
}

/// The machine's own clocks and randomness.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemEnvironment;

impl Environment for SystemEnvironment {
    fn wall(&self) -> Timestamp {
        // Read for every message: the coarse clock is a few milliseconds behind at the
        // most, and costs a tenth.
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        let millis = i128::from(now.tv_sec) * 1_000 + i128::from(now.tv_nsec) / 1_000_000;
        // A clock set to before 1970 reads as 1970.
        Timestamp(u64::try_from(millis).unwrap_or(0))
    }

    fn elapsed(&self) -> Duration {
        // `CLOCK_BOOTTIME`, since `Instant` stands still during suspend, when a
        // lease runs out all the same.
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(
            u64::try_from(now.tv_sec).unwrap_or(0),
            u32::try_from(now.tv_nsec).unwrap_or(0),
        )
    }

    fn random(&self) -> u64 {
        getrandom::u64().unwrap_or_else(|error| {
            // Without randomness two nodes could take each other for one.
            tracing::error!(%error, "the system gives no randomness");
            std::process::abort()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_go_on_and_chance_varies() {
        let environment = SystemEnvironment;
        let before = environment.elapsed();
        assert!(environment.elapsed() >= before);
        assert!(environment.wall() > Timestamp(1_600_000_000_000));
        assert_ne!(environment.incarnation(), environment.incarnation());
        assert!(environment.jitter(Duration::from_secs(1)) < Duration::from_secs(1));
    }

    /// Draws the most, or the least.
    #[derive(Debug)]
    struct Extreme(u64);

    impl Environment for Extreme {
        fn wall(&self) -> Timestamp {
            Timestamp(0)
        }

        fn elapsed(&self) -> Duration {
            Duration::ZERO
        }

        fn random(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn periods_are_spread_and_may_be_of_any_length() {
        for (random, least, most) in [(0, 875, 875), (u64::MAX, 1_124, 1_125)] {
            let period = spread(&Extreme(random), Duration::from_secs(1));
            let (least, most) = (Duration::from_millis(least), Duration::from_millis(most));
            assert!((least..=most).contains(&period), "{period:?}");
        }
        let longest = spread(&Extreme(u64::MAX), Duration::MAX);
        assert_eq!(longest, Duration::MAX);
        assert!(spread(&Extreme(0), Duration::MAX) > Duration::MAX / 2);
    }
}
