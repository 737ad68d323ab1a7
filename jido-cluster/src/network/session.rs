//! One session, from its opening to its end, and what comes in through it.

use std::sync::atomic::{AtomicUsize, Ordering};

use jido_core::Incarnation;
use parking_lot::RwLock;
use tokio::sync::watch;

use super::frame::{Content, FrameError, SessionId, split_envelope};
use super::gateway::GATEWAYS;
use super::hello::Hello;
use super::stream::Switch;
use crate::transport::Inbox;

/// How much may come in before this end knows that the session is ready, in
/// bytes. The other end may know it a moment earlier.
const EARLY_LEN: usize = 64 * 1024 * 1024;

/// How far a session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Opening,
    Ready,
    Ended,
}

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    id: SessionId,
    peer: Hello,
    switch: Switch,
    stage: watch::Sender<Stage>,
    inbound: RwLock<Inbound>,
    goodbyes: AtomicUsize,
}

/// What becomes of what comes in. Deliveries hold it shared, and changes alone: so
/// none overlaps with the peer's coming or going.
#[derive(Debug)]
enum Inbound {
    /// Kept until the session is ready.
    Early {
        kept: Vec<Content>,
        len: usize,
    },
    Delivered,
    Dropped,
}

impl Session {
    pub(super) fn new(id: SessionId, peer: Hello, switch: Switch) -> Self {
        Self {
            id,
            peer,
            switch,
            stage: watch::Sender::new(Stage::Opening),
            inbound: RwLock::new(Inbound::Early {
                kept: Vec::new(),
                len: 0,
            }),
            goodbyes: AtomicUsize::new(0),
        }
    }

    pub(super) fn id(&self) -> SessionId {
        self.id
    }

    pub(super) fn peer(&self) -> &Hello {
        &self.peer
    }

    pub(super) fn switch(&self) -> &Switch {
        &self.switch
    }

    /// Where to wait for the session to be ready or to end.
    pub(super) fn stage(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// Delivers what came in a frame, or keeps it while the session is opening.
    pub(super) fn receive(&self, content: Content, inbox: &dyn Inbox) {
        {
            let inbound = self.inbound.read();
            match &*inbound {
                Inbound::Delivered => return self.deliver(content, inbox),
                Inbound::Dropped => return,
                Inbound::Early { .. } => {}
            }
        }
        let mut inbound = self.inbound.write();
        match &mut *inbound {
            Inbound::Early { kept, len } => {
                *len += content.len();
                if *len > EARLY_LEN {
                    tracing::warn!(
                        session = %self.id, peer = %self.peer.name, limit = EARLY_LEN,
                        "too many bytes came before the session was ready: it is ended",
                    );
                    *inbound = Inbound::Dropped;
                    self.switch.cut();
                } else {
                    kept.push(content);
                }
            }
            // It has become ready in between.
            Inbound::Delivered => self.deliver(content, inbox),
            Inbound::Dropped => {}
        }
    }

    /// The session is ready: the inbox hears of the peer, then gets what came
    /// early, then what comes.
    pub(super) fn ready(&self, inbox: &dyn Inbox) {
        let mut inbound = self.inbound.write();
        inbox.peer_up(self.peer.peer());
        // Dropped is what a session has become that brought too much too early.
        if let Inbound::Early { kept, .. } = &mut *inbound {
            for content in std::mem::take(kept) {
                self.deliver(content, inbox);
            }
            *inbound = Inbound::Delivered;
        }
        self.stage.send_replace(Stage::Ready);
    }

    /// The session is over: nothing is delivered after this.
    pub(super) fn end(&self) {
        self.switch.cut();
        *self.inbound.write() = Inbound::Dropped;
        self.stage.send_replace(Stage::Ended);
    }

    /// Whether the peer has said that it is stopping.
    pub(super) fn said_goodbye(&self) -> bool {
        self.goodbyes.load(Ordering::Relaxed) >= GATEWAYS
    }

    fn deliver(&self, content: Content, inbox: &dyn Inbox) {
        match content {
            Content::Envelopes(mut rest) => loop {
                match split_envelope(&mut rest) {
                    Ok(Some(envelope)) => inbox.deliver(self.incarnation(), envelope),
                    Ok(None) => break,
                    Err(error) => return self.refuse(error),
                }
            },
            // That it came was counted where its bytes came in.
            Content::Heartbeat => {}
            Content::Goodbye => {
                // With the last gateway's goodbye all has come that was sent.
                if self.goodbyes.fetch_add(1, Ordering::Relaxed) + 1 == GATEWAYS {
                    self.switch.cut();
                }
            }
        }
    }

    /// Ends the session because of a frame that can't be read.
    pub(super) fn refuse(&self, error: FrameError) {
        tracing::warn!(
            session = %self.id, peer = %self.peer.name, %error,
            "a frame can't be read: the session is ended",
        );
        self.switch.cut();
    }

    fn incarnation(&self) -> Incarnation {
        self.peer.incarnation
    }
}
