//! Envelopes on their way.

use std::time::Duration;

use bytes::Bytes;
use jido_cluster::Incarnation;
use jido_cluster::transport::SendError;
use jido_core::{Ask, Envelope, Route};

use super::link::{End, Pair};
use super::{Network, State};
use crate::check::hops::Sent;

/// How long most envelopes are under way at the most.
const USUAL: Duration = Duration::from_millis(3);

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
        let paused = port.paused.is_some();
        let lane = lane % state.lanes;
        let pair = Pair::of(from, to);
        let latency = state.latency(from, to);
        let labels = (state.label(from), state.label(to));
        self.note_request(&mut state, from, &envelope);
        let link = state.links.get_mut(&pair).ok_or(SendError::Unreachable)?;
        if latency > USUAL {
            self.world().count("envelope delayed");
        }
        let hash = xxhash_rust::xxh3::xxh3_64(&envelope);
        self.world().note(format_args!(
            "net {} sends {} lane {lane} {hash:016x}",
            labels.0, labels.1
        ));
        if *link.end(pair, to) == End::Down || link.session != session {
            self.world().count("envelope lost");
            return Ok(());
        }
        link.way(pair, from).push(lane, envelope, paused);
        if !paused {
            let network = self.clone();
            self.world()
                .after(latency, move || network.arrive(pair, session, from, lane));
        }
        Ok(())
    }

    /// Writes down which request is sent.
    fn note_request(&self, state: &mut State, from: Incarnation, envelope: &Bytes) {
        let Ok(Envelope::Ask(ask)) = Envelope::decode(envelope.clone()) else {
            return;
        };
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
