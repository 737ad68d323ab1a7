//! Routers follow the lives of their node.
//!
//! Each life has routers of its own, so that nothing of a life that is over can act in
//! the name of the next. Whoever holds one that is closed looks for the present one.

use std::ops::Deref;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use jido_core::Agent;
use ractor::ActorStatus;
use tokio::sync::Notify;

use super::{Router, Settings};
use crate::error::{Error, ErrorKind};
use crate::node::{Core, Managed};
use crate::runtime::OwnedTask;

/// The router of the node's present life, unless that is its first.
pub(super) struct Latest<A: Agent> {
    router: ArcSwapOption<Router<A>>,
    /// Told when there is another.
    changed: Notify,
}

impl<A: Agent> Default for Latest<A> {
    fn default() -> Self {
        Self {
            router: ArcSwapOption::empty(),
            changed: Notify::new(),
        }
    }
}

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
        match self.latest.router.load_full() {
            Some(latest) => Current::Later(latest),
            None => Current::Same(self),
        }
    }

    /// Moves unused agents down, keeps agents elsewhere attached, wakes those that are due, and moves those that
    /// are placed elsewhere, and ends those that others took over, in each life of the
    /// node in its turn, for as long as the task is kept.
    pub(crate) fn chores(self: &Arc<Self>) -> OwnedTask {
        let first = self.clone();
        OwnedTask::spawn(async move {
            loop {
                let latest = first.latest.router.load_full();
                let router = latest.unwrap_or_else(|| first.clone());
                let _chores = (
                    router.passivation(),
                    router.keep_attached(),
                    router.waking(),
                    router.rebalancing(),
                    router.suspecting(),
                );
                first.latest.changed.notified().await;
            }
        })
    }

    /// Whether the manager's actor ends or has ended.
    pub(crate) fn is_ending(&self) -> bool {
        let manager = self.supervisor.get();
        manager.is_some_and(|manager| manager.get_status() >= ActorStatus::Draining)
    }

    /// Takes messages in a further life of the node, under the same manager.
    pub(crate) async fn go_on(&self, core: &Arc<Core>) -> Result<(), Error> {
        let supervisor = self.supervisor.get().filter(|_| !self.is_ending());
        let Some(supervisor) = supervisor else {
            tracing::debug!(manager = %self.settings.name, "a manager that has stopped does not go on");
            return Ok(());
        };
        let (lease, storage) = core.hold_lease(self.settings.lease.storage()).await?;
        let settings = Settings {
            lease,
            storage,
            ..self.settings.clone()
        };
        // Guards of callers go on; other nodes tell anew what they hold.
        let attachments = self.attachments.of_next_life();
        let next = Self::of(
            core.clone(),
            settings,
            attachments,
            self.latest.clone(),
            self.rebalancer.clone(),
        );
        next.open(supervisor.clone());
        if !core.exchange.add_handler(&self.settings.name, next.clone())
            || !core.add_manager(next.clone())
        {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "the life is over before it began",
            ));
        }
        self.latest.router.store(Some(next.clone()));
        self.latest.changed.notify_one();
        if self.is_ending() {
            // It ended meanwhile, and may have let go before there was this one.
            next.let_go();
        }
        Ok(())
    }

    /// Lets go of what follows, once the manager has stopped.
    pub(crate) fn forget_latest(&self) {
        self.latest.router.store(None);
    }
}
