//! One life's end of the network.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use jido_cluster::transport::{Inbox, MAX_ENVELOPE_LEN, Peer, SendError, Transport};
use jido_cluster::{Error, ErrorKind, Incarnation};

use super::Network;

/// A transport over the simulated network.
pub(in crate::sim) struct SimTransport {
    network: Network,
    peer: Peer,
    label: String,
    started: AtomicBool,
}

impl SimTransport {
    pub(in crate::sim) fn new(network: Network, peer: Peer, label: String) -> Self {
        Self {
            network,
            peer,
            label,
            started: AtomicBool::new(false),
        }
    }
}

#[async_trait]
impl Transport for SimTransport {
    async fn start(&self, inbox: Arc<dyn Inbox>) -> Result<(), Error> {
        if self.started.swap(true, Ordering::Relaxed) {
            let why = "a transport is started once";
            return Err(Error::new(ErrorKind::Startup, why));
        }
        self.network
            .join(self.peer.clone(), self.label.clone(), inbox);
        Ok(())
    }

    fn address(&self) -> String {
        self.peer.address.clone()
    }

    fn send(&self, to: Incarnation, lane: u64, envelope: &[u8]) -> Result<(), SendError> {
        if envelope.len() > MAX_ENVELOPE_LEN {
            return Err(SendError::TooLarge {
                len: envelope.len(),
            });
        }
        let envelope = Bytes::copy_from_slice(envelope);
        self.network.send(self.peer.incarnation, to, lane, envelope)
    }

    fn discovered(&self, peer: Peer) {
        self.network
            .discovered(self.peer.incarnation, peer.incarnation);
    }

    fn is_settled(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    async fn stop(&self) {
        self.network.leave(self.peer.incarnation).await;
    }
}

impl fmt::Debug for SimTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimTransport")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
