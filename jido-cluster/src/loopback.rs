//! A transport between nodes of one process, for tests and single-process clusters.

use std::collections::{BTreeMap, BTreeSet};
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
    state: Arc<RwLock<State>>,
}

#[derive(Debug, Default)]
struct State {
    nodes: BTreeMap<Incarnation, Arc<Port>>,
    /// Between which there is no session, the smaller one first.
    cut: BTreeSet<(Incarnation, Incarnation)>,
}

impl State {
    fn is_cut(&self, a: Incarnation, b: Incarnation) -> bool {
        self.cut.contains(&(a.min(b), a.max(b)))
    }

    /// Tells both of something that is between the two, if they are there.
    fn tell_both(&self, a: Incarnation, b: Incarnation, event: impl Fn(&Peer) -> Event) {
        if let (Some(a), Some(b)) = (self.nodes.get(&a), self.nodes.get(&b)) {
            let _ = a.queue.send(event(&b.peer));
            let _ = b.queue.send(event(&a.peer));
        }
    }
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
        let mut state = self.state.write();
        let Some(gone) = state.nodes.remove(&incarnation) else {
            return;
        };
        for other in state.nodes.values() {
            let _ = other.queue.send(Event::Down(incarnation));
            let _ = gone.queue.send(Event::Down(other.peer.incarnation));
        }
    }

    /// Cuts the way between two nodes, which may still reach others: each sees its session
    /// with the other end, and has none until [`heal`](LoopbackNetwork::heal).
    pub fn cut(&self, a: Incarnation, b: Incarnation) {
        let mut state = self.state.write();
        if state.cut.insert((a.min(b), a.max(b))) {
            state.tell_both(a, b, |peer| Event::Down(peer.incarnation));
        }
    }

    /// Opens the way between two nodes that was cut: they have a session again.
    pub fn heal(&self, a: Incarnation, b: Incarnation) {
        let mut state = self.state.write();
        if state.cut.remove(&(a.min(b), a.max(b))) {
            state.tell_both(a, b, |peer| Event::Up(peer.clone()));
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
    let mut up = BTreeSet::new();
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
        let me = self.peer.incarnation;
        let mut state = self.network.state.write();
        state.nodes.insert(me, port);
        for other in state.nodes.keys().filter(|other| **other != me) {
            if !state.is_cut(me, *other) {
                state.tell_both(me, *other, |peer| Event::Up(peer.clone()));
            }
        }
        Ok(())
    }

    fn address(&self) -> String {
        self.peer.address.clone()
    }

    fn send(&self, to: Incarnation, _lane: u64, envelope: &[u8]) -> Result<(), SendError> {
        if envelope.len() > MAX_ENVELOPE_LEN {
            return Err(SendError::TooLarge {
                len: envelope.len(),
            });
        }
        let me = self.peer.incarnation;
        let state = self.network.state.read();
        if !state.nodes.contains_key(&me) || state.is_cut(me, to) {
            return Err(SendError::Unreachable);
        }
        let port = state.nodes.get(&to).ok_or(SendError::Unreachable)?;
        port.queue
            .send(Event::Envelope(me, Bytes::copy_from_slice(envelope)))
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
