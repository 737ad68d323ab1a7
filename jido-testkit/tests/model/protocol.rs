//! What can happen in a state, and what comes of it.

use std::sync::atomic::{AtomicBool, Ordering};

use stateright::{Model, Property};

use crate::properties;
use crate::rules::{Clocks, Flaw, KEYS, NODES, REQUESTS, Rules, WATCH_TICKS};
use crate::state::{Activation, Node, State, Watch};
use crate::steps::{Action, Event};
use crate::symmetry;

/// The protocol under its rules. Notes, beside the states, which events it met.
#[derive(Debug)]
pub(crate) struct Protocol {
    pub(crate) rules: Rules,
    met: [AtomicBool; Event::ALL.len()],
}

impl Protocol {
    pub(crate) fn new(rules: Rules) -> Self {
        let bounds = rules.bounds;
        assert!(bounds.nodes <= NODES && bounds.keys <= KEYS && bounds.requests <= REQUESTS);
        Self {
            rules,
            met: Default::default(),
        }
    }

    pub(crate) fn note(&self, event: Event) {
        let met = &self.met[event as usize];
        if !met.load(Ordering::Relaxed) {
            met.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn has_met(&self, event: Event) -> bool {
        self.met[event as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn key_of(&self, request: u8) -> usize {
        usize::from(request) % self.rules.bounds.keys
    }

    fn watch_ticks(&self) -> u8 {
        if self.rules.is(Flaw::DeadFromOneMissedBeat) {
            1
        } else {
            WATCH_TICKS
        }
    }

    fn node_actions(&self, state: &State, n: usize, actions: &mut Vec<Action>) {
        let node = &state.nodes[n];
        let dead = state.store.dead[n];
        let clocks = self.rules.bounds.clocks;
        if !dead && clocks != Clocks::None {
            actions.push(Action::Watch { n });
        }
        let enough = self.watch_ticks();
        let may_declare = match node.watch {
            Watch::Still(age) => age >= enough,
            Watch::Moved(age) => age >= enough && self.rules.is(Flaw::DeadWhateverBeat),
            Watch::Unseen => false,
        };
        if !dead && (may_declare || clocks == Clocks::None) {
            actions.push(Action::DeclareDead { n });
        }
        if !node.up {
            actions.push(Action::Restart { n });
            return;
        }
        match clocks {
            // All that a renewal can do is tell the node that it is dead.
            Clocks::None if !dead => {}
            Clocks::None | Clocks::Instant => actions.push(Action::Renew { n }),
            Clocks::Steps => actions.extend([
                Action::SendRenewal { n },
                Action::ApplyRenewal { n },
                Action::ReceiveRenewal { n },
            ]),
        }
        if state.ends > 0 {
            actions.push(Action::Crash { n });
            actions.push(Action::ShutDown { n });
        }
        for r in 0..self.rules.bounds.requests as u8 {
            actions.push(Action::Deliver { n, r });
        }
        for k in 0..self.rules.bounds.keys {
            activation_actions(&node.activations[k], n, k, self, actions);
            if state.strays > 0 {
                actions.push(Action::StrayClaim { n, k });
            }
        }
    }
}

fn activation_actions(
    activation: &Activation,
    n: usize,
    k: usize,
    protocol: &Protocol,
    actions: &mut Vec<Action>,
) {
    match activation {
        Activation::None if protocol.rules.is(Flaw::ClaimAndLoadInOneStep) => {
            actions.push(Action::ReadBeforeClaim { n, k });
        }
        Activation::None | Activation::ReadBeforeClaim { .. } => {
            actions.push(Action::Claim { n, k });
        }
        Activation::Frozen(_) if protocol.rules.is(Flaw::UnknownSettledWithoutEpoch) => {
            actions.push(Action::Load { n, k });
        }
        Activation::Frozen(_) => actions.push(Action::Claim { n, k }),
        Activation::Claimed { .. } => actions.push(Action::Load { n, k }),
        Activation::Running(running) => {
            if protocol.rules.bounds.clocks != Clocks::None {
                actions.push(Action::Look { n, k });
                actions.push(Action::AnswerRead { n, k });
            }
            if running.flight.is_some() {
                actions.push(Action::Outcome { n, k });
                actions.push(Action::LoseOutcome { n, k });
            } else if running.current == running.committed {
                actions.push(Action::Release { n, k });
            } else {
                actions.push(Action::Commit { n, k });
            }
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let bounds = &self.rules.bounds;
        vec![State {
            store: Default::default(),
            nodes: [Node::born(bounds.rebirths); NODES],
            wire: Vec::new(),
            told: Default::default(),
            acknowledged: Default::default(),
            ends: bounds.ends,
            unknowns: bounds.unknowns,
            strays: bounds.strays,
            doubles: bounds.doubles,
            breaches: 0,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.breaches != 0 {
            // It is broken already: what comes of that shows nothing more.
            return;
        }
        if self.rules.bounds.clocks != Clocks::None {
            actions.push(Action::Tick);
        }
        for n in 0..self.rules.bounds.nodes {
            self.node_actions(state, n, actions);
        }
        for commit in 0..state.wire.len() {
            // Of two that are alike, it makes no difference which arrives.
            if commit > 0 && state.wire[commit] == state.wire[commit - 1] {
                continue;
            }
            actions.push(Action::Apply { commit });
            if state.doubles > 0 {
                actions.push(Action::ApplyTwice { commit });
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        if !self.step(&mut state, action) {
            return None;
        }
        if self.rules.flaw.is_none() {
            symmetry::order(&mut state, self.rules.bounds.nodes);
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(self)
    }

    fn within_boundary(&self, state: &State) -> bool {
        let agents = &state.store.agents;
        agents
            .iter()
            .all(|agent| agent.epoch <= self.rules.bounds.epochs)
    }
}

impl Protocol {
    /// Takes a step; false where it can't be taken now.
    fn step(&self, state: &mut State, action: Action) -> bool {
        match action {
            Action::Deliver { n, r } => self.deliver(state, n, r),
            Action::Look { n, k } => self.look(state, n, k),
            Action::AnswerRead { n, k } => self.answer_read(state, n, k),
            Action::ReadBeforeClaim { n, k } => self.read_before_claim(state, n, k),
            Action::Claim { n, k } => self.claim(state, n, k),
            Action::StrayClaim { n, k } => self.stray_claim(state, n, k),
            Action::Load { n, k } => self.load(state, n, k),
            Action::Commit { n, k } => self.commit(state, n, k),
            Action::Release { n, k } => self.release(state, n, k),
            Action::Apply { commit } => {
                let commit = state.wire.remove(commit);
                self.apply(state, commit)
            }
            Action::ApplyTwice { commit } => {
                state.doubles -= 1;
                let commit = state.wire[commit];
                self.apply(state, commit)
            }
            Action::Outcome { n, k } => self.outcome(state, n, k),
            Action::LoseOutcome { n, k } => self.lose_outcome(state, n, k),
            Action::Tick => self.tick(state),
            Action::Renew { n } => self.renew(state, n),
            Action::SendRenewal { n } => self.send_renewal(state, n),
            Action::ApplyRenewal { n } => self.apply_renewal(state, n),
            Action::ReceiveRenewal { n } => self.receive_renewal(state, n),
            Action::Watch { n } => self.watch(state, n),
            Action::DeclareDead { n } => self.declare_dead(state, n),
            Action::Crash { n } => self.crash(state, n),
            Action::ShutDown { n } => self.shut_down(state, n),
            Action::Restart { n } => self.restart(state, n),
        }
    }
}
