//! Who is in the cluster, as this node sees it.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use jido_core::{Incarnation, NodeName};
use parking_lot::Mutex;

use crate::placement;
use crate::transport::Peer;

/// How many lives that ended are remembered. One is needed only until its agents
/// were taken over or its lease has run out, so that this is generous.
const REMEMBERED_LIVES: usize = 10_000;

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// Its name.
    pub name: NodeName,
    /// Its life.
    pub incarnation: Incarnation,
    /// Where it accepts connections.
    pub address: String,
    /// Whether it is shutting down and takes no further keys.
    pub leaving: bool,
}

/// The members at one moment, immutable.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Sorted by name; a node that was restarted may stand here twice for a moment.
    members: Vec<Member>,
    /// Those that take keys, one a name, sorted by name.
    placed: Vec<Incarnation>,
    hashes: Vec<u64>,
}

impl View {
    fn of(members: &[Member]) -> Self {
        // The members stand in the order of their arrival: of two lives of one
        // name, the later one is the node as it is now.
        let mut placed: Vec<&Member> = Vec::new();
        for member in members.iter().filter(|member| !member.leaving) {
            match placed.iter_mut().find(|other| other.name == member.name) {
                Some(other) => *other = member,
                None => placed.push(member),
            }
        }
        placed.sort_by(|a, b| a.name.cmp(&b.name));
        let mut sorted = members.to_vec();
        sorted.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            hashes: placed
                .iter()
                .map(|member| placement::node_hash(&member.name))
                .collect(),
            placed: placed.iter().map(|member| member.incarnation).collect(),
            members: sorted,
        }
    }

    /// The node that ought to own a key; none while every member is leaving.
    pub(crate) fn place(&self, key_hash: u64) -> Option<Incarnation> {
        placement::place(key_hash, &self.hashes)
            .and_then(|at| self.placed.get(at))
            .copied()
    }

    pub(crate) fn get(&self, incarnation: Incarnation) -> Option<&Member> {
        self.members
            .iter()
            .find(|member| member.incarnation == incarnation)
    }

    pub(crate) fn contains(&self, incarnation: Incarnation) -> bool {
        self.get(incarnation).is_some()
    }

    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }
}

/// The members as they change.
#[derive(Debug)]
pub(crate) struct Members {
    view: ArcSwap<View>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// In the order of their arrival, this node first.
    members: Vec<Member>,
    /// Lives with which there was a session that has ended.
    gone: BTreeSet<Incarnation>,
}

impl Members {
    /// Members that consist of this node alone.
    pub(crate) fn new(me: Member) -> Self {
        let members = vec![me];
        Self {
            view: ArcSwap::from_pointee(View::of(&members)),
            state: Mutex::new(State {
                members,
                gone: BTreeSet::new(),
            }),
        }
    }

    /// The members now.
    pub(crate) fn view(&self) -> arc_swap::Guard<Arc<View>> {
        self.view.load()
    }

    pub(crate) fn joined(&self, peer: Peer) {
        let Peer {
            name,
            incarnation,
            address,
        } = peer;
        self.change(|state| {
            state.gone.remove(&incarnation);
            state
                .members
                .retain(|member| member.incarnation != incarnation);
            state.members.push(Member {
                name,
                incarnation,
                address,
                leaving: false,
            });
        });
    }

    /// Where this node accepts connections is known once it does.
    pub(crate) fn found_address(&self, me: Incarnation, address: String) {
        self.change(|state| {
            if let Some(member) = state.members.iter_mut().find(|m| m.incarnation == me) {
                member.address = address;
            }
        });
    }

    pub(crate) fn left(&self, incarnation: Incarnation) {
        self.change(|state| {
            state
                .members
                .retain(|member| member.incarnation != incarnation);
            state.gone.insert(incarnation);
            if state.gone.len() > REMEMBERED_LIVES {
                state.gone.pop_first();
            }
        });
    }

    pub(crate) fn leaving(&self, incarnation: Incarnation) {
        self.change(|state| {
            for member in &mut state.members {
                member.leaving |= member.incarnation == incarnation;
            }
        });
    }

    /// Whether there was a session with this life, and it has ended.
    pub(crate) fn is_gone(&self, incarnation: Incarnation) -> bool {
        self.state.lock().gone.contains(&incarnation)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        self.view.store(Arc::new(View::of(&state.members)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, incarnation: u128) -> Member {
        Member {
            name: NodeName::new(name).unwrap(),
            incarnation: Incarnation(incarnation),
            address: String::new(),
            leaving: false,
        }
    }

    fn peer(name: &str, incarnation: u128) -> Peer {
        let Member {
            name,
            incarnation,
            address,
            ..
        } = member(name, incarnation);
        Peer {
            name,
            incarnation,
            address,
        }
    }

    #[test]
    fn placement_is_the_same_whatever_the_order_of_arrival() {
        let a = Members::new(member("n1", 1));
        a.joined(peer("n2", 2));
        a.joined(peer("n3", 3));
        let b = Members::new(member("n3", 3));
        b.joined(peer("n2", 2));
        b.joined(peer("n1", 1));
        for hash in (0..1_000u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
            assert_eq!(a.view().place(hash), b.view().place(hash));
        }
    }

    #[test]
    fn a_restarted_node_takes_the_place_of_its_former_life() {
        let members = Members::new(member("n1", 1));
        members.joined(peer("n2", 2));
        members.joined(peer("n2", 22));
        let placed = |hash| members.view().place(hash);
        assert!((0..100).all(|i| placed(i << 57) != Some(Incarnation(2))));
        assert!(members.view().contains(Incarnation(2)));
        members.left(Incarnation(2));
        assert!(members.is_gone(Incarnation(2)));
        assert!(!members.view().contains(Incarnation(2)));
        assert!(!members.is_gone(Incarnation(22)));
    }

    #[test]
    fn a_leaving_node_is_a_member_without_keys() {
        let members = Members::new(member("n1", 1));
        members.joined(peer("n2", 2));
        members.leaving(Incarnation(1));
        members.leaving(Incarnation(2));
        assert_eq!(members.view().place(7), None);
        assert_eq!(members.view().members().len(), 2);
    }

    #[test]
    fn a_peer_that_comes_back_is_not_gone() {
        let members = Members::new(member("n1", 1));
        members.joined(peer("n2", 2));
        members.left(Incarnation(2));
        members.joined(peer("n2", 2));
        assert!(!members.is_gone(Incarnation(2)));
    }
}
