//! How a manager is configured and started.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jido_core::{Agent, AgentKey, ManagerName};
use jido_storage::{Sharing, Storage};
use ractor::Actor;

use super::InstanceManager;
use crate::activation::Durability;
use crate::error::{Error, ErrorKind};
use crate::handle::Handle;
use crate::lease::Takeover;
use crate::node::Node;
use crate::router::{Initial, Prepare, Router, Settings};

/// Configures an [`InstanceManager`].
#[must_use]
pub struct ManagerBuilder<A: Agent> {
    name: String,
    storage: Option<Arc<dyn Storage>>,
    durability: Option<Durability>,
    takeover: Takeover,
    idle_timeout: Option<Duration>,
    mailbox_limit: usize,
    concurrent_activations: usize,
    initial: Initial<A>,
    prepare: Prepare<A>,
}

impl<A: Agent> ManagerBuilder<A> {
    pub(super) fn new(name: String, initial: Initial<A>) -> Self {
        Self {
            name,
            storage: None,
            durability: None,
            takeover: Takeover::default(),
            idle_timeout: Some(Duration::from_secs(15 * 60)),
            mailbox_limit: 10_000,
            concurrent_activations: 64,
            initial,
            prepare: Box::new(|_, _| ()),
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

    /// After how long without a message an agent hibernates: at least 1 ms, 15
    /// minutes by default; `None` for never.
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.idle_timeout = timeout.into();
        self
    }

    /// How many messages may wait for one agent: at least 1, 10,000 by default.
    /// Beyond it callers get [`Overloaded`](ErrorKind::Overloaded).
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
        self.initial = Box::new(make);
        self
    }

    /// Prepares an agent whenever it was made or read from its serialized state: for
    /// fields that are not part of it (`#[serde(skip)]`).
    pub fn prepare(mut self, prepare: impl Fn(&mut A, &AgentKey) + Send + Sync + 'static) -> Self {
        self.prepare = Box::new(prepare);
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
        if self.concurrent_activations == 0 {
            return refused("concurrent_activations is 0: it is at least 1");
        }
        if self
            .idle_timeout
            .is_some_and(|timeout| timeout < Duration::from_millis(1))
        {
            return refused("idle_timeout is less than 1 ms: pass None to keep agents awake");
        }
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
        let storage = node.core().hold_lease(&storage).await?;
        let settings = Settings {
            name,
            storage,
            durability,
            takeover: self.takeover,
            idle_timeout: self.idle_timeout,
            mailbox_limit: self.mailbox_limit as u64,
            max_commit_bytes: capabilities.max_commit_bytes,
            concurrent_activations: self.concurrent_activations,
            initial: self.initial,
            prepare: self.prepare,
        };
        Ok(InstanceManager {
            router: Router::new(node.core().clone(), settings),
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
