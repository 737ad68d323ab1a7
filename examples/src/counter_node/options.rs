//! Flags and environment of the node.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jido_cluster::{ClusterName, Labels, NodeName};

pub use super::discovery::DiscoveryOptions;
pub use super::security::SecurityOptions;

/// What the node is started with. Every flag may also come from the environment.
#[derive(Debug, Clone, Args)]
pub struct NodeOptions {
    /// The node's name, which it keeps when it is restarted.
    #[arg(long, env = "JIDO_NAME", value_parser = node_name)]
    pub name: NodeName,

    /// Where it accepts other nodes.
    #[arg(long, env = "JIDO_LISTEN", value_name = "IP:PORT")]
    pub listen: SocketAddr,

    /// Where it answers HTTP.
    #[arg(long, env = "JIDO_HTTP", value_name = "IP:PORT")]
    pub http: SocketAddr,

    /// Another node's --listen address; repeat it for more, or separate them by commas.
    #[arg(
        long = "seed",
        env = "JIDO_SEED",
        value_name = "IP:PORT",
        value_delimiter = ','
    )]
    pub seeds: Vec<SocketAddr>,

    /// Names in DNS, and the node's own address as others know it.
    #[command(flatten)]
    pub discovery: DiscoveryOptions,

    /// Certificates, or the consent to do without.
    #[command(flatten)]
    pub security: SecurityOptions,

    /// Where counters are kept: memory, lmdb:DIR, postgres:URL or foundationdb:CLUSTER_FILE.
    // Not parsed by clap, whose errors and debug output would show a URL's password.
    #[arg(
        long,
        env = "JIDO_STORAGE",
        default_value = "memory",
        hide_env_values = true
    )]
    pub storage: StorageOption,

    /// The cluster's name: nodes of differently named clusters never meet.
    #[arg(long, env = "JIDO_CLUSTER", default_value = "demo", value_parser = cluster_name)]
    pub cluster: ClusterName,

    /// The zone that the node stands in: 1 to 128 ASCII letters, digits, '-', '_' and '.'.
    #[arg(long, env = "JIDO_ZONE", value_parser = zone)]
    pub zone: Option<String>,

    /// Zones that counters are placed in while one of these has a node, the same on every node; by default
    /// they are placed on all nodes. Repeat it for more, or separate them by commas.
    #[arg(
        long = "prefer-zone",
        env = "JIDO_PREFER_ZONE",
        value_name = "ZONE",
        value_delimiter = ',',
        value_parser = zone
    )]
    pub preferred_zones: Vec<String>,

    /// How long a counter may be idle before it hibernates.
    #[arg(long, env = "JIDO_IDLE_TIMEOUT", value_name = "DURATION", default_value = "15m", value_parser = positive)]
    pub idle_timeout: Duration,

    /// How long the node may fall silent before it can be declared dead.
    #[arg(long, env = "JIDO_LEASE_TTL", value_name = "DURATION", default_value = "10s", value_parser = positive)]
    pub lease_ttl: Duration,

    /// When the counters of a node that is gone are taken over.
    #[arg(long, env = "JIDO_TAKEOVER", value_enum, default_value = "after-lease")]
    pub takeover: TakeoverOption,

    /// How sure the node is that it owns a counter when it answers a read: strict by default
    /// where counters are taken over on disconnect, so that no read is stale; else leased where the
    /// storage is shared, and local where it isn't.
    #[arg(long, env = "JIDO_READS", value_enum)]
    pub reads: Option<ReadsOption>,

    /// How often keys that run elsewhere than they are placed are looked for: at least 10ms, 30s by default.
    #[arg(long, env = "JIDO_REBALANCE_INTERVAL", value_name = "DURATION", value_parser = positive)]
    pub rebalance_interval: Option<Duration>,

    /// How many keys are moved each time, at most: 1 to 10000, 1 by default.
    #[arg(long, env = "JIDO_MAX_MIGRATIONS", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub max_migrations: Option<u32>,
}

/// Where counters are kept, as it was given. Its `Debug` shows the kind alone: what follows may
/// have a password in it.
#[derive(Clone)]
pub struct StorageOption(pub String);

impl From<String> for StorageOption {
    fn from(given: String) -> Self {
        Self(given)
    }
}

impl fmt::Debug for StorageOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.0.split(':').next().unwrap_or_default();
        f.debug_tuple("StorageOption").field(&kind).finish()
    }
}

/// When the counters of a node that is gone are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TakeoverOption {
    /// Once its lease has run out.
    AfterLease,
    /// As soon as the session to it is gone.
    OnDisconnect,
}

/// How sure the node is that it owns a counter when it answers a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReadsOption {
    /// Its lease runs.
    Leased,
    /// Storage has confirmed it.
    Strict,
    /// It took the counter once.
    Local,
}

/// Said at the end of the help.
pub const AFTER_HELP: &str = "\
The cluster's cookie comes from the variable JIDO_COOKIE alone. Logs go to stderr; JIDO_LOG, or
else RUST_LOG, filters them (by default all from \"info\" up).";

fn node_name(text: &str) -> Result<NodeName, String> {
    NodeName::new(text).map_err(|error| error.to_string())
}

fn cluster_name(text: &str) -> Result<ClusterName, String> {
    ClusterName::new(text).map_err(|error| error.to_string())
}

fn zone(text: &str) -> Result<String, String> {
    Labels::new()
        .with_zone(text)
        .map(|_| text.to_owned())
        .map_err(|error| error.to_string())
}

fn positive(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration.is_zero() {
        Err("must be longer than 0".to_owned())
    } else {
        Ok(duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        node: NodeOptions,
    }

    const NEEDED: [&str; 7] = [
        "program",
        "--name",
        "n1",
        "--listen",
        "127.0.0.1:1",
        "--http",
        "127.0.0.1:2",
    ];

    fn parse(more: &[&str]) -> Result<NodeOptions, String> {
        Program::try_parse_from(NEEDED.iter().chain(more))
            .map(|program| program.node)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_given_has_defaults() {
        let options = parse(&[]).unwrap();
        assert_eq!(options.storage.0, "memory");
        assert_eq!(options.takeover, TakeoverOption::AfterLease);
        assert_eq!(options.reads, None);
        assert!(options.seeds.is_empty());
    }

    #[test]
    fn a_password_is_not_printed() {
        let options = parse(&["--storage", "postgres://user:hunter2@db/x"]).unwrap();
        let printed = format!("{options:?}");
        assert!(
            printed.contains("postgres") && !printed.contains("hunter2"),
            "{printed}"
        );
    }

    #[test]
    fn seeds_repeat() {
        let options = parse(&["--seed", "10.0.0.1:7", "--seed", "10.0.0.2:7,10.0.0.3:7"]).unwrap();
        assert_eq!(options.seeds.len(), 3);
    }

    #[test]
    fn preferred_zones_repeat() {
        let options = parse(&["--prefer-zone", "a", "--prefer-zone", "b,c"]).unwrap();
        assert_eq!(options.preferred_zones, ["a", "b", "c"]);
        assert!(parse(&[]).unwrap().preferred_zones.is_empty());
    }

    #[test]
    fn names_repeat() {
        let options = parse(&["--dns", "n.example:7", "--dns", "_jido._tcp.example,m:8"]).unwrap();
        assert_eq!(options.discovery.names.len(), 3);
        assert_eq!(options.discovery.dns_every, Duration::from_secs(30));
    }

    #[test]
    fn certificates_come_whole_or_not_at_all() {
        let whole = [
            "--tls-authority",
            "ca.pem",
            "--tls-certificate",
            "n1.pem",
            "--tls-key",
            "n1.key",
        ];
        let options = parse(&whole).unwrap();
        assert!(options.security.tls_key.is_some());
        for part in [&whole[..2], &whole[..4], &whole[2..4], &whole[4..]] {
            let error = parse(part).unwrap_err();
            assert!(error.contains("--tls-"), "{error}");
        }
        let both = [&whole[..], &["--plain-text"]].concat();
        assert!(parse(&both).unwrap_err().contains("--plain-text"));
    }

    #[test]
    fn bad_values_are_refused_and_named() {
        for (more, word) in [
            (["--zone", "a b"], "--zone"),
            (["--prefer-zone", "a,,b"], "--prefer-zone"),
            (["--cluster", ""], "--cluster"),
            (["--idle-timeout", "0s"], "--idle-timeout"),
            (["--lease-ttl", "soon"], "--lease-ttl"),
            (["--takeover", "never"], "--takeover"),
            (["--reads", "often"], "--reads"),
            (["--rebalance-interval", "0ms"], "--rebalance-interval"),
            (["--max-migrations", "0"], "--max-migrations"),
            (["--max-migrations", "10001"], "--max-migrations"),
            (["--seed", "n2"], "--seed"),
        ] {
            let error = parse(&more).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
