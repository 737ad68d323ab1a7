//! The storage that all simulated nodes share, and what can go wrong on the way to it.
//!
//! Every operation is a request that takes its time to get there, takes effect at one
//! moment, and is answered by a response that takes its time to get back. It can fail
//! before it takes effect, or after; it can be given up on and take effect later; and
//! it can stall. What takes effect does so in the memory adapter, which checks epochs
//! and revisions then: so whatever is late is fenced by the claims before it.

mod adapter;
mod connection;
mod effects;
mod faults;
mod journal;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use jido_cluster::AgentId;
use jido_cluster::storage::{Batching, Loaded, MemoryStorage};
use parking_lot::Mutex;

use super::world::{World, between};
pub(super) use connection::Connection;
pub use faults::StorageFaults;
pub use journal::{Applied, Change, Journal};

const MS: Duration = Duration::from_millis(1);

/// The storage of one simulation.
#[derive(Clone)]
pub(super) struct Server(Arc<Shared>);

struct Shared {
    world: World,
    memory: MemoryStorage,
    /// Who makes batches of commits: with lanes, each node has a group committer.
    batching: Batching,
    state: Mutex<State>,
}

struct State {
    chance: Rng,
    faults: Vec<(u64, StorageFaults)>,
    next: u64,
    journal: Journal,
    /// How the operation that takes effect just now goes.
    fate: Option<Fate>,
}

/// What becomes of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Well,
    /// It never gets there, and its caller is told so.
    Before,
    /// It takes effect, and its caller is told that it may not have.
    After,
    /// It never gets there, and its caller is told that it may have.
    Lost,
    /// Its caller gives up on it, and it takes effect later.
    Late,
}

/// How an operation goes.
#[derive(Debug, Clone, Copy)]
struct Course {
    fate: Fate,
    there: Duration,
    back: Duration,
    /// How much after its caller gave up a late operation takes effect.
    late: Duration,
}

impl Server {
    pub(super) fn new(world: &World) -> Self {
        let mut chance = world.chance("storage");
        let lanes = NonZeroUsize::new(chance.usize(..4));
        Self(Arc::new(Shared {
            world: world.clone(),
            memory: MemoryStorage::shared(),
            batching: lanes.map_or(Batching::Itself, Batching::Lanes),
            state: Mutex::new(State {
                chance,
                faults: Vec::new(),
                next: 0,
                journal: Journal::default(),
                fate: None,
            }),
        }))
    }

    /// Begins a time in which things go wrong; ends with [`Server::end`].
    pub(super) fn begin(&self, faults: StorageFaults) -> u64 {
        let mut state = self.0.state.lock();
        state.next += 1;
        let number = state.next;
        state.faults.push((number, faults));
        number
    }

    /// Ends what [`Server::begin`] began.
    pub(super) fn end(&self, number: u64) {
        let mut state = self.0.state.lock();
        state.faults.retain(|(other, _)| *other != number);
    }

    /// What has taken effect so far.
    pub(super) fn journal(&self) -> Journal {
        self.0.state.lock().journal.clone()
    }

    /// An agent as it is stored.
    pub(super) async fn load(&self, id: &AgentId) -> Option<Loaded> {
        use jido_cluster::storage::Storage;
        self.0.memory.load(id).await.ok().flatten()
    }

    /// An agent's whole thread.
    pub(super) async fn thread(&self, id: &AgentId) -> Vec<jido_cluster::Entry> {
        use jido_cluster::storage::Storage;
        let all = self
            .0
            .memory
            .read_thread(id, Default::default(), usize::MAX);
        all.await.unwrap_or_default()
    }

    /// Draws how an operation of a node goes.
    fn course(&self, node: &str) -> Course {
        let State { chance, faults, .. } = &mut *self.0.state.lock();
        let mut course = Course {
            fate: Fate::Well,
            there: between(chance, MS / 5, 3 * MS),
            back: between(chance, MS / 5, 3 * MS),
            late: between(chance, MS, 4_000 * MS),
        };
        for (_, fault) in faults.iter().filter(|(_, fault)| fault.concerns(node)) {
            if chance.u8(..100) < fault.stall {
                course.there += between(chance, 50 * MS, 3_000 * MS);
                self.0.world.count("storage: stalled");
            }
            let roll = chance.u8(..100);
            let fates = [
                (fault.before, Fate::Before),
                (fault.after, Fate::After),
                (fault.lost, Fate::Lost),
                (fault.late, Fate::Late),
            ];
            let mut sum = 0;
            for (share, fate) in fates {
                sum += share;
                if roll < sum {
                    course.fate = fate;
                    break;
                }
            }
        }
        course
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}
