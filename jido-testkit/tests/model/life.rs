//! Steps of nodes: time, leases, watches, deaths. Models
//! `jido-cluster/src/lease.rs`.

use crate::protocol::Protocol;
use crate::rules::{Flaw, LEASE_TICKS, WATCH_TICKS};
use crate::state::{Node, Renewal, State, Watch};
use crate::steps::Event;
use crate::store::Owner;

impl Protocol {
    /// Ages stop to count where nothing further depends on them, so that time has
    /// no bound.
    pub(crate) fn tick(&self, state: &mut State) -> bool {
        for node in &mut state.nodes[..self.rules.bounds.nodes] {
            older(&mut node.lease, LEASE_TICKS);
            match &mut node.renewal {
                // So old a one gives no lease, and the next one shows the beat.
                Renewal::Sent(age) if *age + 1 == LEASE_TICKS => node.renewal = Renewal::None,
                Renewal::Sent(age) | Renewal::Renewed(age) => older(age, LEASE_TICKS),
                Renewal::None | Renewal::Dead => {}
            }
            match &mut node.watch {
                Watch::Still(age) | Watch::Moved(age) => older(age, WATCH_TICKS),
                Watch::Unseen => {}
            }
        }
        true
    }

    /// One at a time; what was lost is overtaken by the next.
    pub(crate) fn send_renewal(&self, state: &mut State, n: usize) -> bool {
        state.nodes[n].renewal = Renewal::Sent(0);
        true
    }

    pub(crate) fn renew(&self, state: &mut State, n: usize) -> bool {
        self.send_renewal(state, n)
            && self.apply_renewal(state, n)
            && self.receive_renewal(state, n)
    }

    pub(crate) fn apply_renewal(&self, state: &mut State, n: usize) -> bool {
        let node = &mut state.nodes[n];
        let Renewal::Sent(age) = node.renewal else {
            return false;
        };
        if !state.store.renew(&self.rules, n) {
            node.renewal = Renewal::Dead;
            return true;
        }
        node.renewal = Renewal::Renewed(age);
        node.watch = match node.watch {
            Watch::Still(age) if self.rules.is(Flaw::DeadWhateverBeat) => Watch::Moved(age),
            watch if self.rules.is(Flaw::DeadWhateverBeat) => watch,
            // Whoever looks sees a beat that is new to them.
            _ => Watch::Unseen,
        };
        true
    }

    pub(crate) fn receive_renewal(&self, state: &mut State, n: usize) -> bool {
        let node = &mut state.nodes[n];
        match node.renewal {
            Renewal::Renewed(age) => {
                node.lease = if self.rules.is(Flaw::LeaseFromReceipt) {
                    0
                } else {
                    age.min(node.lease)
                };
                node.renewal = Renewal::None;
                true
            }
            // Declared dead: it stops every activation, and begins a new life.
            Renewal::Dead => {
                match node.rebirths.checked_sub(1) {
                    Some(left) => {
                        *node = Node::born(left);
                        state.store.register(n);
                    }
                    None => node.end(),
                }
                true
            }
            Renewal::None | Renewal::Sent(_) => false,
        }
    }

    /// Somebody reads the beat: a beat that moved is new to them. Who it is makes no
    /// difference: one watcher that may look at any time stands for all others.
    pub(crate) fn watch(&self, state: &mut State, n: usize) -> bool {
        let watch = &mut state.nodes[n].watch;
        if matches!(watch, Watch::Still(_)) {
            return false;
        }
        *watch = Watch::Still(0);
        true
    }

    pub(crate) fn declare_dead(&self, state: &mut State, n: usize) -> bool {
        state.nodes[n].watch = Watch::Unseen;
        state.store.declare_dead(n);
        true
    }

    pub(crate) fn crash(&self, state: &mut State, n: usize) -> bool {
        state.ends -= 1;
        state.nodes[n].end();
        true
    }

    /// A clean end: what still runs is stopped first, and declared dead at once.
    pub(crate) fn shut_down(&self, state: &mut State, n: usize) -> bool {
        state.ends -= 1;
        if !self.rules.is(Flaw::DeadBeforeStopped) {
            state.nodes[n].end();
        }
        self.declare_dead(state, n)
    }

    /// A process is started again under the name of one that ended. It is let in
    /// once the life before it is dead.
    pub(crate) fn restart(&self, state: &mut State, n: usize) -> bool {
        let Some(left) = state.nodes[n].rebirths.checked_sub(1) else {
            return false;
        };
        if !state.store.register(n) {
            return false;
        }
        state.nodes[n] = Node::born(left);
        true
    }

    /// Notes that a node took an agent over, and from whom.
    pub(crate) fn note_takeover(&self, state: &State, n: usize, from: Owner) {
        let bounds = &self.rules.bounds;
        if state.nodes[n].is_reborn(bounds) && state.ends == bounds.ends {
            self.note(Event::NewLifeClaims);
        }
        match from {
            Owner::Dead if state.ends < bounds.ends && !state.nodes[n].is_reborn(bounds) => {
                self.note(Event::TakeoverAfterCrash);
            }
            Owner::None => self.note(Event::ClaimAfterRelease),
            Owner::Dead | Owner::Node(_) => {}
        }
    }
}

fn older(age: &mut u8, most: u8) {
    *age = (*age + 1).min(most);
}
