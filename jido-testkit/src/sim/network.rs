//! The network between simulated nodes: sessions that come, stall and go.
//!
//! It does what a [`Transport`](jido_cluster::transport::Transport) may do, and little
//! more: envelopes of one lane keep their order, and get lost only with their session.
//! Those of which a second copy must do no harm (answers, notices, and asks that are no
//! message to an agent) come twice now and then. The two ends of a session come up and go down at times of
//! their own. A way that is cut holds what was sent; an end that hears nothing for
//! two seconds gives the session up, and the other learns of it when it can.

mod envelopes;
mod faults;
mod link;
mod transport;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use jido_cluster::transport::{Inbox, Peer};
use jido_cluster::{Incarnation, RequestId};
use parking_lot::Mutex;

use super::world::{World, between};
use crate::check::hops::Sent;
use link::{End, Link, Pair, Port};
pub(super) use transport::SimTransport;

const MS: Duration = Duration::from_millis(1);

/// How long an end that hears nothing waits before it gives a session up, at the
/// least and at the most.
const SILENCE: (Duration, Duration) = (Duration::from_millis(2_000), Duration::from_millis(2_500));

/// The pause before the next try to reach a peer.
const REDIAL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(2_000));

/// The network of one simulation.
#[derive(Clone)]
pub(super) struct Network(Arc<Shared>);

struct Shared {
    world: World,
    state: Mutex<State>,
}

struct State {
    chance: Rng,
    /// Lanes with the same remainder share one order.
    lanes: u64,
    /// Whether nodes know each other from the start, or by storage alone.
    seeds: bool,
    ports: BTreeMap<Incarnation, Port>,
    links: BTreeMap<Pair, Link>,
    /// Ways between nodes, by name, on which nothing arrives; numbered in turn.
    cuts: BTreeMap<(String, String), u64>,
    /// Pairs of names that are slow, and how slow at the most.
    slow: BTreeMap<(String, String), Duration>,
    /// The requests that were sent, by sender.
    sent: BTreeMap<(Incarnation, RequestId), Sent>,
    next: u64,
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn name(&self, life: Incarnation) -> &str {
        self.ports.get(&life).map_or("", |port| port.name())
    }

    fn label(&self, life: Incarnation) -> String {
        self.ports
            .get(&life)
            .map_or_else(|| "gone".to_owned(), |port| port.label.clone())
    }

    fn is_paused(&self, life: Incarnation) -> bool {
        self.ports.get(&life).is_some_and(|p| p.paused.is_some())
    }

    fn is_cut(&self, from: Incarnation, to: Incarnation) -> bool {
        if self.cuts.is_empty() {
            return false;
        }
        let way = (self.name(from).to_owned(), self.name(to).to_owned());
        self.cuts.contains_key(&way)
    }

    fn latency(&mut self, from: Incarnation, to: Incarnation) -> Duration {
        if !self.slow.is_empty() {
            let way = (self.name(from).to_owned(), self.name(to).to_owned());
            if let Some(slow) = self.slow.get(&way) {
                return between(&mut self.chance, *slow / 4, *slow);
            }
        }
        let most = if self.chance.u8(..) < 8 { 40 } else { 3 };
        between(&mut self.chance, MS / 5, most * MS)
    }
}

impl Network {
    pub(super) fn new(world: &World) -> Self {
        let mut chance = world.chance("network");
        let lanes = [1, 2, 4, 16][chance.usize(..4)];
        let seeds = chance.u8(..4) > 0;
        Self(Arc::new(Shared {
            world: world.clone(),
            state: Mutex::new(State {
                chance,
                lanes,
                seeds,
                ports: BTreeMap::new(),
                links: BTreeMap::new(),
                cuts: BTreeMap::new(),
                slow: BTreeMap::new(),
                sent: BTreeMap::new(),
                next: 0,
            }),
        }))
    }

    /// Which requests were sent, and when.
    pub(super) fn sent(&self) -> Vec<Sent> {
        self.0.state.lock().sent.values().cloned().collect()
    }

    fn world(&self) -> &World {
        &self.0.world
    }

    /// Puts a node on the network.
    fn join(&self, peer: Peer, label: String, inbox: Arc<dyn Inbox>) {
        let mut state = self.0.state.lock();
        let me = peer.incarnation;
        let others: Vec<Incarnation> = state.ports.keys().copied().collect();
        let found = state.seeds;
        for other in others {
            let pair = Pair::of(me, other);
            state.links.insert(pair, Link::new(found));
            if found {
                self.dial_later(&mut state, pair);
            }
        }
        state.ports.insert(me, Port::new(peer, label, inbox));
    }

    fn discovered(&self, me: Incarnation, other: Incarnation) {
        let mut state = self.0.state.lock();
        let pair = Pair::of(me, other);
        let Some(link) = state.links.get_mut(&pair) else {
            return;
        };
        if !std::mem::replace(&mut link.found, true) {
            self.dial_later(&mut state, pair);
        }
    }

    fn dial_later(&self, state: &mut State, pair: Pair) {
        let State { chance, links, .. } = state;
        let Some(link) = links.get_mut(&pair) else {
            return;
        };
        if !link.found || std::mem::replace(&mut link.dialing, true) {
            return;
        }
        let pause = match link.session {
            0 => between(chance, MS, 200 * MS),
            // The other end has dialed meanwhile.
            _ if chance.u8(..4) == 0 => between(chance, Duration::ZERO, 5 * MS),
            _ => between(chance, REDIAL.0, REDIAL.1),
        };
        let network = self.clone();
        self.world().after(pause, move || network.dial(pair));
    }

    fn dial(&self, pair: Pair) {
        let mut state = self.0.state.lock();
        let (a, b) = pair.ends();
        let blocked = state.is_cut(a, b)
            || state.is_cut(b, a)
            || state.is_paused(a)
            || state.is_paused(b)
            || [a, b]
                .iter()
                .any(|life| state.ports.get(life).is_none_or(|p| p.stopping));
        let session = state.number();
        let Some(link) = state.links.get_mut(&pair) else {
            return;
        };
        link.dialing = false;
        if blocked {
            return self.dial_later(&mut state, pair);
        }
        link.open(session);
        for end in [a, b] {
            let delay = state.latency(pair.other(end), end);
            let network = self.clone();
            self.world()
                .after(delay, move || network.up(pair, session, end));
        }
    }

    /// One end of a session is ready.
    fn up(&self, pair: Pair, session: u64, me: Incarnation) {
        let mut state = self.0.state.lock();
        let other = pair.other(me);
        let network = self.clone();
        if self.deferred(&mut state, me, move || network.up(pair, session, me)) {
            return;
        }
        let Some(link) = state.links.get_mut(&pair) else {
            return;
        };
        if link.session != session || *link.end(pair, me) != End::Opening {
            return;
        }
        *link.end(pair, me) = End::Up;
        let Some(peer) = state.ports.get(&other).map(|port| port.peer.clone()) else {
            // It died meanwhile, and this end never heard of the session.
            *state.links.entry(pair).or_default().end(pair, me) = End::Down;
            return;
        };
        let labels = (state.label(me), state.label(other));
        let Some(port) = state.ports.get_mut(&me) else {
            return;
        };
        port.up.insert(other, session);
        let inbox = port.inbox.clone();
        self.pay(&mut state, pair, other);
        drop(state);
        self.world()
            .note(format_args!("net {} sees {} up", labels.0, labels.1));
        self.world().count("session up");
        inbox.peer_up(peer);
    }

    /// One end of a session is over.
    fn down(&self, pair: Pair, session: u64, me: Incarnation) {
        let mut state = self.0.state.lock();
        let other = pair.other(me);
        let network = self.clone();
        if self.deferred(&mut state, me, move || network.down(pair, session, me)) {
            return;
        }
        let Some(link) = state.links.get_mut(&pair) else {
            return;
        };
        if link.session != session || *link.end(pair, me) == End::Down {
            return;
        }
        let was_up = std::mem::replace(link.end(pair, me), End::Down) == End::Up;
        let lost = link.way(pair, other).clear();
        let over = link.is_over();
        let labels = (state.label(me), state.label(other));
        if !state.ports.contains_key(&other) {
            state.links.remove(&pair);
        } else if over {
            self.dial_later(&mut state, pair);
        }
        let inbox = state.ports.get_mut(&me).map(|port| {
            port.up.remove(&other);
            port.inbox.clone()
        });
        drop(state);
        if let (Some(inbox), true) = (inbox, was_up) {
            self.world().note(format_args!(
                "net {} sees {} down, {lost} lost",
                labels.0, labels.1
            ));
            self.world().count("session down");
            for _ in 0..lost {
                self.world().count("envelope lost");
            }
            inbox.peer_down(other);
        }
    }

    /// Whether something that would happen at an end must wait until it goes on.
    fn deferred(
        &self,
        state: &mut State,
        me: Incarnation,
        then: impl FnOnce() + Send + 'static,
    ) -> bool {
        match state.ports.get_mut(&me) {
            Some(port) if port.paused.is_some() => {
                port.deferred.push(Box::new(then));
                true
            }
            _ => false,
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").finish_non_exhaustive()
    }
}
