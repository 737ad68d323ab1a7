//! A transport between nodes of one process, for tests and single-process clusters.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use jido_core::{Incarnation, NodeName};
use parking_lot::RwLock;
use tokio::sync::mpsc;

use crate::error::{Error, ErrorKind};
use crate::runtime;
use crate::transport::{Inbox, MAX_ENVELOPE_LEN, Peer, SendError, Transport};

/// Connects the nodes of one process. Clone it into each node's transport.
#[derive(Debug, Default, Clone)]
pub struct LoopbackNetwork {
    nodes: Arc<RwLock<BTreeMap<Incarnation, Arc<Port>>>>,
}

#[derive(Debug)]
struct Port {
    peer: Peer,
    queue: mpsc::UnboundedSender<Event>,
}

#[derive(Debug)]
enum Event {
    Up(Peer),
    Down(Incarnation),
    Envelope(Incarnation, Bytes),
    Stop,
}

impl LoopbackNetwork {
    /// A network without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// A transport for one more node.
    pub fn transport(&self, peer: Peer) -> LoopbackTransport {
        LoopbackTransport {
            network: self.clone(),
            peer,
            port: OnceLock::new(),
        }
    }

    /// Makes the transports of a node's lives, for
    /// [`NodeBuilder::transport`](crate::NodeBuilder::transport). Their address is
    /// `<name>.loopback`.
    pub fn transports(
        &self,
    ) -> impl Fn(&NodeName, Incarnation) -> LoopbackTransport + Send + Sync + 'static {
        let network = self.clone();
        move |name, incarnation| {
            network.transport(Peer {
                name: name.clone(),
                incarnation,
                address: format!("{name}.loopback"),
            })
        }
    }

    /// Takes a node off the network at once, as if its process had been killed:
    /// its peers see its session end, and it sees theirs end.
    pub fn disconnect(&self, incarnation: Incarnation) {
        let mut nodes = self.nodes.write();
        let Some(gone) = nodes.remove(&incarnation) else {
            return;
        };
        for other in nodes.values() {
            let _ = other.queue.send(Event::Down(incarnation));
            let _ = gone.queue.send(Event::Down(other.peer.incarnation));
        }
    }
}

/// One node's end of a [`LoopbackNetwork`].
#[derive(Debug)]
pub struct LoopbackTransport {
    network: LoopbackNetwork,
    peer: Peer,
    port: OnceLock<Arc<Port>>,
}

async fn deliver(inbox: Arc<dyn Inbox>, mut events: mpsc::UnboundedReceiver<Event>) {
    // A peer's envelopes count only while it is up: what was sent by one that
    // was taken off the network meanwhile is lost, as with a session.
    let mut up = std::collections::BTreeSet::new();
    while let Some(event) = events.recv().await {
        match event {
            Event::Up(peer) => {
                up.insert(peer.incarnation);
                inbox.peer_up(peer);
            }
            Event::Down(incarnation) => {
                if up.remove(&incarnation) {
                    inbox.peer_down(incarnation);
                }
            }
            Event::Envelope(from, envelope) if up.contains(&from) => inbox.deliver(from, envelope),
            Event::Stop => return,
            Event::Envelope(from, _) => {
                tracing::trace!(%from, "an envelope of a session that has ended");
            }
        }
    }
}

#[async_trait]
impl Transport for LoopbackTransport {
    async fn start(&self, inbox: Arc<dyn Inbox>) -> Result<(), Error> {
        let (queue, events) = mpsc::unbounded_channel();
        let port = Arc::new(Port {
            peer: self.peer.clone(),
            queue,
        });
        if self.port.set(port.clone()).is_err() {
            return Err(Error::new(
                ErrorKind::Startup,
                "a transport is started once",
            ));
        }
        runtime::spawn(deliver(inbox, events));
        let mut nodes = self.network.nodes.write();
        for other in nodes.values() {
            let _ = other.queue.send(Event::Up(self.peer.clone()));
            let _ = port.queue.send(Event::Up(other.peer.clone()));
        }
        nodes.insert(self.peer.incarnation, port);
        Ok(())
    }

    fn address(&self) -> String {
        self.peer.address.clone()
    }

    fn send(&self, to: Incarnation, _lane: u64, envelope: Bytes) -> Result<(), SendError> {
        if envelope.len() > MAX_ENVELOPE_LEN {
            return Err(SendError::TooLarge {
                len: envelope.len(),
            });
        }
        let nodes = self.network.nodes.read();
        if !nodes.contains_key(&self.peer.incarnation) {
            return Err(SendError::Unreachable);
        }
        let port = nodes.get(&to).ok_or(SendError::Unreachable)?;
        port.queue
            .send(Event::Envelope(self.peer.incarnation, envelope))
            .map_err(|_| SendError::Unreachable)
    }

    fn discovered(&self, _peer: Peer) {
        // All nodes of a loopback network are connected from their start.
    }

    fn is_settled(&self) -> bool {
        self.port.get().is_some()
    }

    async fn stop(&self) {
        self.network.disconnect(self.peer.incarnation);
        if let Some(port) = self.port.get() {
            let _ = port.queue.send(Event::Stop);
        }
    }
}
