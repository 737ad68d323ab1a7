//! One life of one simulated node.

use std::sync::Arc;
use std::time::Duration;

use jido_cluster::storage::Storage;
use jido_cluster::transport::Peer;
use jido_cluster::{Agent, Error, Handle, Node, NodeBuilder};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::sim::environment::SimEnvironment;
use crate::sim::network::{Network, SimTransport};
use crate::sim::storage::Connection;
use crate::sim::world::World;
use crate::wiring;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Awake,
    Paused,
    Killed,
}

/// How a node of a name is configured besides.
pub(super) type Labelling = dyn Fn(&str, NodeBuilder) -> NodeBuilder + Send + Sync;

/// A life of a node; clones are the same one.
pub(super) struct Life<A: Agent>(Arc<Inner<A>>);

struct Inner<A: Agent> {
    name: String,
    label: String,
    network: Network,
    connection: Connection,
    storage: Arc<dyn Storage>,
    environment: Arc<SimEnvironment>,
    phase: Mutex<Phase>,
    /// Wakes in the order of waiting, which a watch channel does not.
    changed: Notify,
    node: Mutex<Option<Node>>,
    handle: Mutex<Option<Handle<A>>>,
}

impl<A: Agent> Clone for Life<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<A: Agent> Life<A> {
    pub(super) fn new(
        world: &World,
        network: &Network,
        connection: Connection,
        name: &str,
        label: String,
    ) -> Self {
        Self(Arc::new(Inner {
            name: name.to_owned(),
            environment: SimEnvironment::new(world, &label),
            label,
            network: network.clone(),
            storage: Arc::new(connection.clone()),
            connection,
            phase: Mutex::new(Phase::Awake),
            changed: Notify::new(),
            node: Mutex::default(),
            handle: Mutex::default(),
        }))
    }

    pub(super) fn label(&self) -> &str {
        &self.0.label
    }

    pub(super) fn storage(&self) -> Arc<dyn Storage> {
        self.0.storage.clone()
    }

    pub(super) fn environment(&self) -> &SimEnvironment {
        &self.0.environment
    }

    pub(super) fn node(&self) -> Option<Node> {
        self.0.node.lock().clone()
    }

    pub(super) fn handle(&self) -> Option<Handle<A>> {
        self.0.handle.lock().clone()
    }

    pub(super) async fn start_node(
        &self,
        cluster: &str,
        ttl: Duration,
        labels: &Labelling,
    ) -> Result<Node, Error> {
        let (network, label) = (self.0.network.clone(), self.0.label.clone());
        let node = Node::builder(&self.0.name)
            .cluster(cluster)
            .lease_ttl(ttl)
            .environment(self.0.environment.clone())
            .transport(move |name, incarnation| {
                let peer = Peer {
                    name: name.clone(),
                    incarnation,
                    address: label.clone(),
                };
                SimTransport::new(network.clone(), peer, label.clone())
            });
        let node = labels(&self.0.name, node).start().await?;
        *self.0.node.lock() = Some(node.clone());
        if *self.0.phase.lock() == Phase::Killed {
            self.kill(false);
        }
        Ok(node)
    }

    pub(super) fn runs(&self, handle: Handle<A>) {
        *self.0.handle.lock() = Some(handle);
    }

    /// Cuts everything off first, so that nobody sees what the node still does, and
    /// then takes it down.
    pub(super) fn kill(&self, power: bool) {
        self.0.connection.kill();
        let node = self.0.node.lock().take();
        if let Some(node) = node {
            self.0.network.kill(node.incarnation(), power);
            wiring::spawn(async move { node.halt().await });
        }
        self.0.handle.lock().take();
        *self.0.phase.lock() = Phase::Killed;
        self.0.changed.notify_waiters();
    }

    pub(super) fn deafen(&self, deaf: bool) {
        self.0.connection.deafen(deaf);
    }

    pub(super) fn pause(&self) {
        if let Some(node) = self.node() {
            self.0.connection.pause();
            self.0.network.pause(node.incarnation());
            self.change(Phase::Awake, Phase::Paused);
        }
    }

    pub(super) fn resume(&self) {
        if let Some(node) = self.node() {
            self.change(Phase::Paused, Phase::Awake);
            self.0.network.resume(node.incarnation());
            self.0.connection.resume();
        }
    }

    fn change(&self, from: Phase, to: Phase) {
        let mut phase = self.0.phase.lock();
        if *phase == from {
            *phase = to;
            drop(phase);
            self.0.changed.notify_waiters();
        }
    }

    /// Waits until it is killed.
    pub(super) async fn killed(&self) {
        self.until(Phase::Killed).await;
    }

    /// Waits until it isn't paused.
    pub(super) async fn awake(&self) {
        self.until(Phase::Awake).await;
    }

    async fn until(&self, wanted: Phase) {
        loop {
            let changed = self.0.changed.notified();
            if *self.0.phase.lock() == wanted {
                return;
            }
            changed.await;
        }
    }
}
