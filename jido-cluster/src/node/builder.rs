//! How a node is configured and started.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jido_core::{ClusterName, DEFAULT_WEIGHT, Incarnation, Labels, NodeName};
use jido_storage::GroupOptions;
use ractor::Actor;

use super::Node;
use super::health::HealthCheck;
use super::lives::Lives;
use super::makings::{MakeTransport, Makings, Network, Ways};
use super::supervisor::Supervisor;
use crate::deadlines::Deadlines;
use crate::environment::{Environment, SystemEnvironment};
use crate::error::{Error, ErrorKind};
#[cfg(feature = "dns")]
use crate::network::Dns;
use crate::network::{Cookie, Detection, NetworkOptions, Tls};
use crate::telemetry::NodeMetrics;
use crate::transport::Transport;

/// The bounds of a lease's time to live: shorter, and a busy machine misses it;
/// longer, and nobody would wait for it.
const LEASE_TTL: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(200)..=Duration::from_secs(600);

/// Configures a [`Node`].
#[must_use]
pub struct NodeBuilder {
    name: String,
    cluster: String,
    zone: Option<String>,
    region: Option<String>,
    version: Option<String>,
    weight: u32,
    listen: Option<SocketAddr>,
    advertise: Option<String>,
    cookie: Option<Result<Cookie, Error>>,
    seeds: Vec<String>,
    #[cfg(feature = "dns")]
    dns: Option<Dns>,
    tls: Option<Tls>,
    plain_text: bool,
    detection: Detection,
    busy_poll: bool,
    max_strangers: Option<usize>,
    max_sessions: Option<usize>,
    lease_ttl: Duration,
    group_commit: GroupOptions,
    environment: Arc<dyn Environment>,
    transport: Option<MakeTransport>,
    health: Option<HealthCheck>,
}

impl NodeBuilder {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            cluster: "jido".into(),
            zone: None,
            region: None,
            version: None,
            weight: DEFAULT_WEIGHT,
            listen: None,
            advertise: None,
            cookie: None,
            seeds: Vec::new(),
            #[cfg(feature = "dns")]
            dns: None,
            tls: None,
            plain_text: false,
            detection: Detection::default(),
            busy_poll: true,
            max_strangers: None,
            max_sessions: None,
            lease_ttl: Duration::from_secs(3),
            group_commit: GroupOptions::new(),
            environment: Arc::new(SystemEnvironment),
            transport: None,
            health: None,
        }
    }

    /// The cluster that it belongs to; `jido` by default.
    pub fn cluster(mut self, cluster: impl Into<String>) -> Self {
        self.cluster = cluster.into();
        self
    }

    /// The zone that the node stands in: 1 to 128 ASCII letters, digits, `-`, `_` and `.`. Others
    /// see it among its [`labels`](crate::Member::labels), and
    /// [`ZoneAware`](crate::placement::ZoneAware) places keys by it.
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// The region that the zone is in, under the rule of [`zone`](NodeBuilder::zone).
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// The version of your program that the node runs, for those who look at the members,
    /// under the rule of [`zone`](NodeBuilder::zone).
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// How much the node can take, compared to others: 1 to
    /// [`MAX_WEIGHT`](crate::MAX_WEIGHT), [`DEFAULT_WEIGHT`] by default. One of twice the
    /// weight gets twice as many keys.
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Where to accept connections from other nodes. Port 0 takes a free one.
    /// Required.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
        self
    }

    /// Where other nodes reach this one, as `host:port`, if that is not the address
    /// at which it listens.
    pub fn advertise(mut self, address: impl Into<String>) -> Self {
        self.advertise = Some(address.into());
        self
    }

    /// The secret that the nodes of a cluster share, at least
    /// [`MIN_COOKIE_LEN`](crate::network::MIN_COOKIE_LEN) bytes unless every address
    /// is on loopback. Required.
    pub fn cookie(mut self, cookie: impl Into<String>) -> Self {
        self.cookie = Some(Cookie::new(cookie));
        self
    }

    /// Where other nodes accept connections, as `host:port`. Its own address may be
    /// among them. Nodes that share storage find each other by it as well.
    pub fn seeds<S: Into<String>>(mut self, seeds: impl IntoIterator<Item = S>) -> Self {
        self.seeds = seeds.into_iter().map(Into::into).collect();
        self
    }

    /// Names in DNS under which further nodes are found, beside the seeds and those that shared storage
    /// tells of. The names are looked up again as time goes by.
    #[cfg(feature = "dns")]
    pub fn dns(mut self, dns: Dns) -> Self {
        self.dns = Some(dns);
        self
    }

    /// The certificates by which nodes know each other and encrypt what they say. All nodes of a
    /// cluster have some, or none has. Keep a clone to [reload](Tls::reload) them.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Takes it that others on the network can read what nodes say, and change it. Without this a
    /// node that has an address beyond loopback and no [`tls`](NodeBuilder::tls) isn't started.
    pub fn plain_text(mut self) -> Self {
        self.plain_text = true;
        self
    }

    /// When a peer from which nothing comes is unreachable. By default after 2 s, with a
    /// heartbeat every 500 ms. What can't go together is refused at the start.
    pub fn detection(mut self, detection: Detection) -> Self {
        self.detection = detection;
        self
    }

    /// Whether the node looks for a peer's next message for some tens of microseconds before
    /// it sleeps, as by default: calls between nodes take less time so, and more of the
    /// processors'. See [`NetworkOptions::busy_poll`](crate::network::NetworkOptions::busy_poll).
    pub fn busy_poll(mut self, wanted: bool) -> Self {
        self.busy_poll = wanted;
        self
    }

    /// Connections that may be open without having shown that they are of this cluster: 1 to
    /// 65,536, 256 by default. One that comes on top takes the place of the oldest.
    pub fn max_strangers(mut self, limit: usize) -> Self {
        self.max_strangers = Some(limit);
        self
    }

    /// Sessions with other nodes, ready or opening, beyond which no connection is accepted: 1 to
    /// 65,536, 1,024 by default.
    pub fn max_sessions(mut self, limit: usize) -> Self {
        self.max_sessions = Some(limit);
        self
    }

    /// How long the node's lease lasts without a renewal: 200 ms to 600 s, 3 s by
    /// default. It is renewed every third of it. Nodes may differ: each says in its
    /// record by what it is to be judged.
    pub fn lease_ttl(mut self, ttl: Duration) -> Self {
        self.lease_ttl = ttl;
        self
    }

    /// How the commits of agents are gathered into batches, where the storage makes
    /// none itself: a queue for each storage, which all managers of this node that
    /// share the storage have in common. An option out of its range is refused when
    /// a manager is started.
    pub fn group_commit(mut self, options: GroupOptions) -> Self {
        self.group_commit = options;
        self
    }

    /// Where the node gets time and chance from; the machine by default.
    pub fn environment(mut self, environment: Arc<dyn Environment>) -> Self {
        self.environment = environment;
        self
    }

    /// What your own signals say of the node's health: a full disk, a broken device, a back end that
    /// only this node can't reach. The check is called every second, on the runtime, so it must not block:
    /// what is slow to find out is kept by a task of your own, and read here. `Err` says
    /// why the node isn't well, and so does a panic.
    ///
    /// A node that isn't well tells its peers and leaves placement: it gets no further keys while another
    /// member can take them. Agents that run on it go on, since it is alive and owns them, until they
    /// are moved as any that are placed elsewhere.
    /// [`Node::ready`] fails with the reason. Once the check is `Ok` again, it takes keys again.
    pub fn health(
        mut self,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.health = Some(Arc::new(check));
        self
    }

    /// Another transport than the network, made for the node's name and life, and again
    /// for each life that follows one which was declared dead.
    /// Nothing that is said of the network is used then.
    pub fn transport<T: Transport>(
        mut self,
        make: impl Fn(&NodeName, Incarnation) -> T + Send + Sync + 'static,
    ) -> Self {
        self.transport = Some(Box::new(move |name, incarnation| {
            Arc::new(make(name, incarnation))
        }));
        self
    }

    /// Starts the node. A process can have one node on the network at a time.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a value that is refused, with
    /// the field and the limit, also when addresses and cookie don't go together;
    /// [`Startup`](ErrorKind::Startup) when it can't listen.
    pub async fn start(mut self) -> Result<Node, Error> {
        let name = NodeName::new(&self.name)?;
        let cluster = ClusterName::new(&self.cluster)?;
        let labels = self.labels()?;
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
        let ways = match self.transport.take() {
            Some(make) => Ways::Given(make),
            None => Ways::Network(Box::new(self.network(&cluster, &name)?)),
        };
        let makings = Makings {
            metrics: Arc::new(NodeMetrics::new(&name)),
            name,
            cluster,
            labels,
            environment: self.environment,
            ways,
            deadlines: Arc::new(Deadlines::new()),
            lease_ttl: self.lease_ttl,
            group_commit: self.group_commit,
            health: self.health,
        };
        let core = makings.begin(None).await?;
        let (supervisor, _) = Actor::spawn(None, Supervisor, ()).await.map_err(|error| {
            Error::new(
                ErrorKind::Startup,
                format!("the supervisor did not start: {error}"),
            )
        })?;
        let incarnation = core.incarnation;
        tracing::info!(node = %core.name, %incarnation, address = core.transport.address(), "node started");
        let lives = Lives::new(makings, core, supervisor);
        Ok(Node { lives })
    }

    fn labels(&self) -> Result<Labels, Error> {
        let mut labels = Labels::new().with_weight(self.weight)?;
        if let Some(zone) = &self.zone {
            labels = labels.with_zone(zone)?;
        }
        if let Some(region) = &self.region {
            labels = labels.with_region(region)?;
        }
        if let Some(version) = &self.version {
            labels = labels.with_version(version)?;
        }
        Ok(labels)
    }

    fn network(&mut self, cluster: &ClusterName, name: &NodeName) -> Result<Network, Error> {
        let missing = |field: &str| {
            Error::new(
                ErrorKind::InvalidInput,
                format!("{field} is not set: a node on the network needs it"),
            )
        };
        let listen = self.listen.ok_or_else(|| missing("listen"))?;
        let cookie = self.cookie.take().ok_or_else(|| missing("cookie"))??;
        // Each life has an id of its own.
        let life = Incarnation(0);
        let mut options = NetworkOptions::new(cluster.clone(), name.clone(), life, listen, cookie);
        options.advertise = self.advertise.take();
        options.seeds = std::mem::take(&mut self.seeds);
        #[cfg(feature = "dns")]
        {
            options.dns = self.dns.take();
        }
        options.tls = self.tls.take();
        options.plain_text = self.plain_text;
        options.detection = self.detection;
        options.busy_poll = self.busy_poll;
        options.max_strangers = self.max_strangers.unwrap_or(options.max_strangers);
        options.max_sessions = self.max_sessions.unwrap_or(options.max_sessions);
        Ok(Network {
            options,
            counters: Arc::default(),
        })
    }
}

impl fmt::Debug for NodeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeBuilder")
            .field("name", &self.name)
            .field("cluster", &self.cluster)
            .field("listen", &self.listen)
            .field("advertise", &self.advertise)
            .field("seeds", &self.seeds)
            .field("lease_ttl", &self.lease_ttl)
            .finish_non_exhaustive()
    }
}
