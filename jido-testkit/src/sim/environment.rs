//! A node's clocks and chance: they drift and jump as they are told to.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use jido_cluster::Timestamp;
use jido_cluster::environment::Environment;
use parking_lot::Mutex;

use super::world::World;

/// The wall clock at the start of every simulation: the first of January 2026.
pub(super) const START: u64 = 1_767_225_600_000;

/// How many milliseconds wall clocks are off at the start of a life, at the most.
pub(super) const OFF: i64 = 5_000;

/// The environment of one life of one node.
#[derive(Debug)]
pub(crate) struct SimEnvironment {
    world: World,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    chance: Rng,
    /// How much faster than the world's its clocks go, in millionths; negative for
    /// slower.
    drift: i64,
    /// What its clock of elapsed time has jumped ahead.
    ahead: Duration,
    /// What its wall clock is off, in milliseconds.
    off: i64,
}

impl SimEnvironment {
    /// An environment that draws its numbers, and its drift of up to 8 % either way,
    /// from what `label` gives.
    pub(crate) fn new(world: &World, label: &str) -> Arc<Self> {
        let mut chance = world.chance(label);
        let drift = chance.i64(-80_000..80_000);
        let ahead = Duration::from_millis(chance.u64(0..1_000_000));
        let off = chance.i64(-OFF..OFF);
        world.count("clock drifts");
        Arc::new(Self {
            world: world.clone(),
            state: Mutex::new(State {
                chance,
                drift,
                ahead,
                off,
            }),
        })
    }

    /// Sets the wall clock by so many milliseconds forward, or back.
    pub(crate) fn set_wall(&self, by: i64) {
        self.state.lock().off += by;
    }

    /// Sets the wall clock right.
    pub(crate) fn correct_wall(&self) {
        self.state.lock().off = 0;
    }

    /// Lets the clock of elapsed time jump ahead, as after a suspension.
    pub(crate) fn jump(&self, by: Duration) {
        self.state.lock().ahead += by;
    }
}

impl Environment for SimEnvironment {
    fn wall(&self) -> Timestamp {
        let off = self.state.lock().off;
        let now = START + self.world.now().as_millis() as u64;
        Timestamp(now.saturating_add_signed(off))
    }

    fn elapsed(&self) -> Duration {
        let state = self.state.lock();
        let micros = i128::try_from(self.world.now().as_micros()).unwrap_or(i128::MAX);
        let drifted = micros + micros * i128::from(state.drift) / 1_000_000;
        state.ahead + Duration::from_micros(u64::try_from(drifted).unwrap_or(0))
    }

    fn random(&self) -> u64 {
        self.state.lock().chance.u64(..)
    }
}
