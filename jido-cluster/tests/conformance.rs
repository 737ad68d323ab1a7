//! The suite of transports, over the loopback transport and over such as break one promise.
#![allow(missing_docs, reason = "a test")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may panic, and starts tasks of its own"
)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use jido_cluster::conformance::{self, Local, Stage, Subject, cases};
use jido_cluster::loopback::{LoopbackNetwork, LoopbackTransport};
use jido_cluster::transport::{Inbox, Peer, SendError, Transport};
use jido_cluster::{Error, Incarnation};

/// What a transport does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// Two envelopes of a lane now and then in the wrong order.
    Order,
    /// An envelope is lost without the session.
    Loss,
    /// An envelope comes twice.
    Copy,
    /// What is too large is taken.
    Size,
    /// Envelopes for nobody are taken.
    Nobody,
    /// A peer comes up twice.
    Twice,
    /// The end of a peer is never told.
    NoEnd,
    /// The end of a peer is told twice.
    TwoEnds,
    /// Something comes after the end.
    Late,
    /// It can be started again and again.
    Starts,
}

#[derive(Debug)]
struct Flawed {
    inner: LoopbackTransport,
    flaw: Flaw,
}

#[async_trait]
impl Transport for Flawed {
    async fn start(&self, inbox: Arc<dyn Inbox>) -> Result<(), Error> {
        let flaw = self.flaw;
        let inbox = Arc::new(FlawedInbox {
            inner: inbox,
            flaw,
            count: AtomicU64::new(0),
            kept: Mutex::default(),
        });
        match self.inner.start(inbox).await {
            Err(_) if flaw == Flaw::Starts => Ok(()),
            started => started,
        }
    }

    fn address(&self) -> String {
        self.inner.address()
    }

    fn send(&self, to: Incarnation, lane: u64, envelope: &[u8]) -> Result<(), SendError> {
        match (self.inner.send(to, lane, envelope), self.flaw) {
            (Err(SendError::TooLarge { .. }), Flaw::Size) => Ok(()),
            (Err(SendError::Unreachable), Flaw::Nobody) => Ok(()),
            (sent, _) => sent,
        }
    }

    fn discovered(&self, peer: Peer) {
        self.inner.discovered(peer);
    }

    fn is_settled(&self) -> bool {
        self.inner.is_settled()
    }

    async fn stop(&self) {
        self.inner.stop().await;
    }
}

#[derive(Debug)]
struct FlawedInbox {
    inner: Arc<dyn Inbox>,
    flaw: Flaw,
    count: AtomicU64,
    kept: Mutex<Option<(Incarnation, Bytes)>>,
}

impl Inbox for FlawedInbox {
    fn peer_up(&self, peer: Peer) {
        if self.flaw == Flaw::Twice {
            self.inner.peer_up(peer.clone());
        }
        self.inner.peer_up(peer);
    }

    fn peer_down(&self, incarnation: Incarnation) {
        match self.flaw {
            Flaw::NoEnd => return,
            Flaw::TwoEnds => self.inner.peer_down(incarnation),
            _ => {}
        }
        self.inner.peer_down(incarnation);
        let kept = self.kept.lock().unwrap().take();
        if let Some((from, envelope)) = kept {
            self.inner.deliver(from, envelope);
        }
    }

    fn deliver(&self, from: Incarnation, envelope: Bytes) {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        match (self.flaw, count) {
            (Flaw::Loss, 77) => {}
            (Flaw::Copy, 77) => {
                self.inner.deliver(from, envelope.clone());
                self.inner.deliver(from, envelope);
            }
            (Flaw::Order | Flaw::Late, 77) => *self.kept.lock().unwrap() = Some((from, envelope)),
            (Flaw::Order, _) => {
                self.inner.deliver(from, envelope);
                let kept = self.kept.lock().unwrap().take();
                if let Some((from, envelope)) = kept {
                    self.inner.deliver(from, envelope);
                }
            }
            _ => self.inner.deliver(from, envelope),
        }
    }
}

#[derive(Debug)]
struct Loopback {
    network: LoopbackNetwork,
    flaw: Flaw,
}

fn stage(flaw: Flaw) -> Arc<Loopback> {
    Arc::new(Loopback {
        network: LoopbackNetwork::new(),
        flaw,
    })
}

#[async_trait]
impl Stage for Loopback {
    async fn start(&self, peer: Peer) -> Arc<dyn Subject> {
        let (network, incarnation) = (self.network.clone(), peer.incarnation);
        let inner = network.transport(peer.clone());
        let flaw = self.flaw;
        let transport = Arc::new(Flawed { inner, flaw });
        Local::start(peer, transport, move || network.disconnect(incarnation)).await
    }
}

#[tokio::test(start_paused = true)]
async fn the_loopback_transport_keeps_every_promise() {
    conformance::run(|| stage(Flaw::None)).await;
}

/// The cases that find a flaw.
async fn found(flaw: Flaw) -> Vec<&'static str> {
    let mut found = Vec::new();
    for (name, case) in cases() {
        // A case may also end by a panic, as of a transport that starts twice.
        let verdict = tokio::spawn(case(stage(flaw))).await;
        if !matches!(verdict, Ok(Ok(()))) {
            found.push(name);
        }
    }
    found
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_breaks_a_promise_is_found() {
    assert_eq!(found(Flaw::None).await, [""; 0]);
    for flaw in [
        Flaw::Order,
        Flaw::Loss,
        Flaw::Copy,
        Flaw::Size,
        Flaw::Nobody,
        Flaw::Twice,
        Flaw::NoEnd,
        Flaw::TwoEnds,
        Flaw::Late,
        Flaw::Starts,
    ] {
        let found = found(flaw).await;
        println!("{flaw:?}: {found:?}");
        assert!(!found.is_empty(), "{flaw:?} was not found");
    }
}
