//! The way out to a peer that is up.

use std::sync::Arc;

use ractor::ActorRef;

use super::frame::{SessionId, Signal};
use super::gateway::{Frame, GATEWAYS};
use super::lane::Lane;
use super::stream::Switch;
use crate::environment::Environment;
use crate::transport::{Peer, SendError};

/// A peer that is up: a way to each of its gateways.
///
/// What waits when the link is dropped is lost, with the session.
#[derive(Debug)]
pub(super) struct Link {
    peer: Peer,
    lanes: [Lane; GATEWAYS],
    environment: Arc<dyn Environment>,
    switch: Switch,
}

impl Link {
    /// Opens the way to a peer's gateways. If one of them is gone, the session is
    /// cut, since envelopes are then lost.
    pub(super) fn open(
        peer: Peer,
        session: SessionId,
        switch: &Switch,
        gateways: [ActorRef<Frame>; GATEWAYS],
        environment: Arc<dyn Environment>,
    ) -> Self {
        Self {
            peer,
            lanes: gateways.map(|gateway| Lane::open(session, switch.clone(), gateway)),
            environment,
            switch: switch.clone(),
        }
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Sends an envelope behind all others of its lane.
    pub(super) fn send(&self, lane: u64, envelope: &[u8]) -> Result<(), SendError> {
        let lane = &self.lanes[(lane % GATEWAYS as u64) as usize];
        let sent = lane.send(|| self.environment.elapsed(), envelope);
        if sent.is_err() {
            self.switch.cut();
        }
        sent
    }

    /// Tells the peer that this node is there.
    pub(super) fn beat(&self) {
        if let Some(lane) = self.lanes.first() {
            lane.signal(Signal::Heartbeat);
        }
    }

    /// Tells the peer that nothing more comes; once it has all, it ends the session.
    pub(super) fn say_goodbye(&self) {
        for lane in &self.lanes {
            lane.signal(Signal::Goodbye);
        }
    }
}
