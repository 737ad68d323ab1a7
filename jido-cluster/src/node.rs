//! One node of the cluster: what its managers share, its start and its end.

mod builder;
mod core;
mod health;
mod lives;
mod makings;
mod supervisor;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jido_core::{ClusterName, Incarnation, Notice};
use ractor::ActorCell;

pub use builder::NodeBuilder;
pub(crate) use core::{Core, Managed};
use lives::Lives;
use makings::Makings;

use crate::error::Error;
use crate::members::Member;
use crate::network::NetworkStats;
use crate::router::DrainProgress;

/// How long a node that leaves waits for the asks of peers that have not yet heard
/// of it.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long a peer's task may take from the choice of a node to the ask that it sends
/// there: microseconds, unless it has to wait for a core.
const LAST_ASKS: Duration = Duration::from_millis(50);

/// A node: its place in the cluster, and the managers that run on it. Clones are
/// handles to the same node, which lives until it is told to end.
///
/// A node that was paused, or cut off from storage, for longer than its lease may be
/// declared dead by the others. When it hears of it, all that it runs ends, and it goes
/// on in a new life under another [`incarnation`](Node::incarnation), with the same
/// managers; handles and references that it gave out work on.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), jido_cluster::Error> {
/// use jido_cluster::Node;
///
/// let node = Node::builder("n1")
///     .cluster("demo")
///     .listen(([127, 0, 0, 1], 0).into())
///     .cookie("a secret of sixteen bytes or more")
///     .start()
///     .await?;
/// assert_eq!(node.members().len(), 1);
/// node.drain().await;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Node {
    lives: Arc<Lives>,
}

impl Node {
    /// Begins to configure a node of this name. Placement depends on the name, so
    /// a node keeps it when it is restarted.
    pub fn builder(name: impl Into<String>) -> NodeBuilder {
        NodeBuilder::new(name.into())
    }

    /// The node's own entry among the members.
    pub fn me(&self) -> Member {
        let core = self.core();
        core.members
            .view()
            .get(core.incarnation)
            .cloned()
            .unwrap_or_else(|| {
                Member::new(
                    core.name.clone(),
                    core.incarnation,
                    core.transport.address(),
                )
            })
    }

    /// The cluster that it belongs to.
    pub fn cluster(&self) -> &ClusterName {
        self.lives.cluster()
    }

    /// The present life of the node.
    pub fn incarnation(&self) -> Incarnation {
        self.core().incarnation
    }

    /// The nodes that this one has a session with, itself included, by name.
    pub fn members(&self) -> Vec<Member> {
        self.core().members.view().members().to_vec()
    }

    /// What became of the node's connections in all its lives; nothing where it is on another
    /// [transport](NodeBuilder::transport) than the network.
    pub fn network_stats(&self) -> NetworkStats {
        self.lives.network_stats()
    }

    /// Publishes the [metrics](crate::telemetry::METRICS) that are read off the node's state: all gauges, and
    /// what the network counts. Call it whenever metrics are looked at: in the handler of a scrape, or at the
    /// interval at which they are sent somewhere. It looks at every agent that this node
    /// has claimed, about a millisecond for ten thousand, and lets others go on meanwhile.
    pub async fn publish_metrics(&self) {
        let core = self.core();
        Box::pin(core.publish_metrics()).await;
        core.metrics.publish_network(&self.network_stats());
    }

    /// Whether the node can serve: it isn't leaving, its [health](NodeBuilder::health) is good, every
    /// configured address was joined or given up on for now, its leases are held and its
    /// storages answer.
    ///
    /// # Errors
    ///
    /// The first of these that isn't so, as
    /// [`Unavailable`](crate::ErrorKind::Unavailable) or
    /// [`Stopped`](crate::ErrorKind::Stopped).
    pub async fn ready(&self) -> Result<(), Error> {
        self.core().ready().await
    }

    /// Leaves the cluster in good order: takes no further keys, hibernates every
    /// agent and releases it to the others, ends the leases and the sessions. Calls
    /// are served or passed on until the end of it.
    ///
    /// 64 agents of a manager hibernate at a time, one manager after the other. It takes as
    /// long as storage takes; bound it with a time-out of your own. How far it is, tells
    /// [`drain_progress`](Node::drain_progress), and the log once a second.
    pub async fn drain(&self) {
        let (_turn, core) = self.lives.last().await;
        core.leave();
        core.exchange.notify(&Notice::Leaving);
        for manager in core.managers() {
            let moved = manager.drain().await;
            tracing::info!(manager = %manager.name(), moved, "handed a manager's agents over");
            core.exchange.withdraw(manager.name());
        }
        // Peers that have heard of it send nothing further; what they sent before is
        // answered first, and so is what this node asked for its own callers.
        let farewell = async {
            core.barrier().await;
            // A peer's task that had chosen this node just before it heard of it has
            // sent its ask by then.
            tokio::time::sleep(LAST_ASKS).await;
            core.barrier().await;
            core.exchange.settled().await;
        };
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            tracing::warn!("not all asks were answered before the end");
        }
        core.end_leases().await;
        self.stop(&core).await;
    }

    /// How far each manager is with handing its agents over, while the node
    /// [drains](Node::drain); nothing before that, and once the node has ended.
    pub fn drain_progress(&self) -> Vec<DrainProgress> {
        self.core().progress()
    }

    /// Ends the node at once: agents end without hibernating, sessions are closed,
    /// and the leases run out by themselves. What was acknowledged is safe.
    pub async fn halt(&self) {
        let (_turn, core) = self.lives.last().await;
        core.leave();
        core.abandon().await;
        core.drop_leases().await;
        self.stop(&core).await;
    }

    async fn stop(&self, core: &Core) {
        core.transport.stop().await;
        self.lives.supervisor.stop(None);
        core.end();
        self.lives.set_ended();
    }

    /// Waits until the node has ended: by [`drain`](Node::drain) or
    /// [`halt`](Node::halt), or by itself, because it was declared dead and another node
    /// has taken its name since. Answers whether it ended by itself.
    pub async fn ended(&self) -> bool {
        self.lives.ended().await
    }

    pub(crate) fn core(&self) -> Arc<Core> {
        self.lives.core()
    }

    pub(crate) fn supervisor(&self) -> ActorCell {
        self.lives.supervisor.get_cell()
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("cluster", &self.cluster())
            .field("name", &self.core().name)
            .field("incarnation", &self.incarnation())
            .finish_non_exhaustive()
    }
}
