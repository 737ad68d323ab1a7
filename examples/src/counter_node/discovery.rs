//! Where the node finds others, and where they find it, beside seeds and storage.

use std::time::Duration;

use clap::Args;
use jido_cluster::NodeBuilder;
use jido_cluster::network::Dns;

/// Names in DNS, and the node's own address as others know it.
#[derive(Debug, Clone, Default, Args)]
pub struct DiscoveryOptions {
    /// Where other nodes reach this one, if not at --listen: in a container, behind NAT.
    #[arg(long, env = "JIDO_ADVERTISE", value_name = "HOST:PORT")]
    pub advertise: Option<String>,

    /// A name in DNS under which nodes are found: HOST:PORT, or a service as _jido._tcp.example.com.
    /// Repeat it for more, or separate them by commas.
    #[arg(
        long = "dns",
        env = "JIDO_DNS",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub names: Vec<String>,

    /// How long an answer of DNS is believed, at the most.
    #[arg(long, env = "JIDO_DNS_EVERY", value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    pub dns_every: Duration,
}

impl DiscoveryOptions {
    /// Sets what was given.
    pub(super) fn apply(&self, mut node: NodeBuilder) -> NodeBuilder {
        if let Some(address) = &self.advertise {
            node = node.advertise(address);
        }
        if !self.names.is_empty() {
            node = node.dns(Dns::new(self.names.iter().cloned()).every(self.dns_every));
        }
        node
    }
}
