//! Where a node runs: on loopback, or in a network namespace.

use std::net::SocketAddr;
use std::sync::Arc;

use super::ports::Port;
use crate::Error;

/// A node's two addresses, and the network namespace that they are in.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// None: that of this process.
    pub(super) namespace: Option<String>,
    /// Where other nodes reach it.
    pub(super) peers: SocketAddr,
    /// Where it is reached by HTTP.
    pub(super) http: SocketAddr,
    /// What keeps the ports ours, where others could have them.
    _reserved: Arc<[Port]>,
}

impl Place {
    /// Two ports of loopback that nobody else gets.
    pub(super) fn on_loopback() -> Result<Self, Error> {
        let (peers, http) = (Port::reserve()?, Port::reserve()?);
        Ok(Self {
            namespace: None,
            peers: peers.address(),
            http: http.address(),
            _reserved: Arc::new([peers, http]),
        })
    }

    /// In a namespace in which nobody else is.
    pub(super) fn in_namespace(name: String, peers: SocketAddr, http: SocketAddr) -> Self {
        Self {
            namespace: Some(name),
            peers,
            http,
            _reserved: Arc::new([]),
        }
    }
}
