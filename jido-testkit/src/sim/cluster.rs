//! Nodes that are started, crashed, drained and paused.

mod client;
mod faults;
mod life;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jido_cluster::{
    Agent, AgentId, Durability, Entry, Error, Handle, InstanceManager, ManagerBuilder, NodeBuilder,
    ReminderList,
};
use parking_lot::Mutex;

use super::network::Network;
use super::storage::{Connection, Journal, Server};
use super::world::World;
use crate::check::hops::Sent;
pub use client::Client;
use life::{Labelling, Life};

/// The cluster's name.
pub const CLUSTER: &str = "sim";

/// The manager's name.
pub const MANAGER: &str = "agents";

type Setup<A> = dyn Fn(ManagerBuilder<A>) -> ManagerBuilder<A> + Send + Sync;

/// A simulated cluster: nodes of the real code, with one manager of one kind of agent
/// each, over a simulated network, storage, clock and chance.
///
/// ```
/// use std::time::Duration;
/// use jido_testkit::sim::{SimCluster, simulate};
/// # use jido_cluster::{Agent, AgentError, Context};
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
///
/// let (count, traced) = simulate(7, false, |world| async move {
///     let cluster = SimCluster::<Counter>::new(&world, Duration::from_secs(1), |manager| manager);
///     for name in ["n1", "n2", "n3"] {
///         cluster.start(name).await?;
///     }
///     let client = cluster.handle("n1").expect("n1 was started");
///     client.call("a", 1).await?;
///     let owner = client.owner("a").await?.owner.expect("it runs");
///     cluster.crash(owner.as_str(), false);
///     cluster.start(owner.as_str()).await?;
///     cluster.handle("n2").expect("n2 runs").call("a", 1).await
/// })?;
/// assert_eq!(count?, 2);
/// assert!(traced.events > 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SimCluster<A: Agent> {
    world: World,
    network: Network,
    server: Server,
    lease_ttl: Duration,
    setup: Arc<Setup<A>>,
    labels: Arc<Labelling>,
    nodes: Arc<Mutex<BTreeMap<String, Slot<A>>>>,
}

struct Slot<A: Agent> {
    lives: u64,
    life: Option<Life<A>>,
}

impl<A: Agent> Clone for SimCluster<A> {
    fn clone(&self) -> Self {
        Self {
            world: self.world.clone(),
            network: self.network.clone(),
            server: self.server.clone(),
            lease_ttl: self.lease_ttl,
            setup: self.setup.clone(),
            labels: self.labels.clone(),
            nodes: self.nodes.clone(),
        }
    }
}

impl<A: Agent> SimCluster<A> {
    /// A cluster without nodes. `setup` adds to how their managers are configured:
    /// time-outs, hooks, the policy of takeover. Storage is set already, and agents
    /// are committed before their replies leave. The leases' time to live is 200 ms at
    /// the least.
    pub fn new(
        world: &World,
        lease_ttl: Duration,
        setup: impl Fn(ManagerBuilder<A>) -> ManagerBuilder<A> + Send + Sync + 'static,
    ) -> Self
    where
        A: Default,
    {
        Self {
            world: world.clone(),
            network: Network::new(world),
            server: Server::new(world),
            lease_ttl,
            setup: Arc::new(setup),
            labels: Arc::new(|_, node| node),
            nodes: Arc::default(),
        }
    }

    /// Adds to how nodes are configured, given their names: zones, weights. Cluster, lease,
    /// environment and transport are set already.
    #[must_use]
    pub fn nodes(
        mut self,
        labels: impl Fn(&str, NodeBuilder) -> NodeBuilder + Send + Sync + 'static,
    ) -> Self {
        self.labels = Arc::new(labels);
        self
    }

    /// The world that the cluster is in.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Starts a node, in a further life where it had one before.
    ///
    /// # Errors
    ///
    /// Those of [`NodeBuilder::start`](jido_cluster::NodeBuilder::start) and
    /// [`ManagerBuilder::start`]; the node is down then. Also
    /// [`Startup`](jido_cluster::ErrorKind::Startup) when it runs or is starting.
    pub async fn start(&self, name: &str) -> Result<(), Error>
    where
        A: Default,
    {
        let life = {
            let mut nodes = self.nodes.lock();
            let slot = nodes.entry(name.to_owned()).or_insert(Slot {
                lives: 0,
                life: None,
            });
            if slot.life.is_some() {
                let why = format!("{name} runs, or is starting");
                return Err(Error::new(jido_cluster::ErrorKind::Startup, why));
            }
            slot.lives += 1;
            if slot.lives > 1 {
                self.world.count("node restarted");
            }
            let life = self.new_life(name, slot.lives);
            slot.life = Some(life.clone());
            life
        };
        let started = self.bring_up(&life).await;
        if let Err(error) = &started {
            self.world
                .note(format_args!("node {} did not start: {error}", life.label()));
            self.remove(&life);
            life.kill(false);
        }
        started
    }

    /// Starts one more node under a name, beside the one that may run, and takes it
    /// down again if it came up. Tells how that went.
    ///
    /// # Errors
    ///
    /// As [`SimCluster::start`]: an error is what ought to come while one runs.
    pub async fn start_double(&self, name: &str) -> Result<(), Error>
    where
        A: Default,
    {
        let lives = {
            let mut nodes = self.nodes.lock();
            let slot = nodes.entry(name.to_owned()).or_insert(Slot {
                lives: 0,
                life: None,
            });
            slot.lives += 1;
            slot.lives
        };
        let life = self.new_life(name, lives);
        let started = self.bring_up(&life).await;
        life.kill(false);
        started
    }

    fn new_life(&self, name: &str, number: u64) -> Life<A> {
        let label = format!("{name}.{number}");
        let connection = Connection::new(&self.server, name, &label);
        Life::new(&self.world, &self.network, connection, name, label)
    }

    async fn bring_up(&self, life: &Life<A>) -> Result<(), Error>
    where
        A: Default,
    {
        self.world
            .note(format_args!("node {} starts", life.label()));
        let node = life
            .start_node(CLUSTER, self.lease_ttl, &*self.labels)
            .await?;
        let manager = InstanceManager::<A>::builder(MANAGER)
            .shared_storage(life.storage())
            .durability(Durability::Command);
        let handle = (self.setup)(manager).start(&node).await?;
        self.world.note(format_args!("node {} runs", life.label()));
        self.world.count("node started");
        life.runs(handle);
        Ok(())
    }

    /// Takes a life out of its place, if it is still there.
    fn remove(&self, life: &Life<A>) -> bool {
        let mut nodes = self.nodes.lock();
        let slot = nodes.values_mut().find(|slot| {
            let other = slot.life.as_ref();
            other.is_some_and(|other| other.label() == life.label())
        });
        slot.is_some_and(|slot| slot.life.take().is_some())
    }

    fn life(&self, name: &str) -> Option<Life<A>> {
        self.nodes.lock().get(name)?.life.clone()
    }

    /// Kills a node at once, also one that is starting. Its peers notice soon, or by its
    /// silence where its machine has lost its `power`. Answers whether there was one.
    pub fn crash(&self, name: &str, power: bool) -> bool {
        let Some(life) = self.life(name) else {
            return false;
        };
        self.world
            .note(format_args!("node {} crashes", life.label()));
        self.remove(&life);
        life.kill(power);
        true
    }

    /// Drains a node in good order, and takes it down when that has taken `patience`.
    /// Answers whether there was one.
    pub async fn drain(&self, name: &str, patience: Duration) -> bool {
        let Some((life, node)) = self.life(name).and_then(|life| {
            let node = life.node()?;
            Some((life, node))
        }) else {
            return false;
        };
        self.world
            .note(format_args!("node {} drains", life.label()));
        let drained = tokio::time::timeout(patience, node.drain()).await.is_ok();
        if !self.remove(&life) {
            return true;
        }
        let how = if drained {
            "has drained"
        } else {
            "was cut short"
        };
        self.world.note(format_args!("node {} {how}", life.label()));
        life.kill(false);
        true
    }

    /// Waits until a node is down, whoever took it down; a node that can't
    /// begin a new life after it was declared dead ends by itself.
    pub async fn down(&self, name: &str) {
        let Some(life) = self.life(name) else {
            return;
        };
        let ended = async {
            match life.node() {
                Some(node) => node.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = life.killed() => {}
            by_itself = ended => {
                if self.life(name).is_some_and(|l| l.label() == life.label()) && by_itself {
                    self.world.note(format_args!("node {} ended by itself", life.label()));
                    self.world.count("node ended by itself");
                    self.remove(&life);
                    life.kill(false);
                } else {
                    life.killed().await;
                }
            }
        }
    }

    /// A handle to the agents, for a caller on this node; none while it is down.
    pub fn handle(&self, name: &str) -> Option<Handle<A>> {
        self.life(name)?.handle()
    }

    /// A client's connection to a node; none while it is down.
    pub fn client(&self, name: &str) -> Option<Client<A>> {
        let life = self.life(name)?;
        Some(Client::new(life.handle()?, life))
    }

    /// Which requests nodes have sent to others, and when.
    pub fn sent(&self) -> Vec<Sent> {
        self.network.sent()
    }

    /// All that took effect in storage so far.
    pub fn journal(&self) -> Journal {
        self.server.journal()
    }

    /// An agent's serialized state, as it is stored; none if it has none.
    pub async fn stored(&self, id: &AgentId) -> Option<bytes::Bytes> {
        let loaded = self.server.load(id).await?;
        Some(loaded.checkpoint?.state)
    }

    /// An agent's reminders, as they are stored: their names, and when each is due next, in
    /// milliseconds of Unix time. None where it has none that can be read.
    pub async fn reminders(&self, id: &AgentId) -> BTreeMap<String, u64> {
        let loaded = self.server.load(id).await;
        let list = loaded.and_then(|loaded| ReminderList::decode(&loaded.reminders.list).ok());
        let list = list.unwrap_or_default();
        let due = list.iter().map(|one| (one.name.to_owned(), one.due.0));
        due.collect()
    }

    /// An agent's thread, as it is stored.
    pub async fn thread(&self, id: &AgentId) -> Vec<Entry> {
        self.server.thread(id).await
    }
}

impl<A: Agent> fmt::Debug for SimCluster<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimCluster")
            .field("nodes", &self.nodes.lock().keys())
            .finish_non_exhaustive()
    }
}
