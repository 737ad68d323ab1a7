//! How a node is configured and started.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jido_core::{ClusterName, Incarnation, NodeName};
use ractor::Actor;

use super::supervisor::Supervisor;
use super::{Core, Node};
use crate::environment::{Environment, SystemEnvironment};
use crate::error::{Error, ErrorKind};
use crate::members::Member;
use crate::transport::Transport;

/// The bounds of a lease's time to live: shorter, and a busy machine misses it;
/// longer, and nobody would wait for it.
const LEASE_TTL: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(200)..=Duration::from_secs(600);

/// Makes a transport for a node, given its life.
type MakeTransport =
    Box<dyn FnOnce(&NodeName, Incarnation) -> Result<Arc<dyn Transport>, Error> + Send>;

/// Configures a [`Node`].
#[must_use]
pub struct NodeBuilder {
    name: String,
    cluster: String,
    lease_ttl: Duration,
    environment: Arc<dyn Environment>,
    transport: Option<MakeTransport>,
}

impl NodeBuilder {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            cluster: "jido".into(),
            lease_ttl: Duration::from_secs(3),
            environment: Arc::new(SystemEnvironment),
            transport: None,
        }
    }

    /// The cluster that it belongs to; `jido` by default.
    pub fn cluster(mut self, cluster: impl Into<String>) -> Self {
        self.cluster = cluster.into();
        self
    }

    /// How long the node's lease lasts without a renewal: 200 ms to 600 s, 3 s by
    /// default. It is the same on all nodes of a cluster.
    pub fn lease_ttl(mut self, ttl: Duration) -> Self {
        self.lease_ttl = ttl;
        self
    }

    /// Where the node gets time and chance from; the machine by default.
    pub fn environment(mut self, environment: Arc<dyn Environment>) -> Self {
        self.environment = environment;
        self
    }

    /// Another transport than the network, made for the node's name and life.
    pub fn transport<T: Transport>(
        mut self,
        make: impl FnOnce(&NodeName, Incarnation) -> T + Send + 'static,
    ) -> Self {
        self.transport = Some(Box::new(move |name, incarnation| {
            Ok(Arc::new(make(name, incarnation)))
        }));
        self
    }

    /// Starts the node.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a value that is refused, with
    /// the field and the limit; [`Startup`](ErrorKind::Startup) when it can't listen.
    pub async fn start(self) -> Result<Node, Error> {
        let name = NodeName::new(&self.name)?;
        let cluster = ClusterName::new(&self.cluster)?;
        if !LEASE_TTL.contains(&self.lease_ttl) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "lease_ttl is {:?}: it is {:?} to {:?}",
                    self.lease_ttl,
                    LEASE_TTL.start(),
                    LEASE_TTL.end()
                ),
            ));
        }
        let incarnation = self.environment.incarnation();
        let Some(make) = self.transport else {
            return Err(Error::new(ErrorKind::Startup, "no transport"));
        };
        let transport = make(&name, incarnation)?;
        let me = Member {
            name,
            incarnation,
            address: transport.address(),
            leaving: false,
        };
        let core = Arc::new(Core::new(
            cluster,
            me,
            self.environment,
            transport,
            self.lease_ttl,
        ));
        core.transport.start(core.exchange.clone()).await?;
        let (supervisor, _) = Actor::spawn(None, Supervisor, ()).await.map_err(|error| {
            Error::new(
                ErrorKind::Startup,
                format!("the supervisor did not start: {error}"),
            )
        })?;
        tracing::info!(node = %core.name, %incarnation, address = core.transport.address(), "node started");
        Ok(Node { core, supervisor })
    }
}
