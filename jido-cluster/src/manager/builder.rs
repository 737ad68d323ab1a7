//! How a manager is configured and started.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jido_core::{Agent, AgentKey, ManagerName};
use jido_storage::{Sharing, Storage};
use ractor::Actor;

use super::InstanceManager;
use crate::activation::{Durability, RequestLimits};
use crate::error::{Error, ErrorKind};
use crate::handle::Handle;
use crate::lease::Takeover;
use crate::node::Node;
use crate::placement::{PlacementPolicy, Rendezvous};
use crate::reads::Reads;
use crate::rebalance::Rebalancing;
use crate::router::{Capacity, Initial, Patience, Prepare, Router, Settings};
use crate::telemetry::ManagerMetrics;

/// How many requests an agent remembers unless it is told otherwise.
pub const DEFAULT_REQUEST_COUNT: usize = 4_096;

/// For how long an agent remembers a request unless it is told otherwise.
pub const DEFAULT_REQUEST_AGE: Duration = Duration::from_secs(10 * 60);

/// How often agents are looked for that are to be reminded, unless it is said otherwise.
pub const DEFAULT_WAKE_EVERY: Duration = Duration::from_secs(1);

/// Configures an [`InstanceManager`].
#[must_use]
pub struct ManagerBuilder<A: Agent> {
    name: String,
    storage: Option<Arc<dyn Storage>>,
    durability: Option<Durability>,
    takeover: Takeover,
    placement: Arc<dyn PlacementPolicy>,
    reads: Option<Reads>,
    requests: RequestLimits,
    patience: Patience,
    capacity: Capacity,
    wake_every: Option<Duration>,
    rebalancing: Rebalancing,
    mailbox_limit: usize,
    concurrent_activations: usize,
    initial: Initial<A>,
    escalates: bool,
    prepare: Prepare<A>,
}

impl<A: Agent> ManagerBuilder<A> {
    pub(super) fn new(name: String, initial: Initial<A>) -> Self {
        Self {
            name,
            storage: None,
            durability: None,
            takeover: Takeover::default(),
            placement: Arc::new(Rendezvous),
            reads: None,
            requests: RequestLimits {
                count: DEFAULT_REQUEST_COUNT,
                age: DEFAULT_REQUEST_AGE,
            },
            patience: Patience {
                park: None,
                hibernate: Some(Duration::from_secs(15 * 60)),
            },
            capacity: Capacity::default(),
            wake_every: Some(DEFAULT_WAKE_EVERY),
            rebalancing: Rebalancing::default(),
            mailbox_limit: 10_000,
            concurrent_activations: 64,
            initial,
            escalates: false,
            prepare: Arc::new(|_, _| ()),
        }
    }

    /// Where the agents are kept. Required: there is no store that is right for all.
    pub fn storage(self, storage: impl Storage) -> Self {
        self.shared_storage(Arc::new(storage))
    }

    /// Where the agents are kept, shared with other managers of this process, for
    /// which the node then holds one lease.
    pub fn shared_storage(mut self, storage: Arc<dyn Storage>) -> Self {
        self.storage = Some(storage);
        self
    }

    /// When changes are committed: [`Durability::Command`] by default where the
    /// storage is durable, [`Durability::Hibernate`] where it isn't.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = Some(durability);
        self
    }

    /// When agents are taken over from a node that is out of reach;
    /// [`Takeover::AfterLease`] by default.
    pub fn takeover(mut self, takeover: Takeover) -> Self {
        self.takeover = takeover;
        self
    }

    /// Which node a key is placed on: by [`Rendezvous`] unless it is said here. Every node of
    /// the cluster must be given the same, as [`PlacementPolicy`] says.
    pub fn placement(mut self, policy: impl PlacementPolicy) -> Self {
        self.placement = Arc::new(policy);
        self
    }

    /// How sure an owner has to be that it still is one, before it answers a message
    /// that changed nothing: [`Reads::Leased`] by default where the storage is shared,
    /// [`Reads::Local`] where it isn't. With [`Durability::Hibernate`], where nothing
    /// that is answered is durable, it is always local.
    pub fn reads(mut self, reads: Reads) -> Self {
        self.reads = Some(reads);
        self
    }

    /// How far back every agent remembers the requests that it has applied, so that a
    /// retry gets the reply of the first try: at most `count` of them (at least 1,
    /// [`DEFAULT_REQUEST_COUNT`] by default), each for `age` after it was made (at least
    /// 1 s, [`DEFAULT_REQUEST_AGE`] by default; the clocks of callers and owners count).
    /// A retry from before that is refused as [`Expired`](ErrorKind::Expired), provided
    /// that it tells when it was made: those of a handle do, and ids of the caller's own
    /// as [`Request::id`](crate::Request::id) says.
    ///
    /// Each of them takes its reply and about 100 bytes of storage, and about as much
    /// memory without the reply while the agent runs. With [`Durability::Hibernate`]
    /// none are kept.
    pub fn request_window(mut self, count: usize, age: Duration) -> Self {
        self.requests = RequestLimits { count, age };
        self
    }

    /// After how long without a message an agent hibernates, running or parked: at least
    /// 1 ms, 15 minutes by default; `None` for never. Time while somebody is
    /// [attached](Handle::attach) does not count.
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.patience.hibernate = timeout.into();
        self
    }

    /// After how long without a message an agent is parked: at least 1 ms, less than
    /// [`idle_timeout`](ManagerBuilder::idle_timeout), and `None`, which is the default, for never. Of a parked agent this node keeps the claim and
    /// the serialized state, a few hundred bytes beyond it, and no actor; its next message
    /// runs it again without a trip to storage. To all others it is as active as before.
    ///
    /// The hooks [`started`](Agent::started) and [`stopping`](Agent::stopping) do not run:
    /// it is the same activation. What is no part of the state is lost, and
    /// [`prepare`](ManagerBuilder::prepare) sets it anew.
    pub fn park_after(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.patience.park = time.into();
        self
    }

    /// How many agents this node keeps, running and parked together: at least 1, and
    /// `None`, which is the default, for as many as are used. Beyond it the least recently
    /// used ones hibernate, a sixteenth of the capacity at once, and those that are
    /// [attached](Handle::attach) or have something to do never. So there are more than
    /// that only by those, and by what is activated while others hibernate.
    pub fn capacity(mut self, agents: impl Into<Option<usize>>) -> Self {
        self.capacity.agents = agents.into();
        self
    }

    /// How many bytes of serialized states this node keeps: at least 1, and `None`, which
    /// is the default, for any number. Beyond it agents hibernate as with
    /// [`capacity`](ManagerBuilder::capacity). What runs takes a multiple of that in memory.
    pub fn capacity_bytes(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.capacity.bytes = bytes.into();
        self
    }

    /// How often this node looks in storage for agents that are to be
    /// [reminded](jido_core::Context::remind) and don't run, to wake them: at least 10 ms,
    /// [`DEFAULT_WAKE_EVERY`] by default, with up to an eighth more or less; and `None` for never,
    /// where no agent has reminders. It is one query each time, and others for what it finds.
    pub fn wake_every(mut self, period: impl Into<Option<Duration>>) -> Self {
        self.wake_every = period.into();
        self
    }

    /// How often agents are looked for that run elsewhere than they are placed, to
    /// [move](crate::rebalance) them: at least 10 ms,
    /// [`DEFAULT_REBALANCE_INTERVAL`](crate::DEFAULT_REBALANCE_INTERVAL) by default, with up to an eighth more or
    /// less; and `None` for never, unless somebody [asks](Handle::rebalance) for it. What the node of the
    /// smallest name is told counts, so tell all nodes the same.
    pub fn rebalance_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.rebalancing.interval = interval.into();
        self
    }

    /// How many agents are moved each time at the most: 1 to
    /// [`MAX_MIGRATIONS`](crate::MAX_MIGRATIONS), 1 by default. A move costs its agent's callers a moment's
    /// wait, and storage a commit, a claim and a load.
    pub fn max_migrations(mut self, limit: usize) -> Self {
        self.rebalancing.max_migrations = limit;
        self
    }

    /// How many messages may wait for one agent, and how many replies of it for a commit: at
    /// least 1, 10,000 by default. Beyond it callers get [`Overloaded`](ErrorKind::Overloaded).
    pub fn mailbox_limit(mut self, limit: usize) -> Self {
        self.mailbox_limit = limit;
        self
    }

    /// How many agents of this manager may be claimed and loaded at a time on this
    /// node: at least 1, 64 by default.
    pub fn concurrent_activations(mut self, limit: usize) -> Self {
        self.concurrent_activations = limit;
        self
    }

    /// How a fresh agent is made; `A::default()` unless it is said here.
    pub fn initial(mut self, make: impl Fn(&AgentKey) -> A + Send + Sync + 'static) -> Self {
        self.initial = Arc::new(make);
        self
    }

    /// Prepares an agent whenever it was made or read from its serialized state: for
    /// fields that are not part of it (`#[serde(skip)]`). That is when it is activated, when it
    /// comes back from where it was parked, and when a message or a commit failed.
    pub fn prepare(mut self, prepare: impl Fn(&mut A, &AgentKey) + Send + Sync + 'static) -> Self {
        self.prepare = Arc::new(prepare);
        self
    }

    /// Whether the manager's supervisor is told of each panic of an agent, and of each activation
    /// that the runtime itself fails: as `SupervisionEvent::ActorFailed` of the activation, with a text that
    /// names the agent. False by default: an agent that fails touches that agent alone, and
    /// ractor's own handling of the event, where a supervisor has none, is to stop.
    ///
    /// After a panic nothing is left to be restarted: the agent goes on from its last good state.
    /// `Err` is an answer, and nothing that a supervisor is told of.
    pub fn escalate_failures(mut self, escalates: bool) -> Self {
        self.escalates = escalates;
        self
    }

    /// Registers the node in the storage and makes the manager, for you to spawn.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a value that is refused, with
    /// the field and the limit; [`Startup`](ErrorKind::Startup) when another live
    /// node has this node's name; [`Unavailable`](ErrorKind::Unavailable) when the
    /// storage can't be reached.
    pub async fn build(self, node: &Node) -> Result<InstanceManager<A>, Error> {
        let refused = |why: &str| Err(Error::new(ErrorKind::InvalidInput, why));
        let name = ManagerName::new(&self.name)?;
        let Some(storage) = self.storage else {
            return refused("storage is not set: a manager needs one");
        };
        if self.mailbox_limit == 0 {
            return refused("mailbox_limit is 0: it is at least 1");
        }
        if self.requests.count == 0 {
            return refused("count of request_window is 0: it is at least 1");
        }
        if self.requests.age < Duration::from_secs(1) {
            return refused("age of request_window is less than 1 s: it is at least that");
        }
        if self.concurrent_activations == 0 {
            return refused("concurrent_activations is 0: it is at least 1");
        }
        let too_short = |time: Option<Duration>| time.is_some_and(|t| t < Duration::from_millis(1));
        if too_short(self.patience.hibernate) {
            return refused("idle_timeout is less than 1 ms: pass None to keep agents awake");
        }
        if too_short(self.patience.park) {
            return refused("park_after is less than 1 ms: pass None to park no agents");
        }
        if let (Some(park), Some(idle)) = (self.patience.park, self.patience.hibernate)
            && park >= idle
            && idle < Duration::MAX
        {
            return refused(
                "park_after is no less than idle_timeout: agents would hibernate before they are parked",
            );
        }
        if self
            .wake_every
            .is_some_and(|every| every < Duration::from_millis(10))
        {
            return refused("wake_every is less than 10 ms: pass None to wake no agents");
        }
        if self.capacity.agents == Some(0) {
            return refused("capacity is 0: it is at least 1, or None");
        }
        if self.capacity.bytes == Some(0) {
            return refused("capacity_bytes is 0: it is at least 1, or None");
        }
        let rebalancing = self.rebalancing.check()?;
        let capabilities = storage.capabilities();
        if capabilities.sharing == Sharing::Process {
            tracing::warn!(
                manager = %name,
                "the storage is seen by this process alone: agents do not move between nodes, and \
                 under partition the same key may run twice"
            );
        }
        let durability = self.durability.unwrap_or(if capabilities.durable {
            Durability::Command
        } else {
            Durability::Hibernate
        });
        let reads = match (durability, capabilities.sharing) {
            (Durability::Hibernate, _) => Reads::Local,
            (Durability::Command, Sharing::Process) => self.reads.unwrap_or(Reads::Local),
            (Durability::Command, _) => self.reads.unwrap_or(Reads::Leased),
        };
        let core = node.core();
        let (lease, storage) = core.hold_lease(&storage).await?;
        let settings = Settings {
            metrics: Arc::new(ManagerMetrics::new(&name, &core.name)),
            name,
            storage,
            durability,
            reads,
            lease,
            requests: (durability == Durability::Command).then_some(self.requests),
            takeover: self.takeover,
            placement: self.placement,
            patience: self.patience,
            capacity: self.capacity,
            wake_every: self.wake_every,
            rebalancing,
            mailbox_limit: self.mailbox_limit as u64,
            max_commit_bytes: capabilities.max_commit_bytes,
            concurrent_activations: self.concurrent_activations,
            escalates: self.escalates,
            initial: self.initial,
            prepare: self.prepare,
        };
        Ok(InstanceManager {
            router: Router::new(core, settings),
            place: OnceLock::new(),
        })
    }

    /// Makes the manager and spawns it under the node.
    ///
    /// # Errors
    ///
    /// As [`build`](ManagerBuilder::build); also [`Startup`](ErrorKind::Startup)
    /// when the node runs a manager of that name already.
    pub async fn start(self, node: &Node) -> Result<Handle<A>, Error> {
        let manager = Box::pin(self.build(node)).await?;
        let handle = manager.handle();
        Actor::spawn_linked(None, manager, (), node.supervisor())
            .await
            .map_err(|error| {
                Error::new(
                    ErrorKind::Startup,
                    format!("the manager did not start: {error}"),
                )
            })?;
        Ok(handle)
    }
}

impl<A: Agent> fmt::Debug for ManagerBuilder<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagerBuilder")
            .field("name", &self.name)
            .field("storage", &self.storage)
            .field("takeover", &self.takeover)
            .finish_non_exhaustive()
    }
}
