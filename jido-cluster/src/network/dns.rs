//! Finds nodes by names in DNS, and looks the names up again as time goes by.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::lookup_ip::LookupIp;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::{Resolver, TokioResolver};
use tokio::time::sleep;

use super::address;
use super::dialer::{Dialing, Settling, Target, dial};
use crate::error::{Error, ErrorKind};
use crate::runtime::OwnedTask;

/// The bounds of [`Dns::every`].
const EVERY: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(3600);
/// The pause after names that can't be looked up, at the most.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Names in DNS under which nodes are found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dns {
    /// What is looked up: `host:port` gives an address of that port for each A and AAAA record of
    /// the host; a name that begins with `_`, as `_jido._tcp.example.com`, gives the hosts and the ports
    /// of its SRV records.
    pub names: Vec<String>,
    /// Who is asked; those of the system's configuration if there are none.
    pub servers: Vec<SocketAddr>,
    /// How long an answer is believed: 1 s to an hour, 30 s by default. Records with a shorter time to
    /// live are looked up again sooner, though not before a second.
    pub every: Duration,
}

impl Dns {
    /// Names that are looked up as the system does.
    pub fn new<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self {
            names: names.into_iter().map(Into::into).collect(),
            servers: Vec::new(),
            every: Duration::from_secs(30),
        }
    }

    /// Asks these servers.
    #[must_use]
    pub fn servers(mut self, servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.servers = servers.into_iter().collect();
        self
    }

    /// Sets how long an answer is believed.
    #[must_use]
    pub fn every(mut self, every: Duration) -> Self {
        self.every = every;
        self
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let refuse = |why: String| Err(Error::new(ErrorKind::InvalidInput, why));
        if !EVERY.contains(&self.every) {
            let (least, most) = EVERY.into_inner();
            return refuse(format!(
                "dns: every is {:?}: it is {least:?} to {most:?}",
                self.every
            ));
        }
        for name in &self.names {
            if let Err(why) = Question::of(name) {
                return refuse(format!("dns: {why}"));
            }
        }
        Ok(())
    }

    fn resolver(&self) -> Result<TokioResolver, NetError> {
        let mut builder = if self.servers.is_empty() {
            TokioResolver::builder_tokio()?
        } else {
            let servers = self.servers.iter().map(|server| {
                let mut connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
                for connection in &mut connections {
                    connection.port = server.port();
                }
                NameServerConfig::new(server.ip(), true, connections.to_vec())
            });
            let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            Resolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        // Whether to ask again is decided here.
        options.cache_size = 0;
        builder.build()
    }
}

/// What is asked for a name.
#[derive(Debug, PartialEq, Eq)]
enum Question<'a> {
    Host(&'a str, u16),
    Service(&'a str),
}

impl<'a> Question<'a> {
    fn of(name: &'a str) -> Result<Self, String> {
        if name.starts_with('_') {
            let is_name = name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            return match is_name && name.len() <= address::MAX_HOST_LEN {
                true => Ok(Self::Service(name)),
                false => Err(format!("{name:?} is no name of a service")),
            };
        }
        address::check(name).map(|(host, port)| Self::Host(host, port))
    }
}

/// A host and a port, as a name or a record of a service says them, and their addresses.
type Hosts = BTreeMap<(String, u16), BTreeSet<String>>;

/// What was found, and for how long it is good.
#[derive(Debug, Default)]
struct Found {
    hosts: Hosts,
    /// Targets of a service that could not be looked up.
    lost: Vec<(String, u16)>,
    good_for: Option<Duration>,
}

impl Found {
    fn note_ttl(&mut self, lookup: &Lookup) {
        for record in lookup.answers() {
            let ttl = Duration::from_secs(record.ttl.into());
            self.good_for = Some(self.good_for.map_or(ttl, |before| before.min(ttl)));
        }
    }

    fn note(&mut self, host: String, port: u16, found: &LookupIp) {
        self.note_ttl(found.as_lookup());
        let addresses = found.iter().map(|ip| SocketAddr::new(ip, port).to_string());
        let known = self.hosts.entry((host, port)).or_default();
        known.extend(addresses);
    }

    async fn host(
        &mut self,
        resolver: &TokioResolver,
        host: &str,
        port: u16,
    ) -> Result<(), NetError> {
        let found = resolver.lookup_ip(host).await?;
        self.note(host.to_owned(), port, &found);
        Ok(())
    }

    /// A target that can't be looked up hides no other: it is an error only if there is no other.
    async fn service(&mut self, resolver: &TokioResolver, name: &str) -> Result<(), NetError> {
        let found = resolver.srv_lookup(name).await?;
        self.note_ttl(&found);
        let services = found
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(service) => Some((service.target.to_string(), service.port)),
                _ => None,
            });
        // Side by side, so that one about which nobody answers holds no other up.
        let found = join_all(services.map(async |(target, port)| {
            let found = resolver.lookup_ip(target.as_str()).await;
            (target, port, found)
        }));
        let mut last = None;
        for (target, port, found) in found.await {
            match found {
                Ok(found) => self.note(target, port, &found),
                Err(error) => {
                    tracing::info!(name, target, %error, "a target of a service can't be looked up; it is tried again");
                    self.lost.push((target, port));
                    last = Some(error);
                }
            }
        }
        match last {
            Some(error) if self.hosts.is_empty() => Err(error),
            _ => Ok(()),
        }
    }

    /// What a name stands for by now: a target that can't be looked up keeps what it had.
    fn since(mut self, mut before: Hosts) -> Hosts {
        for lost in self.lost {
            if let Some(addresses) = before.remove(&lost) {
                self.hosts.insert(lost, addresses);
            }
        }
        self.hosts
    }
}

async fn look_up(resolver: &TokioResolver, name: &str) -> Result<Found, String> {
    let mut found = Found::default();
    let looked_up = match Question::of(name)? {
        Question::Host(host, port) => found.host(resolver, host, port).await,
        Question::Service(name) => found.service(resolver, name).await,
    };
    looked_up.map_err(|error| error.to_string())?;
    Ok(found)
}

/// Dials what the names stand for, as long as they do, until it is dropped. A name, or a target of a
/// service, that can't be looked up keeps the addresses that it had: servers fail more often than clusters move.
/// `settling` ends when all that was found at first was tried.
pub(super) async fn discover(dns: Dns, dialing: Dialing, settling: Settling) {
    let mut settling = Some(settling);
    let resolver = until_made(|| dns.resolver(), &mut settling).await;
    let mut known: BTreeMap<&str, Hosts> = BTreeMap::new();
    let mut dialers: BTreeMap<String, OwnedTask> = BTreeMap::new();
    loop {
        let mut pause = dns.every;
        let names = dns.names.iter().map(String::as_str);
        // Side by side, so that one about which nobody answers holds no other up.
        let mut looking: FuturesUnordered<_> = names
            .map(async |name| (name, look_up(&resolver, name).await))
            .collect();
        while let Some((name, found)) = looking.next().await {
            match found {
                Ok(found) => {
                    pause = pause.min(found.good_for.unwrap_or(dns.every));
                    if !found.lost.is_empty() {
                        pause = pause.min(AFTER_FAILURE);
                    }
                    let before = known.remove(name).unwrap_or_default();
                    known.insert(name, found.since(before));
                    follow(&known, &mut dialers, &dialing, settling.as_ref());
                }
                Err(error) => {
                    tracing::info!(name, error, "a name can't be looked up; it is tried again");
                    pause = pause.min(AFTER_FAILURE);
                }
            }
        }
        settling = None;
        sleep(pause.max(*EVERY.start())).await;
    }
}

/// Makes a resolver. The system's configuration may be missing for a moment, which is no reason to
/// find nobody ever after; but nobody waits for that.
async fn until_made<R>(
    make: impl Fn() -> Result<R, NetError>,
    settling: &mut Option<Settling>,
) -> R {
    loop {
        match make() {
            Ok(resolver) => return resolver,
            Err(error) => {
                tracing::error!(%error, "no names can be looked up, so that no nodes are found by DNS; it is tried again");
            }
        }
        *settling = None;
        sleep(AFTER_FAILURE).await;
    }
}

/// Dials what all names stand for, and no longer what none of them does.
fn follow(
    known: &BTreeMap<&str, Hosts>,
    dialers: &mut BTreeMap<String, OwnedTask>,
    dialing: &Dialing,
    settling: Option<&Settling>,
) {
    let wanted: BTreeSet<&String> = known.values().flat_map(Hosts::values).flatten().collect();
    dialers.retain(|address, _| wanted.contains(address));
    for address in wanted {
        dialers.entry(address.clone()).or_insert_with(|| {
            tracing::info!(address, "an address of a node was found by DNS");
            let settling = settling.map(Settling::another);
            let target = Target::Seed(address.clone());
            OwnedTask::spawn(dial(target, dialing.clone(), settling))
        });
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use super::super::dialer::Unsettled;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_cant_be_made_is_made_later() {
        let (unsettled, tries) = (Arc::new(Unsettled::new(1)), Cell::new(0));
        let mut settling = Some(unsettled.settling());
        let make = || {
            tries.set(tries.get() + 1);
            match tries.get() {
                3 => Ok(tries.get()),
                // Who waits for the names to be tried waits for the first try alone.
                tries if unsettled.is_none() == (tries > 1) => Err(NetError::from("no servers")),
                tries => panic!("try {tries}: {unsettled:?}"),
            }
        };
        assert_eq!(until_made(make, &mut settling).await, 3);
        assert!(settling.is_none());
        // Where it can be made at once, what is found is tried first.
        let unsettled = Arc::new(Unsettled::new(1));
        let mut settling = Some(unsettled.settling());
        until_made(|| Ok(()), &mut settling).await;
        assert!(settling.is_some() && !unsettled.is_none());
    }

    #[test]
    fn names_are_hosts_with_a_port_or_services() {
        assert_eq!(
            Question::of("n.example:70"),
            Ok(Question::Host("n.example", 70))
        );
        let service = "_jido._tcp.example";
        assert_eq!(Question::of(service), Ok(Question::Service(service)));
        for bad in ["n.example", "_jido._tcp.example:70", "", "_a b"] {
            let error = Dns::new([bad]).check().unwrap_err();
            assert!(error.to_string().starts_with("dns: "), "{bad}: {error}");
        }
        let never = Dns::new(["a:1"]).every(Duration::ZERO);
        assert!(
            never
                .check()
                .unwrap_err()
                .to_string()
                .contains("every is 0ns")
        );
        assert!(Dns::new(["a:1", "_a._tcp.b"]).check().is_ok());
    }
}
