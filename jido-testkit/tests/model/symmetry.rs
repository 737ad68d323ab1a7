//! Nodes are alike: states that differ in the names of nodes alone are one state.

use crate::rules::{KEYS, NODES};
use crate::state::{Node, State};
use crate::store::Owner;

/// Gives the nodes the names that put them in order.
pub(crate) fn order(state: &mut State, nodes: usize) {
    let mut lives: [(Node, bool, [bool; KEYS], usize); NODES] = std::array::from_fn(|n| {
        let owns = state
            .store
            .agents
            .map(|agent| agent.owner == Owner::Node(n as u8));
        (state.nodes[n], state.store.dead[n], owns, n)
    });
    // The former name is only a tie-breaker between nodes that are alike in
    // everything, so it decides nothing.
    lives[..nodes].sort_unstable();
    if lives.iter().enumerate().all(|(now, life)| life.3 == now) {
        return;
    }
    for (now, (node, dead, owns, _)) in lives.into_iter().enumerate() {
        state.nodes[now] = node;
        state.store.dead[now] = dead;
        for (agent, owns) in state.store.agents.iter_mut().zip(owns) {
            if owns {
                agent.owner = Owner::Node(now as u8);
            }
        }
    }
}
