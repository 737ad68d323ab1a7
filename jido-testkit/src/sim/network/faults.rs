//! What can go wrong with the network, and with those on it.

use std::time::Duration;

use jido_cluster::Incarnation;

use super::link::{End, Pair};
use super::{Network, SILENCE, State};
use crate::sim::world::between;

/// Why an end may hear nothing more: a cut or a pause, by its number.
#[derive(Clone, Copy)]
enum Cause {
    Cut(u64),
    Pause(u64),
}

impl Network {
    /// Holds everything on the way from one node to another, until it is healed.
    pub(in crate::sim) fn cut(&self, from: &str, to: &str) {
        let mut state = self.0.state.lock();
        let number = state.number();
        state.cuts.insert((from.to_owned(), to.to_owned()), number);
        for (from, to) in lives(&state, from, to) {
            self.watch(&mut state, from, to, Cause::Cut(number));
        }
    }

    /// Lets everything through again from one node to another.
    pub(in crate::sim) fn heal(&self, from: &str, to: &str) {
        let mut state = self.0.state.lock();
        if state
            .cuts
            .remove(&(from.to_owned(), to.to_owned()))
            .is_some()
        {
            self.world().count("way healed");
        }
        for (from, to) in lives(&state, from, to) {
            self.go_on(&mut state, from, to);
        }
    }

    /// Makes both ways between two nodes take up to this time; none for as usual.
    pub(in crate::sim) fn slow(&self, one: &str, other: &str, most: Option<Duration>) {
        let mut state = self.0.state.lock();
        for (from, to) in [(one, other), (other, one)] {
            let way = (from.to_owned(), to.to_owned());
            match most {
                Some(most) => state.slow.insert(way, most),
                None => state.slow.remove(&way),
            };
        }
    }

    /// Ends the session between two nodes, at both ends.
    pub(in crate::sim) fn reset(&self, one: &str, other: &str) {
        let mut state = self.0.state.lock();
        for (from, to) in lives(&state, one, other) {
            for (me, peer) in [(from, to), (to, from)] {
                self.hang_up(&mut state, peer, me);
            }
        }
    }

    /// Takes a life off the network at once. Its peers hear of it soon, or, where its
    /// machine has lost its power, by its silence.
    pub(in crate::sim) fn kill(&self, life: Incarnation, power: bool) {
        let mut state = self.0.state.lock();
        for pair in pairs(&state, life) {
            let other = pair.other(life);
            let delay = if power || state.is_cut(life, other) {
                between(&mut state.chance, SILENCE.0, SILENCE.1)
            } else {
                state.latency(life, other)
            };
            let Some(link) = state.links.get_mut(&pair) else {
                continue;
            };
            let session = link.session;
            *link.end(pair, life) = End::Down;
            if link.is_over() {
                state.links.remove(&pair);
                continue;
            }
            let network = self.clone();
            self.world()
                .after(delay, move || network.down(pair, session, other));
        }
        state.ports.remove(&life);
    }

    /// Stops a life: nothing leaves it, and nothing reaches it, until it goes on.
    pub(in crate::sim) fn pause(&self, life: Incarnation) {
        let mut state = self.0.state.lock();
        let number = state.number();
        let Some(port) = state.ports.get_mut(&life) else {
            return;
        };
        port.paused = Some(number);
        for pair in pairs(&state, life) {
            self.watch(&mut state, life, pair.other(life), Cause::Pause(number));
        }
    }

    /// Lets a life go on.
    pub(in crate::sim) fn resume(&self, life: Incarnation) {
        let mut state = self.0.state.lock();
        let Some(port) = state.ports.get_mut(&life) else {
            return;
        };
        port.paused = None;
        for then in std::mem::take(&mut port.deferred) {
            self.world().after(Duration::ZERO, then);
        }
        for pair in pairs(&state, life) {
            self.go_on(&mut state, life, pair.other(life));
            self.go_on(&mut state, pair.other(life), life);
        }
    }

    /// Ends a life's sessions in good order. What it has sent goes first, as far as
    /// that goes within a second.
    pub(super) async fn leave(&self, life: Incarnation) {
        if let Some(port) = self.0.state.lock().ports.get_mut(&life) {
            port.stopping = true;
        }
        for _ in 0..200 {
            if self.has_sent_all(life) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let up: Vec<(Incarnation, u64)> = {
            let state = self.0.state.lock();
            let port = state.ports.get(&life);
            port.map(|p| p.up.iter().map(|(peer, s)| (*peer, *s)).collect())
                .unwrap_or_default()
        };
        for (peer, session) in up {
            self.hang_up(&mut self.0.state.lock(), life, peer);
            self.down(Pair::of(life, peer), session, life);
        }
        self.kill(life, false);
    }

    fn has_sent_all(&self, life: Incarnation) -> bool {
        let mut state = self.0.state.lock();
        let pairs = pairs(&state, life);
        pairs.into_iter().all(|pair| {
            let link = state.links.get_mut(&pair);
            link.is_none_or(|link| link.way(pair, life).is_empty())
        })
    }

    /// Lets an end that hears nothing give the session up after a while.
    fn watch(&self, state: &mut State, from: Incarnation, to: Incarnation, cause: Cause) {
        let pair = Pair::of(from, to);
        let Some(session) = state.links.get(&pair).map(|link| link.session) else {
            return;
        };
        let delay = between(&mut state.chance, SILENCE.0, SILENCE.1);
        let network = self.clone();
        self.world().after(delay, move || {
            let mut state = network.0.state.lock();
            let goes_on = match cause {
                Cause::Cut(number) => {
                    let way = (state.name(from).to_owned(), state.name(to).to_owned());
                    state.cuts.get(&way) == Some(&number)
                }
                Cause::Pause(number) => {
                    state.ports.get(&from).and_then(|p| p.paused) == Some(number)
                }
            };
            let is_up = |state: &State| {
                let port = state.ports.get(&to);
                port.is_some_and(|port| port.up.get(&from) == Some(&session))
            };
            if !goes_on || !is_up(&state) {
                return;
            }
            network.hang_up(&mut state, to, from);
            drop(state);
            network.world().count("session given up in silence");
            network.down(pair, session, to);
        });
    }

    /// `from` has ended its session: `to` hears of it, as soon as it can.
    fn hang_up(&self, state: &mut State, from: Incarnation, to: Incarnation) {
        let pair = Pair::of(from, to);
        let held = state.is_cut(from, to) || state.is_paused(from);
        let latency = state.latency(from, to);
        let Some(link) = state.links.get_mut(&pair) else {
            return;
        };
        if held {
            link.way(pair, from).hung_up = true;
            return;
        }
        let (session, network) = (link.session, self.clone());
        self.world()
            .after(latency, move || network.down(pair, session, to));
    }

    /// A way is open again, or may be.
    fn go_on(&self, state: &mut State, from: Incarnation, to: Incarnation) {
        let pair = Pair::of(from, to);
        self.pay(state, pair, from);
        let Some(link) = state.links.get_mut(&pair) else {
            return;
        };
        if std::mem::take(&mut link.way(pair, from).hung_up) {
            self.hang_up(state, from, to);
        }
    }
}

/// The links of a life.
fn pairs(state: &State, life: Incarnation) -> Vec<Pair> {
    let pairs = state.links.keys().copied();
    pairs.filter(|pair| pair.has(life)).collect()
}

/// The lives of two names, each of the first with each of the second.
fn lives(state: &State, one: &str, other: &str) -> Vec<(Incarnation, Incarnation)> {
    let of = |name: &str| -> Vec<Incarnation> {
        let ports = state.ports.iter();
        ports
            .filter(|(_, port)| port.name() == name)
            .map(|(life, _)| *life)
            .collect()
    };
    let (ones, others) = (of(one), of(other));
    ones.iter()
        .flat_map(|one| others.iter().map(|other| (*one, *other)))
        .collect()
}
