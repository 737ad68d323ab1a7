//! Steps of activations: claim, load, messages, reads. Models
//! `jido-cluster/src/activation/start.rs` and `running.rs` beside it.

use crate::protocol::Protocol;
use crate::rules::Flaw;
use crate::state::{Activation, Breach, Read, Running, State, Unknown};
use crate::steps::Event;
use crate::store::{Claimed, Owner};

impl Protocol {
    /// What a claim that waits for the record of an agent reads too early.
    pub(crate) fn read_before_claim(&self, state: &mut State, n: usize, k: usize) -> bool {
        let agent = &state.store.agents[k];
        state.nodes[n].activations[k] = Activation::ReadBeforeClaim {
            state: agent.state,
            replies: agent.replies,
        };
        true
    }

    pub(crate) fn claim(&self, state: &mut State, n: usize, k: usize) -> bool {
        let Some(epoch) = self.claim_in_store(state, n, k) else {
            return false;
        };
        let revision = state.store.agents[k].revision;
        let activation = &mut state.nodes[n].activations[k];
        *activation = match *activation {
            Activation::ReadBeforeClaim {
                state: read,
                replies,
            } => Activation::Running(Running {
                epoch,
                revision,
                committed: read,
                current: read,
                replies,
                flight: None,
                read: None,
            }),
            Activation::Frozen(unknown) => Activation::Claimed {
                epoch,
                unknown: Some(unknown),
            },
            _ => Activation::Claimed {
                epoch,
                unknown: None,
            },
        };
        true
    }

    /// The claim of a node that gave up waiting for it.
    pub(crate) fn stray_claim(&self, state: &mut State, n: usize, k: usize) -> bool {
        state.strays -= 1;
        self.claim_in_store(state, n, k).is_some()
    }

    fn claim_in_store(&self, state: &mut State, n: usize, k: usize) -> Option<u8> {
        let before = state.store.agents[k];
        let Claimed::Epoch(epoch) = state.store.claim(&self.rules, k, n) else {
            return None;
        };
        if epoch <= before.epoch {
            state.breach(Breach::EpochFell);
        }
        if before.epoch > 0 && before.owner != Owner::Node(n as u8) {
            self.note_takeover(state, n, before.owner);
        }
        Some(epoch)
    }

    /// Reads the record, after the claim. If a commit's outcome was unknown, the
    /// records of its requests tell.
    pub(crate) fn load(&self, state: &mut State, n: usize, k: usize) -> bool {
        let (epoch, unknown) = match state.nodes[n].activations[k] {
            Activation::Claimed { epoch, unknown } => (epoch, unknown),
            Activation::Frozen(unknown) => (unknown.epoch, Some(unknown)),
            _ => return false,
        };
        let agent = state.store.agents[k];
        if agent.epoch != epoch || agent.owner == Owner::None {
            // It moved on. What was unknown stays so for those who wait.
            state.nodes[n].activations[k] = Activation::None;
            return true;
        }
        state.nodes[n].activations[k] = Activation::Running(Running {
            epoch,
            revision: agent.revision,
            committed: agent.state,
            current: agent.state,
            replies: agent.replies,
            flight: None,
            read: None,
        });
        if let Some(unknown) = unknown {
            self.settle(state, k, unknown);
        }
        true
    }

    /// Tells those who wait for an unknown commit what became of it.
    fn settle(&self, state: &mut State, k: usize, unknown: Unknown) {
        let agent = state.store.agents[k];
        for request in unknown.state.iter().skip(usize::from(unknown.durable)) {
            let reply = agent.replies.get(request);
            if reply != 0 {
                self.note(Event::UnknownWasMade);
                state.acknowledge(k, request, reply, agent.state);
                continue;
            }
            self.note(Event::UnknownWasNotMade);
            for commit in &mut state.wire {
                let is_it = usize::from(commit.key) == k && commit.epoch == unknown.epoch;
                if is_it && !commit.release {
                    commit.denied = true;
                }
            }
        }
        state.wire.sort_unstable();
    }

    /// The activation handles a request, or knows it already.
    pub(crate) fn deliver(&self, state: &mut State, n: usize, r: u8) -> bool {
        let k = self.key_of(r);
        let Activation::Running(running) = &mut state.nodes[n].activations[k] else {
            return false;
        };
        let known = running.replies.get(r);
        if known != 0 && !self.rules.is(Flaw::NoDedup) {
            if known > running.committed.len() {
                // Its reply is held, and serves both.
                return false;
            }
            let committed = running.committed;
            if state.acknowledged.get(r) == 0 {
                self.note(Event::AnsweredFromRecord);
            }
            state.acknowledge(k, r, known, committed);
            return true;
        }
        running.current.push(r);
        let (reply, current) = (running.current.len(), running.current);
        running.replies.set(r, reply);
        if self.rules.is(Flaw::AcknowledgeBeforeCommit) {
            state.acknowledge(k, r, reply, current);
        }
        true
    }

    /// A read looks at the state, whether that is durable or not.
    pub(crate) fn look(&self, state: &mut State, n: usize, k: usize) -> bool {
        let floor = state.told[k].shown;
        let Activation::Running(running) = &mut state.nodes[n].activations[k] else {
            return false;
        };
        let seen = running.current.len();
        running.read = Some(Read {
            seen,
            floor,
            held: seen > running.committed.len(),
        });
        true
    }

    /// A read is answered once what it saw is durable, and after another look at
    /// the clock. One that finds the lease run out is refused.
    pub(crate) fn answer_read(&self, state: &mut State, n: usize, k: usize) -> bool {
        let holds_lease = state.nodes[n].holds_lease();
        let Activation::Running(running) = &mut state.nodes[n].activations[k] else {
            return false;
        };
        let Some(read) = running.read else {
            return false;
        };
        if read.seen > running.committed.len() && !self.rules.is(Flaw::ReadOfCommitInFlight) {
            return false;
        }
        let seen = running.current.prefix(read.seen);
        running.read = None;
        let unchecked = self.rules.is(Flaw::NoLease)
            || (read.held && self.rules.is(Flaw::HeldReadWithoutLease));
        if !holds_lease && !unchecked {
            self.note(Event::ReadRefused);
            return true;
        }
        self.note(if read.held {
            Event::HeldReadInLease
        } else {
            Event::ReadInLease
        });
        if read.seen < read.floor {
            self.note(Event::StaleRead);
            if self.rules.takeover == crate::rules::Takeover::AfterLease {
                state.breach(Breach::StaleRead);
            }
            return true;
        }
        state.show(k, seen);
        true
    }
}
