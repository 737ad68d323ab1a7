//! What a node is made of, in every life that it has.

use std::sync::Arc;
use std::time::Duration;

use jido_core::{ClusterName, Incarnation, Labels, NodeName};
use jido_storage::GroupOptions;

use super::Core;
use super::health::{self, HealthCheck};
use crate::deadlines::Deadlines;
use crate::environment::Environment;
use crate::error::Error;
use crate::members::Member;
use crate::network::{Counters, NetworkOptions, NetworkTransport};
use crate::runtime;
use crate::telemetry::NodeMetrics;
use crate::transport::Transport;

/// Makes a transport for a node, given its name and its life.
pub(super) type MakeTransport =
    Box<dyn Fn(&NodeName, Incarnation) -> Arc<dyn Transport> + Send + Sync>;

/// How a node reaches others.
pub(super) enum Ways {
    Given(MakeTransport),
    Network(Box<Network>),
}

/// What a node on the network is made of.
pub(super) struct Network {
    /// Its life, and a port that the system chose, are each life's own.
    pub(super) options: NetworkOptions,
    /// Of all lives.
    pub(super) counters: Arc<Counters>,
}

pub(super) struct Makings {
    pub(super) name: NodeName,
    pub(super) cluster: ClusterName,
    pub(super) labels: Labels,
    pub(super) environment: Arc<dyn Environment>,
    pub(super) ways: Ways,
    pub(super) deadlines: Arc<Deadlines>,
    pub(super) metrics: Arc<NodeMetrics>,
    pub(super) lease_ttl: Duration,
    pub(super) group_commit: GroupOptions,
    pub(super) health: Option<HealthCheck>,
}

impl Makings {
    /// Begins a life: its transport runs when this returns. One that follows another,
    /// whose transport has stopped, is found at the same address.
    pub(super) async fn begin(&self, former: Option<&Core>) -> Result<Arc<Core>, Error> {
        let incarnation = self.environment.incarnation();
        let transport = match &self.ways {
            Ways::Given(make) => make(&self.name, incarnation),
            Ways::Network(network) => Arc::new(self.network(network, incarnation, former)?),
        };
        let mut me = Member::new(self.name.clone(), incarnation, String::new());
        me.labels = self.labels.clone();
        let core = Arc::new(Core::new(self, me, transport));
        if let Some(check) = &self.health {
            // Before anybody hears of this node.
            core.look_at_health(check);
        }
        core.transport.start(core.exchange.clone()).await?;
        core.members
            .found_address(incarnation, core.transport.address());
        if let Some(check) = &self.health {
            // Ends with this life.
            runtime::spawn(health::watch(Arc::downgrade(&core), check.clone()));
        }
        Ok(core)
    }

    fn network(
        &self,
        network: &Network,
        incarnation: Incarnation,
        former: Option<&Core>,
    ) -> Result<NetworkTransport, Error> {
        let Network { options, counters } = network;
        let mut options = NetworkOptions {
            incarnation,
            ..options.clone()
        };
        // A port that the system chose is kept.
        let chosen = former.and_then(|former| former.transport.address().parse().ok());
        if let (0, None, Some(chosen)) = (options.listen.port(), &options.advertise, chosen) {
            options.listen = chosen;
        }
        NetworkTransport::counted(options, self.environment.clone(), counters.clone())
    }
}
