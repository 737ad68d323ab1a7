//! The way out to a peer that is up.

use bytes::Bytes;
use ractor::ActorRef;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::yield_now;

use super::frame::{Outgoing, Packed, SessionId};
use super::gateway::{Frame, GATEWAYS};
use super::stream::Switch;
use crate::runtime::OwnedTask;
use crate::transport::{Peer, SendError};

/// Envelopes that are taken off a queue at once.
const TAKEN: usize = 4096;
/// How often the sender steps back to let more come before it packs what came.
/// Without it frames hold one envelope each.
const YIELDS: usize = 2;

/// A peer that is up: a way to each of its gateways.
///
/// What waits when the link is dropped is lost, with the session.
#[derive(Debug)]
pub(super) struct Link {
    peer: Peer,
    lanes: [Lane; GATEWAYS],
}

/// The way to one gateway: a queue, and a task that packs what is in it.
///
/// The queue has no bound of its own. Those below, in the session layer, have
/// none either, and what callers may have under way to a peer is limited above,
/// where it can be refused with an answer.
#[derive(Debug)]
struct Lane {
    queue: UnboundedSender<Outgoing>,
    _task: OwnedTask,
}

impl Link {
    /// Opens the way to a peer's gateways. If one of them is gone, the session is
    /// cut, since envelopes are then lost.
    pub(super) fn open(
        peer: Peer,
        session: SessionId,
        switch: &Switch,
        gateways: [ActorRef<Frame>; GATEWAYS],
    ) -> Self {
        let lanes = gateways.map(|gateway| {
            let (queue, waiting) = mpsc::unbounded_channel();
            let switch = switch.clone();
            let task = OwnedTask::spawn(async move {
                drain(session, waiting, |frame| gateway.cast(frame).is_ok()).await;
                switch.cut();
            });
            Lane { queue, _task: task }
        });
        Self { peer, lanes }
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Queues an envelope behind all others of its lane.
    pub(super) fn send(&self, lane: u64, envelope: Bytes) -> Result<(), SendError> {
        let lane = &self.lanes[(lane % GATEWAYS as u64) as usize];
        lane.queue
            .send(Outgoing::Envelope(envelope))
            .map_err(|_| SendError::Unreachable)
    }

    /// Tells the peer that this node is there.
    pub(super) fn beat(&self) {
        if let Some(lane) = self.lanes.first() {
            // A queue that nobody reads belongs to a session that is ending anyway.
            let _ = lane.queue.send(Outgoing::Heartbeat);
        }
    }

    /// Tells the peer that nothing more comes; once it has all, it ends the session.
    pub(super) fn say_goodbye(&self) {
        for lane in &self.lanes {
            // A queue that nobody reads belongs to a session that is ending anyway.
            let _ = lane.queue.send(Outgoing::Goodbye);
        }
    }
}

/// Packs and passes on what is queued until nobody queues or takes any more.
async fn drain(
    session: SessionId,
    mut waiting: UnboundedReceiver<Outgoing>,
    mut pass: impl FnMut(Frame) -> bool,
) {
    let mut taken = Vec::with_capacity(TAKEN);
    while waiting.recv_many(&mut taken, TAKEN).await > 0 {
        for _ in 0..YIELDS {
            yield_now().await;
        }
        while taken.len() < TAKEN
            && let Ok(outgoing) = waiting.try_recv()
        {
            taken.push(outgoing);
        }
        for frame in Packed::new(session, &taken) {
            if !pass(Frame(frame)) {
                return;
            }
        }
        taken.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{Content, read, split_envelope};
    use super::*;

    #[tokio::test]
    async fn what_is_queued_together_travels_together() {
        let (queue, waiting) = mpsc::unbounded_channel();
        // One at a time, as callers on other tasks do.
        let sender = async move {
            for i in 0..300_u32 {
                let envelope = Bytes::copy_from_slice(&i.to_be_bytes());
                queue.send(Outgoing::Envelope(envelope)).unwrap();
                yield_now().await;
            }
        };
        let mut frames = Vec::new();
        let drained = drain(SessionId(1), waiting, |frame| {
            frames.push(frame);
            true
        });
        tokio::join!(drained, sender);
        assert!(frames.len() <= 110, "{}", frames.len());
        let mut next = 0_u32;
        for frame in frames {
            let (_, Content::Envelopes(mut rest)) = read(frame.0.into()).unwrap() else {
                panic!("no goodbye was said")
            };
            while let Some(envelope) = split_envelope(&mut rest).unwrap() {
                assert_eq!(envelope[..], next.to_be_bytes());
                next += 1;
            }
        }
        assert_eq!(next, 300);
    }

    #[tokio::test]
    async fn it_ends_when_the_gateway_is_gone() {
        let (queue, waiting) = mpsc::unbounded_channel();
        queue.send(Outgoing::Goodbye).unwrap();
        drain(SessionId(1), waiting, |_| false).await;
        assert!(queue.is_closed());
    }
}
