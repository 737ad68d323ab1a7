//! The lives of a node, one after the other.
//!
//! A node that was declared dead, because it had been paused or cut off from storage for
//! longer than its lease, goes on as a new one of the same name. Nothing of the former
//! life is used again that could act in its name: it has its own incarnation, leases,
//! members, exchange, transport and routers. What goes on is the managers' actors, and
//! the handles of callers, which find the new routers.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jido_core::ClusterName;
use jido_storage::is_planted;
use ractor::ActorRef;
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::core::{Core, Managed};
use super::makings::{Makings, Ways};
use super::supervisor::SupervisorMessage;
use crate::error::{Error, ErrorKind};
use crate::network::NetworkStats;
use crate::runtime;
use crate::watched::Watched;

/// The pauses between tries to begin a life: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How far the node itself has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    GoesOn,
    /// It was told to end: no further life begins.
    Ending,
    Ended {
        by_itself: bool,
    },
}

/// A node through all its lives.
pub(super) struct Lives {
    makings: Makings,
    pub(super) supervisor: ActorRef<SupervisorMessage>,
    present: ArcSwap<Core>,
    course: Watched<Course>,
    /// Held while a life begins, and while the last one ends.
    turn: Mutex<()>,
}

impl Lives {
    /// A node in its first life.
    pub(super) fn new(
        makings: Makings,
        first: Arc<Core>,
        supervisor: ActorRef<SupervisorMessage>,
    ) -> Arc<Self> {
        let lives = Arc::new(Self {
            makings,
            supervisor,
            present: ArcSwap::new(first),
            course: Watched::new(Course::GoesOn),
            turn: Mutex::new(()),
        });
        // Ends with the node.
        runtime::spawn(lives.clone().keep());
        lives
    }

    pub(super) fn cluster(&self) -> &ClusterName {
        &self.makings.cluster
    }

    pub(super) fn network_stats(&self) -> NetworkStats {
        match &self.makings.ways {
            Ways::Network(network) => network.counters.stats(),
            Ways::Given(_) => NetworkStats::default(),
        }
    }

    /// The present life.
    pub(super) fn core(&self) -> Arc<Core> {
        self.present.load_full()
    }

    /// Waits until the node has ended; answers whether it did so by itself.
    pub(super) async fn ended(&self) -> bool {
        let is_over = |course| matches!(course, Course::Ended { .. });
        let ended = self.course.wait_for(is_over).await;
        ended == Course::Ended { by_itself: true }
    }

    /// Begins a life whenever one is declared dead, until the node is told to end.
    async fn keep(self: Arc<Self>) {
        loop {
            let core = self.core();
            tokio::select! {
                biased;
                () = self.told_to_end() => return,
                () = core.dead() => {}
            }
            let _turn = self.turn.lock().await;
            if self.course.get() != Course::GoesOn {
                return;
            }
            tracing::error!(node = %core.name, incarnation = %core.incarnation, "this life of the node was declared dead: its agents end, and another begins");
            if let Err(error) = Box::pin(self.follow(&core)).await {
                tracing::error!(node = %core.name, %error, "no further life can begin: the node ends");
                self.supervisor.stop(None);
                core.end();
                self.end(Course::Ended { by_itself: true });
                return;
            }
        }
    }

    async fn told_to_end(&self) {
        let is_told = |course| course != Course::GoesOn;
        self.course.wait_for(is_told).await;
    }

    /// Ends a life that is dead, and begins another, trying until that goes well or the
    /// node is told to end. Fails when it never will.
    async fn follow(&self, dead: &Arc<Core>) -> Result<(), Error> {
        let managers = dead.managers();
        dead.abandon().await;
        dead.transport.stop().await;
        tokio::select! {
            biased;
            () = self.told_to_end() => return Ok(()),
            () = dead.end_leases() => {}
        }
        let mut pause = FIRST_PAUSE;
        loop {
            match self.begin(dead, &managers).await {
                Ok(None) => return Ok(()),
                Ok(Some(core)) => {
                    let incarnation = core.incarnation;
                    tracing::info!(node = %core.name, %incarnation, address = core.transport.address(), "a further life of the node has begun");
                    self.present.store(core);
                    // They hold what holds them, and nobody needs them any more.
                    if !is_planted!(FormerLifeKept) {
                        dead.forget_managers();
                    }
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Startup => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "no further life has begun yet; it is tried again");
                }
            }
            tokio::select! {
                biased;
                () = self.told_to_end() => return Ok(()),
                () = sleep(pause / 2 + self.makings.environment.jitter(pause / 2)) => {}
            }
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// One try to begin a life; none if the node is told to end meanwhile.
    async fn begin(
        &self,
        dead: &Arc<Core>,
        managers: &[Arc<dyn Managed>],
    ) -> Result<Option<Arc<Core>>, Error> {
        let core = self.makings.begin(Some(dead)).await.map_err(|error| {
            // The address was there for the former life, and will be again.
            Error::new(ErrorKind::Unavailable, error.to_string()).caused_by(error)
        })?;
        let begun = tokio::select! {
            biased;
            () = self.told_to_end() => Ok(false),
            begun = go_on(&core, managers) => begun.map(|()| true),
        };
        if let Ok(true) = begun {
            return Ok(Some(core));
        }
        core.abandon().await;
        core.transport.stop().await;
        core.end_leases().await;
        core.forget_managers();
        begun.map(|_| None)
    }

    /// Tells the node to end, and waits until no life begins any more: until what is
    /// returned is dropped.
    pub(super) async fn last(&self) -> (tokio::sync::MutexGuard<'_, ()>, Arc<Core>) {
        self.end(Course::Ending);
        let turn = self.turn.lock().await;
        (turn, self.core())
    }

    /// The node has ended as it was told to.
    pub(super) fn set_ended(&self) {
        self.end(Course::Ended { by_itself: false });
    }

    fn end(&self, course: Course) {
        let goes_on = |now| !matches!(now, Course::Ended { .. });
        self.course.update(|now| goes_on(now).then_some(course));
    }
}

/// Registers a life in every storage, and only then has managers go on in it.
async fn go_on(core: &Arc<Core>, managers: &[Arc<dyn Managed>]) -> Result<(), Error> {
    for manager in managers {
        core.hold_lease(&manager.storage()).await?;
    }
    for manager in managers {
        manager.go_on(core).await?;
    }
    Ok(())
}
