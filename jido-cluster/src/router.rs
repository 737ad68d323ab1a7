//! From a key to the activation that answers for it, wherever that is.
//!
//! One way for all: an activation on this node, found without a lock; else the
//! node that is known to own the key; else the node that it is placed on. What is
//! refused there comes back and goes on to where it belongs, within the time of
//! the call.

mod attachments;
mod attempt;
mod course;
mod current;
mod draining;
mod errands;
mod inbound;
mod moving;
mod passivation;
mod queries;
mod rebalancing;
mod request;
mod sending;
mod settings;
mod suspicion;
mod waking;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use jido_core::{Agent, AgentId, AgentKey, Epoch, Incarnation};
use jido_storage::is_planted;
use parking_lot::Mutex;
use ractor::{ActorCell, ActorRuntime, SupervisionEvent};
use tokio::sync::{Notify, Semaphore};

use crate::activation::{Activation, ActivationMessage, Start};
use crate::delivery::{Delivery, Refusal};
use crate::error::{Error, ErrorKind};
use crate::local::{Found, Gauge, Local, LocalMap, Parked, millis};
use crate::node::Core;
use crate::placement;
use crate::reads::Confirmations;
use crate::telemetry::{Trace, Whose};

use attachments::Attachments;
pub(crate) use current::Current;
use current::Latest;
pub use draining::DrainProgress;
use draining::Drained;
pub(crate) use passivation::{Capacity, Patience};
pub use queries::{AgentPage, Ownership, Stats};
use rebalancing::Rebalancer;
pub(crate) use request::{Given, RequestOptions};
use sending::Sending;
pub(crate) use sending::stopped;
pub(crate) use settings::{Initial, Prepare, Settings};
use suspicion::Suspicion;

/// How many owners of keys placed elsewhere are remembered.
const HINTS: usize = 100_000;

/// Where a message for a key goes from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// To an activation on this node.
    Here,
    /// To another node, because it is placed there or, as remembered, owns it.
    There { node: Incarnation, hinted: bool },
    /// Nowhere: no member that isn't leaving runs the manager.
    Nowhere,
}

/// An owner of a key that is placed elsewhere, as it was heard of.
#[derive(Debug, Clone, Copy)]
struct Hint {
    owner: Incarnation,
    /// Whether there was no session with it then: others pass messages on to it.
    beyond: bool,
}

/// Routes the messages of one manager in one life of one node.
pub(crate) struct Router<A: Agent> {
    core: Arc<Core>,
    settings: Settings<A>,
    seed: u64,
    local: LocalMap<A>,
    /// Owners that differ from the placement, as they were heard of.
    hints: quick_cache::sync::Cache<AgentKey, Hint>,
    /// Held while an activation is started, so that a key gets one.
    starting: Mutex<()>,
    activations: Semaphore,
    attachments: Attachments,
    /// Told when there may be more agents than the manager's capacity.
    crowded: Notify,
    confirmations: Arc<Confirmations>,
    supervisor: OnceLock<ActorCell>,
    closed: AtomicBool,
    drained: Drained,
    suspicion: Suspicion,
    /// The same for the routers of all lives of the node, as the next.
    latest: Arc<Latest<A>>,
    rebalancer: Arc<Rebalancer>,
    sending: Sending,
    me: Weak<Router<A>>,
}

impl<A: Agent> Router<A> {
    pub(crate) fn new(core: Arc<Core>, settings: Settings<A>) -> Arc<Self> {
        let latest = Arc::default();
        Self::of(
            core,
            settings,
            Attachments::default(),
            latest,
            Arc::default(),
        )
    }

    fn of(
        core: Arc<Core>,
        settings: Settings<A>,
        attachments: Attachments,
        latest: Arc<Latest<A>>,
        rebalancer: Arc<Rebalancer>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            seed: placement::manager_seed(&core.cluster, &settings.name),
            local: LocalMap::new(core.environment.random()),
            hints: quick_cache::sync::Cache::new(HINTS),
            starting: Mutex::new(()),
            // As many as nobody ever has are as good as more.
            activations: Semaphore::new(
                settings.concurrent_activations.min(Semaphore::MAX_PERMITS),
            ),
            attachments,
            crowded: Notify::new(),
            confirmations: Confirmations::new(settings.storage.clone()),
            supervisor: OnceLock::new(),
            closed: AtomicBool::new(false),
            drained: Drained::default(),
            suspicion: Suspicion::default(),
            latest,
            rebalancer,
            sending: Sending::default(),
            me: me.clone(),
            core,
            settings,
        })
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(crate) fn settings(&self) -> &Settings<A> {
        &self.settings
    }

    /// Whose spans those of an agent's key are.
    pub(crate) fn whose<'a>(&'a self, key: &'a str) -> Whose<'a> {
        Whose {
            manager: &self.settings.name,
            node: &self.core.name,
            key,
        }
    }

    pub(crate) fn local(&self) -> &LocalMap<A> {
        &self.local
    }

    pub(crate) fn activations(&self) -> &Semaphore {
        &self.activations
    }

    pub(crate) fn attachments(&self) -> &Attachments {
        &self.attachments
    }

    pub(crate) fn confirmations(&self) -> &Arc<Confirmations> {
        &self.confirmations
    }

    pub(crate) fn key_hash(&self, key: &str) -> u64 {
        placement::key_hash(self.seed, key)
    }

    pub(crate) fn agent_id(&self, key: &AgentKey) -> AgentId {
        AgentId::new(
            self.core.cluster.clone(),
            self.settings.name.clone(),
            key.clone(),
        )
    }

    /// Takes messages from here on, its activations being supervised by the manager.
    pub(crate) fn open(&self, supervisor: ActorCell) {
        let _ = self.supervisor.set(supervisor);
    }

    /// Tells the manager's supervisor that an agent or its activation failed, if it wants to
    /// hear of it.
    pub(crate) fn escalate(&self, activation: &ActorCell, why: String) {
        if self.settings.escalates
            && let Some(manager) = self.supervisor.get()
        {
            let failed = SupervisionEvent::ActorFailed(activation.clone(), why.into());
            manager.notify_supervisor(failed);
        }
    }

    /// A panic as an agent's error, of which the manager's supervisor is told.
    pub(crate) fn panicked(&self, me: Option<&ActorCell>, id: &AgentId, why: String) -> Error {
        if let Some(me) = me {
            self.escalate(me, format!("{id}: {why}"));
        }
        Error::new(ErrorKind::Agent, why)
    }

    /// Whether the manager has stopped on this node for good.
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_closed() && !self.core.is_dead()
    }

    /// Starts no activation any more.
    pub(crate) fn close(&self) {
        // One that is being started is in its place when this returns.
        let _starting = self.starting.lock();
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Where a message for a key goes that no activation on this node answers for.
    /// With `verify`, what was heard of owners is not believed.
    pub(crate) fn target(&self, key: &str, hash: u64, verify: bool) -> Target {
        let me = self.core.incarnation;
        let view = self.core.members.view();
        if is_planted!(StaleReferenceKept)
            && let Some(Hint { owner, .. }) = self.hints.get(key)
        {
            return Target::There {
                node: owner,
                hinted: true,
            };
        }
        if !verify
            && !self.hints.is_empty()
            && let Some(Hint { owner, beyond }) = self.hints.get(key)
        {
            let serves = view.serves(owner, &self.settings.name);
            if serves && owner != me || beyond && !view.contains(owner) {
                return Target::There {
                    node: owner,
                    hinted: true,
                };
            }
            self.hints.remove(key);
        }
        match view.place(&self.settings.name, key, hash) {
            Some(node) if node == me => Target::Here,
            Some(node) => Target::There {
                node,
                hinted: false,
            },
            None => Target::Nowhere,
        }
    }

    pub(crate) fn remember_owner(&self, key: &AgentKey, owner: Incarnation) {
        if owner != self.core.incarnation {
            let beyond = !self.core.members.view().contains(owner);
            self.hints.insert(key.clone(), Hint { owner, beyond });
        }
    }

    pub(crate) fn forget_owner(&self, key: &str) {
        if is_planted!(StaleReferenceKept) {
            return;
        }
        self.hints.remove(key);
    }

    /// Delivers to the activation on this node, starting one if there is none.
    pub(crate) fn deliver_here(&self, key: &AgentKey, delivery: Delivery<A>) {
        let mut undelivered = Some(delivery);
        while let Some(delivery) = undelivered.take() {
            if let Err(refusal) = self.ensure_started(key, delivery.trace()) {
                return delivery.refuse(refusal);
            }
            let mut waiting = Some(delivery);
            self.local.find(key.as_str(), |local| {
                undelivered = waiting.take().and_then(|delivery| {
                    local.deliver(delivery, self.settings.mailbox_limit).err()
                });
            });
            if undelivered.is_some() {
                // It has ended: the next one takes its place.
                self.local.remove_ended(key.as_str());
            }
            // It went away between the start and the look-up.
            undelivered = undelivered.or(waiting);
        }
    }

    /// Sees to it that a key has an activation on this node: a parked agent runs again,
    /// also while the node is leaving, since it has the claim; any other starts only
    /// before that. `cause` is what it is started for.
    pub(crate) fn ensure_started(&self, key: &AgentKey, cause: &Trace) -> Result<(), Refusal> {
        if self.local.runs(key.as_str()) {
            return Ok(());
        }
        let _starting = self.starting.lock();
        let parked = match self.local.find(key.as_str(), |_| ()) {
            Found::Running(()) => return Ok(()),
            Found::Parked => self.local.parked(key.as_str()),
            Found::Nothing => None,
        };
        let (Some(supervisor), Some(router), false) = (
            self.supervisor.get(),
            self.me.upgrade(),
            self.is_closed() && parked.is_none(),
        ) else {
            return Err(Refusal::Stopped);
        };
        let used_ms = match &parked {
            Some(parked) => parked.used_ms,
            None => millis(self.core.deadlines.now()),
        };
        let gauge = Arc::new(Gauge::new(used_ms));
        if let Some(parked) = &parked {
            // Its bytes are counted already.
            gauge.set_bytes(parked.state.len());
        }
        let start = Start {
            router,
            key: key.clone(),
            gauge: gauge.clone(),
            me: None,
            cause: cause.clone(),
            parked,
        };
        let (actor, _) =
            ActorRuntime::spawn_linked_instant(None, Activation::new(), start, supervisor.clone())
                .map_err(|error| {
                    Refusal::unsettled(format!("an activation did not start: {error}"))
                })?;
        self.local.insert(key.clone(), Local::new(actor, gauge));
        // It may have ended before it came to its place, which it could not clear then.
        self.local.remove_ended(key.as_str());
        self.has_grown();
        Ok(())
    }

    /// Puts what is kept of an agent into the place of its activation, unless a message
    /// waits for it.
    pub(crate) fn park(&self, key: &AgentKey, gauge: &Arc<Gauge>, parked: Parked) -> bool {
        let _starting = self.starting.lock();
        self.local.park(key, gauge, parked)
    }

    /// Storage says that an agent has a newer owner than this epoch: ends what this node
    /// has of it, before its next message.
    pub(crate) fn lost(&self, key: &AgentKey, epoch: Epoch) {
        // Kept from being parked or going on in between.
        let _starting = self.starting.lock();
        if !self
            .local
            .tell(key.as_str(), ActivationMessage::Lost(epoch))
        {
            self.local.remove_parked(key.as_str(), Some(epoch));
        }
    }
}

impl<A: Agent> fmt::Debug for Router<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("manager", &self.settings.name)
            .field("node", &self.core.name)
            .field("local", &self.local.len())
            .finish_non_exhaustive()
    }
}
