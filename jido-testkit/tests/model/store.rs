//! The rules of storage, as `jido_storage::Storage` tells them and its memory
//! adapter keeps them (`jido-storage/src/memory/tables.rs`): `agreement.rs` holds
//! the two against each other.

use crate::rules::{Flaw, KEYS, NODES, Rules, Takeover};
use crate::state::{Log, Outcome, Replies};

/// Who owns an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) enum Owner {
    /// Nobody: every append is fenced.
    #[default]
    None,
    /// A life that is dead: which one makes no difference.
    Dead,
    /// The life that the node has now.
    Node(u8),
}

/// The record of an agent with its checkpoint and the records of its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Agent {
    pub(crate) owner: Owner,
    pub(crate) epoch: u8,
    pub(crate) revision: u8,
    pub(crate) state: Log,
    pub(crate) replies: Replies,
}

/// A commit. One that releases writes nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Commit {
    pub(crate) key: u8,
    pub(crate) epoch: u8,
    pub(crate) expected: u8,
    pub(crate) state: Log,
    pub(crate) replies: Replies,
    pub(crate) release: bool,
    /// Whether a caller was told that it never takes effect.
    pub(crate) denied: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claimed {
    Epoch(u8),
    Held,
    ClaimantDead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Store {
    pub(crate) agents: [Agent; KEYS],
    /// Whether the life that each node has now was declared dead.
    pub(crate) dead: [bool; NODES],
}

impl Store {
    /// Claims an agent for the life that a node has now.
    pub(crate) fn claim(&mut self, rules: &Rules, key: usize, node: usize) -> Claimed {
        if self.dead[node] {
            return Claimed::ClaimantDead;
        }
        let agent = &mut self.agents[key];
        let held = matches!(agent.owner, Owner::Node(owner) if usize::from(owner) != node);
        let may_take =
            rules.takeover == Takeover::OnDisconnect || rules.is(Flaw::ClaimIgnoresOwner);
        if held && !may_take {
            return Claimed::Held;
        }
        agent.owner = Owner::Node(node as u8);
        if !rules.is(Flaw::ClaimKeepsEpoch) || agent.epoch == 0 {
            agent.epoch += 1;
        }
        Claimed::Epoch(agent.epoch)
    }

    pub(crate) fn append(&mut self, rules: &Rules, commit: &Commit) -> Outcome {
        let agent = &mut self.agents[usize::from(commit.key)];
        if commit.release && rules.is(Flaw::ReleaseWithoutEpoch) {
            agent.owner = Owner::None;
            return Outcome::Committed;
        }
        let holds = commit.epoch == agent.epoch && agent.owner != Owner::None;
        if !holds && !rules.is(Flaw::NoEpochCheck) {
            return Outcome::Fenced;
        }
        if commit.expected != agent.revision && !rules.is(Flaw::NoRevisionCheck) {
            return Outcome::Conflict;
        }
        if commit.release {
            agent.owner = Owner::None;
            return Outcome::Committed;
        }
        agent.revision = commit.expected + 1;
        agent.state = commit.state;
        if !rules.is(Flaw::RecordApartFromEffect) {
            agent.replies = commit.replies;
        }
        Outcome::Committed
    }

    /// Whether the life that a node has now may add one to its beat.
    pub(crate) fn renew(&self, rules: &Rules, node: usize) -> bool {
        !self.dead[node] || rules.is(Flaw::DeadMayRenew)
    }

    /// The life that a node has now is dead for good.
    pub(crate) fn declare_dead(&mut self, node: usize) {
        self.dead[node] = true;
        for agent in &mut self.agents {
            if agent.owner == Owner::Node(node as u8) {
                agent.owner = Owner::Dead;
            }
        }
    }

    /// A new life of a node, which storage lets in once the one before is dead.
    pub(crate) fn register(&mut self, node: usize) -> bool {
        std::mem::replace(&mut self.dead[node], false)
    }
}
