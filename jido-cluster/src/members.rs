//! Who is in the cluster, as this node sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use jido_core::{Incarnation, Labels, ManagerName, NodeName};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::placement::{Candidate, Guarded, PlacementPolicy, Rendezvous};
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
    /// What it says about itself: its zone, its region, its version, its weight.
    pub labels: Labels,
    /// Whether it is shutting down and takes no further keys.
    pub leaving: bool,
    /// Whether its own signals say that it is well. One that isn't gets no further keys,
    /// unless no other member could take them.
    pub healthy: bool,
    /// The managers that run on it. A manager's keys are placed on those nodes alone
    /// that run it.
    pub managers: BTreeSet<ManagerName>,
}

impl Member {
    /// A node that has just been met.
    pub(crate) fn new(name: NodeName, incarnation: Incarnation, address: String) -> Self {
        Self {
            name,
            incarnation,
            address,
            labels: Labels::new(),
            leaving: false,
            healthy: true,
            managers: BTreeSet::new(),
        }
    }
}

/// The members at one moment, immutable.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Sorted by name; a node that was restarted may stand here twice for a moment.
    members: Vec<Member>,
    placed: BTreeMap<ManagerName, Placed>,
}

/// The members that take a manager's keys, one a name, sorted by name.
#[derive(Debug)]
struct Placed {
    nodes: Vec<Incarnation>,
    names: Vec<NodeName>,
    placement: Guarded,
}

impl Placed {
    fn of(manager: &ManagerName, policy: &dyn PlacementPolicy, members: &[Member]) -> Self {
        let takes_keys = |m: &&Member| !m.leaving && m.managers.contains(manager);
        // Better served by a node that isn't well than by none.
        let any_healthy = members.iter().filter(takes_keys).any(|m| m.healthy);
        // The members stand in the order of their arrival: of two lives of one
        // name, the later one is the node as it is now.
        let mut placed: Vec<&Member> = Vec::new();
        for member in members
            .iter()
            .filter(takes_keys)
            .filter(|m| m.healthy || !any_healthy)
        {
            match placed.iter_mut().find(|other| other.name == member.name) {
                Some(other) => *other = member,
                None => placed.push(member),
            }
        }
        placed.sort_by(|a, b| a.name.cmp(&b.name));
        let candidates = placed.iter().map(|member| Candidate {
            name: member.name.clone(),
            labels: member.labels.clone(),
        });
        let candidates: Vec<Candidate> = candidates.collect();
        Self {
            placement: Guarded::new(manager, policy, &candidates),
            nodes: placed.iter().map(|m| m.incarnation).collect(),
            names: candidates.into_iter().map(|one| one.name).collect(),
        }
    }
}

type Policies = BTreeMap<ManagerName, Arc<dyn PlacementPolicy>>;

impl View {
    fn of(members: &[Member], policies: &Policies) -> Self {
        let managers: BTreeSet<&ManagerName> =
            members.iter().flat_map(|member| &member.managers).collect();
        let mut sorted = members.to_vec();
        sorted.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            placed: managers
                .into_iter()
                .map(|manager| {
                    let policy = policies.get(manager);
                    let policy = policy.map_or(&Rendezvous as &dyn PlacementPolicy, |p| &**p);
                    (manager.clone(), Placed::of(manager, policy, members))
                })
                .collect(),
            members: sorted,
        }
    }

    /// The node that ought to own a manager's key; none while every member that runs
    /// the manager is leaving.
    pub(crate) fn place(
        &self,
        manager: &ManagerName,
        key: &str,
        key_hash: u64,
    ) -> Option<Incarnation> {
        self.taker(manager, key, key_hash).map(|(_, node)| node)
    }

    /// The name and the life of that node.
    pub(crate) fn taker(
        &self,
        manager: &ManagerName,
        key: &str,
        key_hash: u64,
    ) -> Option<(&NodeName, Incarnation)> {
        let placed = self.placed.get(manager)?;
        let at = placed.placement.place(key, key_hash)?;
        Some((placed.names.get(at)?, *placed.nodes.get(at)?))
    }

    /// The nodes that take a manager's keys, by name.
    pub(crate) fn takers(
        &self,
        manager: &ManagerName,
    ) -> impl Iterator<Item = (&NodeName, Incarnation)> {
        let placed = self.placed.get(manager).into_iter();
        placed.flat_map(|placed| placed.names.iter().zip(placed.nodes.iter().copied()))
    }

    /// The nodes that run a manager and stay, by name: those that take its keys, and those that
    /// take none because they aren't well. Of two lives of one name, the later one comes last.
    pub(crate) fn staying(
        &self,
        manager: &ManagerName,
    ) -> impl Iterator<Item = (&NodeName, Incarnation)> {
        let members = self.members.iter();
        let staying = members.filter(|m| !m.leaving && m.managers.contains(manager));
        staying.map(|member| (&member.name, member.incarnation))
    }

    pub(crate) fn get(&self, incarnation: Incarnation) -> Option<&Member> {
        self.members
            .iter()
            .find(|member| member.incarnation == incarnation)
    }

    pub(crate) fn contains(&self, incarnation: Incarnation) -> bool {
        self.get(incarnation).is_some()
    }

    /// Whether a node is a member that runs a manager.
    pub(crate) fn serves(&self, incarnation: Incarnation, manager: &ManagerName) -> bool {
        self.get(incarnation)
            .is_some_and(|member| member.managers.contains(manager))
    }

    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    /// How many members may pass an ask of one of them on.
    pub(crate) fn relays(&self) -> usize {
        self.members.len().saturating_sub(1)
    }

    /// The member that an ask of `me` goes to which is for `to`: that one, or where there is
    /// no session with it, one that may have one. Which of them, says `relay`: 0, 1, .. go
    /// through them all, in an order that differs from lane to lane.
    pub(crate) fn hop(
        &self,
        me: Incarnation,
        to: Incarnation,
        lane: u64,
        relay: usize,
    ) -> Option<Incarnation> {
        if self.contains(to) {
            return Some(to);
        }
        let first = (lane % self.relays().max(1) as u64) as usize;
        let at = first.wrapping_add(relay).checked_rem(self.relays())?;
        let mut others = self.members.iter().filter(|m| m.incarnation != me);
        others.nth(at).map(|member| member.incarnation)
    }
}

/// The members as they change.
#[derive(Debug)]
pub(crate) struct Members {
    me: Incarnation,
    view: ArcSwap<View>,
    state: Mutex<State>,
    /// How many sessions have ended.
    partings: AtomicU64,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    /// In the order of their arrival, this node first.
    members: Vec<Member>,
    /// How keys are placed of managers that run here.
    policies: Policies,
    /// Lives with which there was a session that has ended.
    gone: BTreeSet<Incarnation>,
    /// Lives that this node has taken agents over from.
    taken_from: BTreeSet<Incarnation>,
}

impl Members {
    /// Members that consist of this node alone.
    pub(crate) fn new(me: Member) -> Self {
        let mine = me.incarnation;
        let members = vec![me];
        Self {
            me: mine,
            view: ArcSwap::from_pointee(View::of(&members, &Policies::new())),
            state: Mutex::new(State {
                members,
                policies: Policies::new(),
                gone: BTreeSet::new(),
                taken_from: BTreeSet::new(),
            }),
            partings: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }

    /// This node's own life.
    pub(crate) fn me(&self) -> Incarnation {
        self.me
    }

    /// Ends when the members change, from the time of this call on.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
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
            state.members.push(Member::new(name, incarnation, address));
        });
    }

    /// Where this node accepts connections is known once it does.
    pub(crate) fn found_address(&self, me: Incarnation, address: String) {
        self.change_one(me, |member| member.address = address);
    }

    pub(crate) fn left(&self, incarnation: Incarnation) {
        self.change(|state| {
            state
                .members
                .retain(|member| member.incarnation != incarnation);
            remember(&mut state.gone, incarnation);
        });
        // Last, so that whoever has counted it finds the life among those that are gone.
        self.partings.fetch_add(1, Ordering::Release);
    }

    /// How many sessions have ended by now, of lives that may go on.
    pub(crate) fn partings(&self) -> u64 {
        self.partings.load(Ordering::Acquire)
    }

    /// How a manager's keys are placed from now on.
    pub(crate) fn places_by(&self, manager: &ManagerName, policy: Arc<dyn PlacementPolicy>) {
        self.change(|state| {
            state.policies.insert(manager.clone(), policy);
        });
    }

    /// A node runs a manager from now on, or no longer.
    pub(crate) fn serves(&self, incarnation: Incarnation, manager: &ManagerName, serves: bool) {
        self.change_one(incarnation, |member| {
            if serves {
                member.managers.insert(manager.clone());
            } else {
                member.managers.remove(manager);
            }
        });
    }

    /// What a node's own signals say of its health.
    pub(crate) fn health(&self, incarnation: Incarnation, healthy: bool) {
        self.change_one(incarnation, |member| member.healthy = healthy);
    }

    /// A node has said what it is.
    pub(crate) fn labelled(&self, incarnation: Incarnation, labels: Labels) {
        self.change_one(incarnation, |member| member.labels = labels);
    }

    pub(crate) fn leaving(&self, incarnation: Incarnation) {
        self.change_one(incarnation, |member| member.leaving = true);
    }

    /// This node has taken an agent over from a life. Answers whether there is a session with
    /// it.
    pub(crate) fn took_over(&self, from: Incarnation) -> bool {
        // First, so that whoever lets it join meanwhile finds it.
        remember(&mut self.state.lock().taken_from, from);
        self.view.load().contains(from)
    }

    /// Whether this node has taken agents over from a life.
    pub(crate) fn has_taken_from(&self, from: Incarnation) -> bool {
        self.state.lock().taken_from.contains(&from)
    }

    /// Whether there was a session with this life, and it has ended.
    pub(crate) fn is_gone(&self, incarnation: Incarnation) -> bool {
        self.state.lock().gone.contains(&incarnation)
    }

    /// Changes what is known of a life, if it is a member.
    fn change_one(&self, incarnation: Incarnation, change: impl FnOnce(&mut Member)) {
        self.change(|state| {
            let mut members = state.members.iter_mut();
            if let Some(member) = members.find(|member| member.incarnation == incarnation) {
                change(member);
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        self.view
            .store(Arc::new(View::of(&state.members, &state.policies)));
        drop(state);
        self.changed.notify_waiters();
    }
}

fn remember(lives: &mut BTreeSet<Incarnation>, life: Incarnation) {
    lives.insert(life);
    if lives.len() > REMEMBERED_LIVES {
        lives.pop_first();
    }
}

#[cfg(test)]
mod tests;
