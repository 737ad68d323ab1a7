//! What everything on a node shares.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use jido_core::{ClusterName, Incarnation, ManagerName, NodeName, Operation};
use jido_storage::{Batching, GroupCommitter, GroupOptions, Storage};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Makings;
use crate::deadlines::Deadlines;
use crate::environment::Environment;
use crate::error::{Error, ErrorKind};
use crate::exchange::{Exchange, LANES, Load, Question};
use crate::lease::{HeldLease, Lease};
use crate::members::{Member, Members};
use crate::router::DrainProgress;
use crate::runtime;
use crate::telemetry::{NodeCounts, NodeMetrics, Since};
use crate::transport::Transport;
use crate::watched::Watched;

/// How long a storage is given to answer when it is asked whether it does.
const STORAGE_CHECK: Duration = Duration::from_secs(2);

/// How long agents that are told to end without a word are given. One whose handler takes
/// longer ends by itself after it, can neither commit nor answer from its state any more, and
/// is not waited for.
const AGENTS_END: Duration = Duration::from_secs(2);

/// A manager, as its node sees it.
#[async_trait]
pub(crate) trait Managed: std::fmt::Debug + Send + Sync + 'static {
    fn name(&self) -> &ManagerName;
    /// Hibernates and releases all agents; answers how many.
    async fn drain(&self) -> usize;
    /// How far that is.
    fn progress(&self) -> DrainProgress;
    /// Ends all agents without a word to storage.
    async fn abandon(&self);
    /// Where its agents are kept.
    fn storage(&self) -> Arc<dyn Storage>;
    /// Goes on in a further life of the node, which is registered in its storage.
    async fn go_on(&self, core: &Arc<Core>) -> Result<(), Error>;
    /// Publishes how its agents are.
    async fn publish_metrics(&self);
    /// Whether its actor ends or has ended.
    fn is_ending(&self) -> bool;
    /// Its actor has ended.
    fn let_go(&self);
    /// The node has ended, and no life follows.
    fn ended(&self);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Up,
    Leaving,
    /// The node has ended as it was told to.
    Ended,
    /// Storage says that it is over.
    Dead,
}

/// A storage that managers of this node use.
#[derive(Debug)]
struct Held {
    held: HeldLease,
    /// The same storage as activations use it, all of this node alike: by this their
    /// commits share batches.
    commits: Arc<dyn Storage>,
}

/// One life of one node.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) name: NodeName,
    pub(crate) cluster: ClusterName,
    pub(crate) incarnation: Incarnation,
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) members: Arc<Members>,
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) deadlines: Arc<Deadlines>,
    pub(crate) metrics: Arc<NodeMetrics>,
    lease_ttl: Duration,
    group_commit: GroupOptions,
    storages: tokio::sync::Mutex<Vec<Held>>,
    /// Who makes the batches of each, to be looked at.
    makers: Mutex<Vec<Weak<dyn Storage>>>,
    managers: Mutex<Vec<Arc<dyn Managed>>>,
    manager_removed: Notify,
    life: Watched<Life>,
    /// Why the node isn't well, by its own signals.
    pub(super) ailment: Mutex<Option<String>>,
}

impl Core {
    pub(super) fn new(makings: &Makings, me: Member, transport: Arc<dyn Transport>) -> Self {
        let (name, incarnation) = (me.name.clone(), me.incarnation);
        let members = Arc::new(Members::new(me));
        Self {
            name,
            cluster: makings.cluster.clone(),
            incarnation,
            environment: makings.environment.clone(),
            exchange: Exchange::new(transport.clone(), members.clone()),
            transport,
            members,
            deadlines: makings.deadlines.clone(),
            metrics: makings.metrics.clone(),
            lease_ttl: makings.lease_ttl,
            group_commit: makings.group_commit.clone(),
            storages: tokio::sync::Mutex::default(),
            makers: Mutex::default(),
            managers: Mutex::default(),
            manager_removed: Notify::new(),
            life: Watched::new(Life::Up),
            ailment: Mutex::default(),
        }
    }

    /// Registers this life in a storage, once for each storage. Answers with the lease
    /// and with the storage that activations use.
    pub(crate) async fn hold_lease(
        self: &Arc<Self>,
        storage: &Arc<dyn Storage>,
    ) -> Result<(Arc<Lease>, Arc<dyn Storage>), Error> {
        let mut storages = self.storages.lock().await;
        let known = storages
            .iter()
            .find(|known| Arc::ptr_eq(known.held.lease.storage(), storage));
        if let Some(Held { held, commits }) = known {
            return Ok((held.lease.clone(), commits.clone()));
        }
        let commits = self.grouped(storage)?;
        let held = Lease::hold(self, storage.clone(), self.lease_ttl).await?;
        commits.watch_batches(self.metrics.batches());
        self.makers.lock().push(Arc::downgrade(&commits));
        let lease = held.lease.clone();
        storages.push(Held {
            held,
            commits: commits.clone(),
        });
        Ok((lease, commits))
    }

    /// The storage behind a group committer, unless it makes batches itself.
    fn grouped(&self, storage: &Arc<dyn Storage>) -> Result<Arc<dyn Storage>, Error> {
        if storage.capabilities().batching == Batching::Itself {
            return Ok(storage.clone());
        }
        let (group, drivers) = GroupCommitter::new(storage.clone(), &self.group_commit)?;
        for driver in drivers {
            // Ends by itself, once nobody has the committer any more.
            runtime::spawn(driver.run());
        }
        Ok(Arc::new(group))
    }

    /// The time since something began, for a metric.
    pub(crate) fn since(&self, began: Duration) -> Since<'_> {
        Since {
            clock: &self.deadlines,
            began,
        }
    }

    /// Publishes what is under way now.
    pub(super) async fn publish_metrics(&self) {
        let Load {
            open,
            open_bytes,
            unanswered,
        } = self.exchange.load();
        let makers = self.makers.lock().clone();
        let makers = makers.iter().filter_map(Weak::upgrade);
        let commit_queue = makers.map(|maker| maker.queued()).sum();
        self.metrics.publish(NodeCounts {
            members: self.members.view().members().len(),
            asks_open: open,
            asks_open_bytes: open_bytes,
            asks_unanswered: unanswered,
            commit_queue,
        });
        for manager in self.managers() {
            manager.publish_metrics().await;
        }
    }

    /// Adds a manager; false if this life is over.
    #[must_use]
    pub(crate) fn add_manager(&self, manager: Arc<dyn Managed>) -> bool {
        let mut managers = self.managers.lock();
        // Whoever carries the managers over has declared this life dead before.
        let goes_on = !self.is_dead();
        if goes_on {
            managers.push(manager);
        }
        goes_on
    }

    /// Lets go of a manager whose actor has ended, so that another of its name may follow.
    pub(crate) fn remove_manager(&self, gone: &dyn Managed) {
        let mut managers = self.managers.lock();
        let before = managers.len();
        managers.retain(|known| !std::ptr::addr_eq(Arc::as_ptr(known), gone));
        // The name may be another's by now.
        if managers.len() < before {
            self.exchange.remove_handler(gone.name());
        }
        drop(managers);
        self.manager_removed.notify_waiters();
    }

    /// Waits until no manager of this name is ending. Answers whether one runs.
    pub(crate) async fn is_taken(&self, name: &ManagerName) -> bool {
        loop {
            let removed = self.manager_removed.notified();
            let known = self.managers();
            let Some(known) = known.iter().find(|known| known.name() == name) else {
                return false;
            };
            if !known.is_ending() {
                return true;
            }
            removed.await;
        }
    }

    pub(super) fn managers(&self) -> Vec<Arc<dyn Managed>> {
        self.managers.lock().clone()
    }

    /// Ends all agents of this life without a word to storage.
    pub(super) async fn abandon(&self) {
        let managers = self.managers();
        let ends = managers.iter().map(async |manager| {
            if tokio::time::timeout(AGENTS_END, manager.abandon()).await.is_err() {
                tracing::warn!(manager = %manager.name(), "not all agents of a life that is over have ended");
            }
        });
        join_all(ends).await;
    }

    /// How far each manager is, once the node leaves.
    pub(super) fn progress(&self) -> Vec<DrainProgress> {
        match self.life.get() {
            Life::Leaving => {
                let managers = self.managers.lock();
                managers.iter().map(|manager| manager.progress()).collect()
            }
            Life::Up | Life::Ended | Life::Dead => Vec::new(),
        }
    }

    pub(super) fn leave(&self) {
        self.life
            .update(|life| (life == Life::Up).then_some(Life::Leaving));
        self.members.leaving(self.incarnation);
    }

    /// The end of the node, in its last life: lets go of the managers.
    pub(super) fn end(&self) {
        self.life
            .update(|life| (life != Life::Dead).then_some(Life::Ended));
        for manager in self.managers() {
            manager.ended();
        }
        self.forget_managers();
    }

    /// Lets go of the managers, so that nothing of this life is kept alive by itself.
    pub(super) fn forget_managers(&self) {
        for manager in self.managers.lock().drain(..) {
            self.exchange.remove_handler(manager.name());
        }
    }

    /// Storage says that this life is over. Whoever keeps the node hears of it.
    pub(crate) fn declared_dead(&self) {
        self.life.update(|_| Some(Life::Dead));
    }

    /// Waits until this life is declared dead.
    pub(super) async fn dead(&self) {
        self.life.wait_for(|life| life == Life::Dead).await;
    }

    /// Whether this life was declared dead; another follows then, unless the node ends.
    pub(crate) fn is_dead(&self) -> bool {
        self.life.get() == Life::Dead
    }

    /// Whether nothing is to be done in this life any more.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.life.get(), Life::Ended | Life::Dead)
    }

    pub(super) async fn end_leases(&self) {
        for storage in self.storages.lock().await.drain(..) {
            storage.held.lease.give_up(self).await;
        }
    }

    pub(super) async fn drop_leases(&self) {
        self.storages.lock().await.clear();
    }

    pub(super) async fn ready(&self) -> Result<(), Error> {
        let unavailable = |why: String| Error::new(ErrorKind::Unavailable, why);
        match self.life.get() {
            Life::Up => {}
            Life::Leaving => return Err(Error::new(ErrorKind::Stopped, "the node is leaving")),
            Life::Ended => return Err(Error::new(ErrorKind::Stopped, "the node has ended")),
            Life::Dead => {
                return Err(unavailable(
                    "the node was declared dead and begins a new life".into(),
                ));
            }
        }
        if let Some(why) = &*self.ailment.lock() {
            return Err(unavailable(format!("the node isn't well: {why}")));
        }
        if !self.transport.is_settled() {
            return Err(unavailable("not every seed was tried yet".into()));
        }
        let now = self.environment.elapsed();
        let mut storages = Vec::new();
        for Held { held, .. } in self.storages.lock().await.iter() {
            if !held.lease.is_held(now) {
                return Err(unavailable("the lease is not held".into()));
            }
            storages.push(held.lease.storage().clone());
        }
        for storage in storages {
            match tokio::time::timeout(STORAGE_CHECK, storage.nodes(&self.cluster)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => return Err(unavailable("the storage does not answer".into())),
            }
        }
        Ok(())
    }

    /// Waits until every member has answered on every lane, or is gone.
    pub(super) async fn barrier(&self) {
        let Some(manager) = self
            .managers()
            .first()
            .map(|manager| manager.name().clone())
        else {
            return;
        };
        let mut asked = Vec::new();
        let view = self.members.view();
        for member in view
            .members()
            .iter()
            .filter(|m| m.incarnation != self.incarnation)
        {
            // An answer comes after all that the peer sent on the same lane before.
            for lane in 0..LANES {
                let question = Question {
                    lane,
                    ..Question::of_node(Operation::Stats, STORAGE_CHECK, bytes::Bytes::new())
                };
                asked.extend(
                    self.exchange
                        .ask(member.incarnation, &manager, question)
                        .ok(),
                );
            }
        }
        drop(view);
        join_all(asked).await;
    }
}
