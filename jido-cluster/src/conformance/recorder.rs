//! What an inbox sees of a transport, held against what a transport promises.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock, Weak};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use jido_core::Incarnation;
use parking_lot::Mutex;

use crate::transport::{Inbox, Peer, SendError, Transport};

/// No protocol version, so that nothing takes these envelopes for those of agents.
const MARK: u8 = 0xee;
/// Mark, lane and number.
const HEADER_LEN: usize = 17;

/// Envelopes that are sent one after the other on one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// The lane.
    pub lane: u64,
    /// The number of the first one in its lane: how many were sent before in this session.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// The length of each in bytes, at least 17.
    pub len: usize,
}

/// What came from one peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// How often it came up.
    pub ups: u64,
    /// How often it went down.
    pub downs: u64,
    /// Envelopes that came in the present session, or in the last one.
    pub delivered: u64,
    /// Its name and its address, once it was up: `name@address`.
    pub peer: String,
}

/// An inbox that notes what comes, and what may not be.
#[derive(Debug, Default)]
pub struct Recorder {
    transport: OnceLock<Weak<dyn Transport>>,
    peers: Mutex<BTreeMap<Incarnation, Seen>>,
    faults: Mutex<Vec<String>>,
}

#[derive(Debug, Default)]
struct Seen {
    counts: Counts,
    is_up: bool,
    /// Lanes of which a delivery is under way.
    busy: BTreeSet<u64>,
    next: BTreeMap<u64, u64>,
}

fn envelope(lane: u64, number: u64, len: usize) -> Bytes {
    let mut bytes = BytesMut::with_capacity(len);
    bytes.put_u8(MARK);
    bytes.put_u64(lane);
    bytes.put_u64(number);
    bytes.resize(len.max(HEADER_LEN), number as u8);
    bytes.freeze()
}

/// Lane and number of an envelope that came whole.
fn read(mut envelope: Bytes) -> Option<(u64, u64)> {
    if envelope.try_get_u8().ok()? != MARK {
        return None;
    }
    let (lane, number) = (envelope.try_get_u64().ok()?, envelope.try_get_u64().ok()?);
    let is_whole = envelope.iter().all(|byte| *byte == number as u8);
    is_whole.then_some((lane, number))
}

impl Recorder {
    /// For a transport, which is to be started with it.
    pub fn new(transport: &Arc<dyn Transport>) -> Arc<Self> {
        let recorder = Self::default();
        let _ = recorder.transport.set(Arc::downgrade(transport));
        Arc::new(recorder)
    }

    /// Sends envelopes until one is refused.
    ///
    /// # Errors
    ///
    /// That of the one which was refused.
    pub fn send(&self, to: Incarnation, batch: Batch) -> Result<(), SendError> {
        let transport = self.transport.get().and_then(Weak::upgrade);
        let transport = transport.ok_or(SendError::Unreachable)?;
        for number in batch.first..batch.first + batch.count {
            transport.send(to, batch.lane, &envelope(batch.lane, number, batch.len))?;
        }
        Ok(())
    }

    /// What came from a peer.
    pub fn counts(&self, from: Incarnation) -> Counts {
        let peers = self.peers.lock();
        peers
            .get(&from)
            .map_or_else(Counts::default, |seen| seen.counts.clone())
    }

    /// What came that may not come, in the order of its coming.
    pub fn faults(&self) -> Vec<String> {
        self.faults.lock().clone()
    }

    fn fault(&self, what: String) {
        self.faults.lock().push(what);
    }
}

impl Inbox for Recorder {
    fn peer_up(&self, peer: Peer) {
        let mut peers = self.peers.lock();
        let seen = peers.entry(peer.incarnation).or_default();
        if std::mem::replace(&mut seen.is_up, true) {
            self.fault(format!("{} came up while it was up", peer.name));
        }
        seen.next.clear();
        seen.counts.ups += 1;
        seen.counts.delivered = 0;
        seen.counts.peer = format!("{}@{}", peer.name, peer.address);
    }

    fn peer_down(&self, incarnation: Incarnation) {
        // As the exchange does: what is sent from here on must be refused.
        let batch = Batch {
            lane: 0,
            first: u64::MAX - 1,
            count: 1,
            len: 64,
        };
        if self.send(incarnation, batch) != Err(SendError::Unreachable) {
            self.fault("an envelope was taken for a peer that went down".to_owned());
        }
        let mut peers = self.peers.lock();
        let seen = peers.entry(incarnation).or_default();
        if !std::mem::replace(&mut seen.is_up, false) {
            self.fault("a peer went down that was not up".to_owned());
        }
        if !seen.busy.is_empty() {
            self.fault("a peer went down during a delivery from it".to_owned());
        }
        seen.counts.downs += 1;
    }

    fn deliver(&self, from: Incarnation, envelope: Bytes) {
        let Some((lane, number)) = read(envelope) else {
            return self.fault("an envelope came that was not sent so".to_owned());
        };
        {
            let mut peers = self.peers.lock();
            let seen = peers.entry(from).or_default();
            if !seen.is_up {
                self.fault(format!(
                    "envelope {number} of lane {lane} came from a peer that is not up"
                ));
            }
            if !seen.busy.insert(lane) {
                self.fault(format!("two deliveries of lane {lane} overlap"));
            }
            let next = seen.next.entry(lane).or_default();
            if number != *next {
                self.fault(format!(
                    "lane {lane}: envelope {number} came in the place of {next}"
                ));
            }
            *next = number + 1;
            seen.counts.delivered += 1;
        }
        // Without the lock, so that deliveries that overlap can meet.
        std::thread::yield_now();
        if let Some(seen) = self.peers.lock().get_mut(&from) {
            seen.busy.remove(&lane);
        }
    }
}
