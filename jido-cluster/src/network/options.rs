//! What a transport is made of.

use std::net::SocketAddr;

use jido_core::{ClusterName, Incarnation, NodeName};

use super::address;
use super::cookie::{Cookie, MIN_COOKIE_LEN};
use super::detector::Detection;
#[cfg(feature = "dns")]
use super::dns::Dns;
use super::tls::Tls;
use crate::error::{Error, ErrorKind};

/// What a [`NetworkTransport`](super::NetworkTransport) is made of.
#[derive(Debug, Clone)]
pub struct NetworkOptions {
    /// The cluster. Nodes of another one are refused.
    pub cluster: ClusterName,
    /// This node.
    pub name: NodeName,
    /// This life of it.
    pub incarnation: Incarnation,
    /// Where to accept connections. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where other nodes reach this one, as `host:port`, if that is not the
    /// address at which it listens.
    pub advertise: Option<String>,
    /// The cluster's secret.
    pub cookie: Cookie,
    /// Where other nodes accept connections, as `host:port`. This node's own
    /// address may be among them.
    pub seeds: Vec<String>,
    /// Names in DNS under which further nodes are found.
    #[cfg(feature = "dns")]
    pub dns: Option<Dns>,
    /// The certificates by which nodes know each other and encrypt what they say; all nodes of a
    /// cluster have some, or none has.
    pub tls: Option<Tls>,
    /// Takes it that others can read and change what nodes say beyond loopback, where there
    /// is no [`tls`](NetworkOptions::tls).
    pub plain_text: bool,
    /// When a peer is unreachable.
    pub detection: Detection,
    /// Whether a session's reader that has nothing to read looks for more for some tens of
    /// microseconds before it sleeps, and ever more seldom where that was in vain. Calls are
    /// faster for it, and the processors are busier than the work alone makes them: false
    /// saves that where processor time is metered.
    pub busy_poll: bool,
    /// Connections that may be open without having shown that they are of this cluster; one that comes on
    /// top takes the place of the oldest. 1 to 65,536, 256 by default.
    pub max_strangers: usize,
    /// Sessions, ready or opening, beyond which no connection is accepted. 1 to 65,536,
    /// 1,024 by default.
    pub max_sessions: usize,
}

/// The bounds of [`NetworkOptions::max_strangers`] and [`NetworkOptions::max_sessions`].
const CONNECTIONS: std::ops::RangeInclusive<usize> = 1..=65_536;

impl NetworkOptions {
    /// What can't be left open, and a default for everything else.
    pub fn new(
        cluster: ClusterName,
        name: NodeName,
        incarnation: Incarnation,
        listen: SocketAddr,
        cookie: Cookie,
    ) -> Self {
        Self {
            cluster,
            name,
            incarnation,
            listen,
            advertise: None,
            cookie,
            seeds: Vec::new(),
            #[cfg(feature = "dns")]
            dns: None,
            tls: None,
            plain_text: false,
            detection: Detection::default(),
            busy_poll: true,
            max_strangers: 256,
            max_sessions: 1_024,
        }
    }

    /// How many sources of addresses there are: seeds, and DNS.
    pub(super) fn sources(&self) -> usize {
        #[cfg(feature = "dns")]
        let names = usize::from(self.dns.is_some());
        #[cfg(not(feature = "dns"))]
        let names = 0;
        self.seeds.len() + names
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let refused = |message: String| Error::new(ErrorKind::InvalidInput, message);
        self.detection.check()?;
        for (field, value) in [
            ("max_strangers", self.max_strangers),
            ("max_sessions", self.max_sessions),
        ] {
            if !CONNECTIONS.contains(&value) {
                let (least, most) = CONNECTIONS.into_inner();
                let why = format!("{field} is {value}: it is {least} to {most}");
                return Err(refused(why));
            }
        }
        let mut is_shared = !self.listen.ip().is_loopback();
        for (field, address) in self
            .advertise
            .iter()
            .map(|address| ("advertise", address))
            .chain(self.seeds.iter().map(|address| ("seeds", address)))
        {
            let (host, _) =
                address::check(address).map_err(|e| refused(format!("{field}: {e}")))?;
            is_shared |= !address::is_loopback(host);
        }
        #[cfg(feature = "dns")]
        if let Some(dns) = &self.dns {
            dns.check()?;
            // Names may come to stand for any address.
            is_shared = true;
        }
        if self.advertise.is_none() && self.listen.ip().is_unspecified() {
            return Err(refused(format!(
                "advertise: needed with listen {}, at which no other node reaches this one",
                self.listen
            )));
        }
        if is_shared && !self.cookie.is_long() {
            return Err(refused(format!(
                "cookie: has fewer than {MIN_COOKIE_LEN} bytes, which is enough on loopback only"
            )));
        }
        if is_shared && self.tls.is_none() && !self.plain_text {
            return Err(refused(
                "tls: not set, and not every address is loopback: others could read and change what nodes say. Set it, or plain_text if no one else can reach this network".to_owned(),
            ));
        }
        match &self.tls {
            Some(tls) => tls.used_by(&self.name),
            None => Ok(()),
        }
    }
}
