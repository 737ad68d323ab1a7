//! Envelopes on their way.

use std::time::Duration;

use bytes::Bytes;
use jido_cluster::Incarnation;
use jido_cluster::transport::SendError;
use jido_core::{Ask, Envelope, Operation, Route};

use super::link::{End, Pair};
use super::{Network, State};
use crate::check::hops::Sent;
use crate::sim::world::between;

/// How long most envelopes are under way at the most.
const USUAL: Duration = Duration::from_millis(3);

/// How much later the copy of an envelope is sent at the most.
const COPIED: Duration = Duration::from_millis(300);

impl Network {
    pub(super) fn send(
        &self,
        from: Incarnation,
        to: Incarnation,
        lane: u64,
        envelope: Bytes,
    ) -> Result<(), SendError> {
        let mut state = self.0.state.lock();
        let port = state.ports.get(&from).ok_or(SendError::Unreachable)?;
        if port.stopping {
            return Err(SendError::Unreachable);
        }
        let session = *port.up.get(&to).ok_or(SendError::Unreachable)?;
        let lane = lane % state.lanes;
        let pair = Pair::of(from, to);
        let latency = state.latency(from, to);
        let labels = (state.label(from), state.label(to));
        let decoded = Envelope::decode(envelope.clone()).ok();
        if let Some(Envelope::Ask(ask)) = &decoded {
            self.note_request(&mut state, from, ask);
        }
        if !state.links.contains_key(&pair) {
            return Err(SendError::Unreachable);
        }
        if latency > USUAL {
            self.world().count("envelope delayed");
        }
        let hash = xxhash_rust::xxh3::xxh3_64(&envelope);
        self.world().note(format_args!(
            "net {} sends {} lane {lane} {hash:016x}",
            labels.0, labels.1
        ));
        let copy = decoded.is_some_and(|decoded| may_be_doubled(&decoded));
        let copied = (copy && state.chance.u8(..32) == 0).then(|| envelope.clone());
        let way = (pair, session, from, lane);
        if !self.put(&mut state, way, latency, envelope) {
            self.world().count("envelope lost");
            return Ok(());
        }
        if let Some(copied) = copied {
            let delay = between(&mut state.chance, Duration::ZERO, COPIED);
            let network = self.clone();
            self.world()
                .after(delay, move || network.send_copy(way, copied));
        }
        Ok(())
    }

    /// Sends an envelope once more, behind all that was sent on its lane meanwhile.
    fn send_copy(&self, way: (Pair, u64, Incarnation, u64), envelope: Bytes) {
        let mut state = self.0.state.lock();
        let (pair, _, from, lane) = way;
        let to = pair.other(from);
        let latency = state.latency(from, to);
        if self.put(&mut state, way, latency, envelope) {
            let (from, to) = (state.label(from), state.label(to));
            self.world()
                .note(format_args!("net {from} sends {to} lane {lane} a copy"));
            self.world().count("envelope doubled");
        }
    }

    /// Puts an envelope on its way: on a lane of one end of a session. False if the
    /// session is over.
    fn put(
        &self,
        state: &mut State,
        (pair, session, from, lane): (Pair, u64, Incarnation, u64),
        latency: Duration,
        envelope: Bytes,
    ) -> bool {
        let paused = state.is_paused(from);
        let Some(link) = state.links.get_mut(&pair) else {
            return false;
        };
        if *link.end(pair, pair.other(from)) == End::Down || link.session != session {
            return false;
        }
        link.way(pair, from).push(lane, envelope, paused);
        if !paused {
            let network = self.clone();
            self.world()
                .after(latency, move || network.arrive(pair, session, from, lane));
        }
        true
    }

    /// Writes down which request is sent.
    fn note_request(&self, state: &mut State, from: Incarnation, ask: &Ask) {
        if let Route::PassedOn { .. } = ask.route {
            self.world().count("ask passed on");
        }
        let Ask {
            request: Some(request),
            key: Some(key),
            ..
        } = ask
        else {
            return;
        };
        let node = state.label(from);
        let sent = state.sent.entry((from, request.id));
        let sent = sent.or_insert_with(|| Sent {
            key: key.to_string(),
            node,
            request: request.id.to_string(),
            at: Vec::new(),
        });
        sent.at.push(self.world().now());
    }

    /// The first envelope of a lane arrives, unless something holds it.
    fn arrive(&self, pair: Pair, session: u64, from: Incarnation, lane: u64) {
        let mut state = self.0.state.lock();
        let to = pair.other(from);
        let held = state.is_cut(from, to) || state.is_paused(to);
        let Some(link) = state.links.get_mut(&pair) else {
            return;
        };
        if link.session != session || *link.end(pair, to) == End::Down {
            return;
        }
        let held = held || *link.end(pair, to) == End::Opening;
        let Some((envelope, overtaken)) = link.way(pair, from).arrive(lane, held) else {
            if held {
                self.world().count("envelope held");
            }
            return;
        };
        let Some(inbox) = state.ports.get(&to).map(|port| port.inbox.clone()) else {
            return;
        };
        drop(state);
        self.world().count("envelope");
        if overtaken {
            self.world().count("envelope overtaken");
        }
        inbox.deliver(from, envelope);
    }

    /// Lets what was held on a way go on.
    pub(super) fn pay(&self, state: &mut State, pair: Pair, from: Incarnation) {
        if state.is_paused(from) {
            return;
        }
        let to = pair.other(from);
        let (owed, session) = match state.links.get_mut(&pair) {
            Some(link) => (link.way(pair, from).take_owed(), link.session),
            None => return,
        };
        for lane in owed {
            let latency = state.latency(from, to);
            let network = self.clone();
            self.world()
                .after(latency, move || network.arrive(pair, session, from, lane));
        }
    }
}

/// Whether an envelope may come once more, and later, without harm: all but what asks an
/// agent to do something. Sessions double nothing; should one do so with a message, a
/// node would carry it out that has refused it before, which its sender was told. That
/// a request is sent twice is for clients to do.
fn may_be_doubled(envelope: &Envelope) -> bool {
    match envelope {
        Envelope::Answer(_) | Envelope::Notice(_) => true,
        Envelope::Ask(ask) => !matches!(
            ask.operation,
            Operation::Call | Operation::Cast | Operation::Delete
        ),
    }
}
