//! Routers follow the lives of their node.
//!
//! Each life has routers of its own, so that nothing of a life that is over can act in
//! the name of the next. Whoever holds one that is closed looks for the present one.

use std::ops::Deref;
use std::sync::Arc;

use jido_core::Agent;
use ractor::ActorStatus;

use super::{Router, Settings};
use crate::error::{Error, ErrorKind};
use crate::node::Core;

/// A router, or the one that has taken its place.
pub(crate) enum Current<'a, A: Agent> {
    Same(&'a Router<A>),
    Later(Arc<Router<A>>),
}

impl<A: Agent> Deref for Current<'_, A> {
    type Target = Router<A>;

    fn deref(&self) -> &Router<A> {
        match self {
            Self::Same(router) => router,
            Self::Later(router) => router,
        }
    }
}

impl<A: Agent> Router<A> {
    /// The router of the node's present life, as far as one has begun.
    pub(crate) fn current(&self) -> Current<'_, A> {
        if !self.is_closed() {
            return Current::Same(self);
        }
        match self.latest.load_full() {
            Some(latest) => Current::Later(latest),
            None => Current::Same(self),
        }
    }

    /// Takes messages in a further life of the node, under the same manager.
    pub(crate) async fn go_on(&self, core: &Arc<Core>) -> Result<(), Error> {
        let supervisor = self.supervisor.get();
        let Some(supervisor) = supervisor.filter(|s| s.get_status() < ActorStatus::Draining) else {
            tracing::debug!(manager = %self.settings.name, "a manager that has stopped does not go on");
            return Ok(());
        };
        let (lease, storage) = core.hold_lease(self.settings.lease.storage()).await?;
        let settings = Settings {
            lease,
            storage,
            ..self.settings.clone()
        };
        let next = Self::of(core.clone(), settings, self.latest.clone());
        next.open(supervisor.clone());
        if !core.exchange.add_handler(&self.settings.name, next.clone())
            || !core.add_manager(next.clone())
        {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "the life is over before it began",
            ));
        }
        self.latest.store(Some(next));
        Ok(())
    }

    /// Lets go of what follows, once the manager has stopped.
    pub(crate) fn forget_latest(&self) {
        self.latest.store(None);
    }
}
