//! Steps of commits, from the activation to storage and back. Models
//! `jido-cluster/src/activation/commit.rs` and `pipeline.rs` beside it.

use crate::protocol::Protocol;
use crate::rules::{Clocks, Flaw};
use crate::state::{Activation, Breach, Flight, Log, Outcome, Running, State, Unknown};
use crate::steps::Event;
use crate::store::Commit;

impl Protocol {
    /// Sends all that is not durable, one commit at a time.
    pub(crate) fn commit(&self, state: &mut State, n: usize, k: usize) -> bool {
        let Activation::Running(running) = &mut state.nodes[n].activations[k] else {
            return false;
        };
        if running.current.len() > running.committed.len() + 1 {
            self.note(Event::PipelinedCommit);
        }
        running.flight = Some(Flight {
            state: running.current,
            outcome: None,
        });
        let commit = commit_of(running, k, false);
        send(state, commit);
        true
    }

    /// The activation ends before it hears how its release went: it may not serve
    /// meanwhile anyway, and a new claim has a larger epoch.
    pub(crate) fn release(&self, state: &mut State, n: usize, k: usize) -> bool {
        let Activation::Running(running) = &state.nodes[n].activations[k] else {
            return false;
        };
        let commit = commit_of(running, k, true);
        state.nodes[n].activations[k] = Activation::None;
        send(state, commit);
        true
    }

    /// Storage takes a commit, or refuses it.
    pub(crate) fn apply(&self, state: &mut State, commit: Commit) -> bool {
        let k = usize::from(commit.key);
        let before = state.store.agents[k];
        let outcome = state.store.append(&self.rules, &commit);
        match outcome {
            Outcome::Committed if !commit.release => {
                if commit.epoch != before.epoch
                    || commit.epoch < state.told[k].writer
                    || commit.expected != before.revision
                {
                    state.breach(Breach::SecondWriter);
                }
                if commit.denied {
                    state.breach(Breach::DeniedThenMade);
                }
                state.told[k].writer = commit.epoch;
            }
            Outcome::Committed | Outcome::Conflict => {}
            Outcome::Fenced => {
                self.note(Event::FencedAppend);
                if commit.epoch < before.epoch {
                    self.note(Event::LateCommitFenced);
                }
            }
        }
        for node in &mut state.nodes {
            if let Activation::Running(running) = &mut node.activations[k]
                && running.epoch == commit.epoch
                && !commit.release
                && let Some(flight) = &mut running.flight
                && flight.state == commit.state
                && flight.outcome.is_none()
            {
                flight.outcome = Some(outcome);
            }
        }
        true
    }

    /// The activation hears how its commit went.
    pub(crate) fn outcome(&self, state: &mut State, n: usize, k: usize) -> bool {
        let slept = self.rules.bounds.clocks != Clocks::None && !state.nodes[n].holds_lease();
        let activation = &mut state.nodes[n].activations[k];
        let Activation::Running(running) = activation else {
            return false;
        };
        let Some(Flight {
            state: durable,
            outcome: Some(outcome),
        }) = running.flight
        else {
            return false;
        };
        if outcome == Outcome::Committed {
            made(state, n, k, durable);
            return true;
        }
        if outcome == Outcome::Fenced && slept {
            self.note(Event::SleeperFenced);
        }
        // It stops, and those who wait try elsewhere.
        *activation = Activation::None;
        true
    }

    /// The outcome is lost, before or after the commit took effect. The activation
    /// freezes; what was built on the commit is undone.
    pub(crate) fn lose_outcome(&self, state: &mut State, n: usize, k: usize) -> bool {
        let Some(left) = state.unknowns.checked_sub(1) else {
            return false;
        };
        let activation = &mut state.nodes[n].activations[k];
        let Activation::Running(running) = activation else {
            return false;
        };
        let Some(flight) = running.flight else {
            return false;
        };
        state.unknowns = left;
        if self.rules.is(Flaw::UnknownIsMade) {
            made(state, n, k, flight.state);
            return true;
        }
        *activation = Activation::Frozen(Unknown {
            epoch: running.epoch,
            durable: running.committed.len(),
            state: flight.state,
        });
        true
    }
}

/// The replies leave that waited for a commit.
fn made(state: &mut State, n: usize, k: usize, durable: Log) {
    let Activation::Running(running) = &mut state.nodes[n].activations[k] else {
        return;
    };
    let from = running.committed.len();
    running.flight = None;
    running.revision += 1;
    running.committed = durable;
    for (at, request) in (1..).zip(durable.iter()).skip(usize::from(from)) {
        state.acknowledge(k, request, at, durable);
    }
}

fn commit_of(running: &Running, k: usize, release: bool) -> Commit {
    Commit {
        key: k as u8,
        epoch: running.epoch,
        expected: running.revision,
        state: running.current,
        replies: running.replies,
        release,
        denied: false,
    }
}

fn send(state: &mut State, commit: Commit) {
    state.wire.push(commit);
    state.wire.sort_unstable();
}
