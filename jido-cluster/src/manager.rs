//! `InstanceManager`: one ractor actor a node for one kind of agent.

mod builder;
mod message;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use jido_core::{Agent, ManagerName};
use jido_storage::Storage;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

pub use builder::{DEFAULT_REQUEST_AGE, DEFAULT_REQUEST_COUNT, DEFAULT_WAKE_EVERY, ManagerBuilder};
pub use message::ManagerMessage;

use crate::error::{Error, ErrorKind};
use crate::handle::Handle;
use crate::node::{Core, Managed};
use crate::router::{DrainProgress, Router};
use crate::runtime::OwnedTask;

/// How long the agents of a manager that is stopped by its supervisor are given
/// to hibernate.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a manager waits for one of its name that is ending.
const ENDING: Duration = Duration::from_secs(15);

/// Runs the agents of one kind on one node, as a ractor actor: it supervises their
/// activations. The managers of the same name on all nodes make up one key space.
///
/// [`ManagerBuilder::start`] spawns it under the node; to put it under a supervisor
/// of your own, [`ManagerBuilder::build`] it and spawn it like any actor:
///
/// ```
/// # use jido_cluster::*;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Default, Serialize, Deserialize)]
/// # struct Counter { count: i64 }
/// # impl Agent for Counter {
/// #     const KIND: &'static str = "counter";
/// #     type Message = i64;
/// #     type Reply = i64;
/// #     async fn handle(&mut self, by: i64, _: &mut Context<'_>) -> Result<i64, AgentError> {
/// #         self.count += by;
/// #         Ok(self.count)
/// #     }
/// # }
/// # async fn example(node: Node, supervisor: ractor::ActorCell) -> Result<(), Box<dyn std::error::Error>> {
/// use ractor::Actor;
///
/// let manager = InstanceManager::<Counter>::builder("counters")
///     .storage(storage::MemoryStorage::new())
///     .build(&node)
///     .await?;
/// let (actor, _) = Actor::spawn_linked(None, manager, (), supervisor).await?;
/// let count = ractor::call!(actor, ManagerMessage::Call, "counter-1".to_owned(), 1)??;
/// # Ok(()) }
/// ```
///
/// The supervisor gets ractor's events of the manager: that it started, terminated or failed. An agent
/// that fails touches nobody else, so that of agents it hears only if it asks for that:
/// [`ManagerBuilder::escalate_failures`].
pub struct InstanceManager<A: Agent> {
    router: Arc<Router<A>>,
    place: OnceLock<Place>,
}

/// What a running manager keeps.
#[derive(Debug)]
pub struct ManagerState {
    _chores: OwnedTask,
}

/// A manager's place at its node, which it gives up however it ends: one that was killed is
/// asked nothing any more. The actor has it, and not the actor's state, which goes to the
/// supervisor, who may start the next manager before it lets go of that.
#[derive(Debug)]
struct Place(Arc<dyn Managed>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

impl<A: Agent> InstanceManager<A> {
    /// Begins to configure a manager of this name, whose fresh agents are
    /// `A::default()`.
    pub fn builder(name: impl Into<String>) -> ManagerBuilder<A>
    where
        A: Default,
    {
        ManagerBuilder::new(name.into(), Arc::new(|_| A::default()))
    }

    /// A handle for callers on this node. It works once the actor is spawned.
    pub fn handle(&self) -> Handle<A> {
        Handle::new(self.router.clone())
    }
}

impl<A: Agent> fmt::Debug for InstanceManager<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstanceManager")
            .field("router", &self.router)
            .finish()
    }
}

#[async_trait]
impl<A: Agent> Managed for Router<A> {
    fn name(&self) -> &ManagerName {
        &self.settings().name
    }

    async fn drain(&self) -> usize {
        Box::pin(self.drain()).await
    }

    fn progress(&self) -> DrainProgress {
        self.progress()
    }

    async fn abandon(&self) {
        Box::pin(self.abandon()).await;
    }

    fn storage(&self) -> Arc<dyn Storage> {
        self.settings().lease.storage().clone()
    }

    async fn go_on(&self, core: &Arc<Core>) -> Result<(), Error> {
        self.go_on(core).await
    }

    async fn publish_metrics(&self) {
        let counts = Box::pin(self.local().counts()).await;
        self.settings().metrics.publish(counts);
    }

    fn is_ending(&self) -> bool {
        self.is_ending()
    }

    fn let_go(&self) {
        let router = self.current();
        router.close();
        router.core().remove_manager(&*router);
        self.forget_latest();
    }

    fn ended(&self) {
        self.forget_latest();
    }
}

impl<A: Agent> Actor for InstanceManager<A> {
    type Msg = ManagerMessage<A>;
    type State = ManagerState;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (): (),
    ) -> Result<ManagerState, ActorProcessingErr> {
        let router = &self.router;
        let name = router.settings().name.clone();
        router.open(myself.get_cell());
        let taken = tokio::time::timeout(ENDING, router.core().is_taken(&name));
        if taken.await.unwrap_or(true) || !router.core().exchange.add_handler(&name, router.clone())
        {
            return Err(Error::new(
                ErrorKind::Startup,
                format!("this node runs a manager named {name} already"),
            )
            .into());
        }
        if !router.core().add_manager(router.clone()) {
            router.core().exchange.remove_handler(&name);
            return Err(Error::new(
                ErrorKind::Startup,
                "the node was declared dead meanwhile: the manager has to be made again",
            )
            .into());
        }
        self.place.get_or_init(|| Place(router.clone()));
        Ok(ManagerState {
            _chores: router.chores(),
        })
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<Self::Msg>,
        _state: &mut ManagerState,
    ) -> Result<(), ActorProcessingErr> {
        let router = self.router.current();
        if tokio::time::timeout(STOP_TIMEOUT, Box::pin(router.drain()))
            .await
            .is_err()
        {
            tracing::error!(manager = %router.settings().name, "not all agents hibernated in time");
        }
        self.router.let_go();
        Ok(())
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        _state: &mut ManagerState,
    ) -> Result<(), ActorProcessingErr> {
        message.carry_out(self.handle());
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        _state: &mut ManagerState,
    ) -> Result<(), ActorProcessingErr> {
        // An agent's own panic is caught within its activation; what fails here is
        // the runtime's own. The key's next message starts a new activation.
        if let SupervisionEvent::ActorFailed(activation, error) = event {
            tracing::error!(
                manager = %self.router.settings().name, actor = %activation.get_id(), %error,
                "an activation failed"
            );
            let why = format!("an activation failed: {error}");
            self.router.escalate(&activation, why);
        }
        Ok(())
    }
}
