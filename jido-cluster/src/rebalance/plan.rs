//! Which agents are moved where: a pure function.

use std::collections::BTreeMap;

use jido_core::{AgentKey, NodeName};

use super::{Migration, MigrationReason, RebalancePlan};

/// Plans at most `limit` moves, those of the smallest keys, given the agents that run by node,
/// the node that each key is placed on, and whether a node takes keys; what is placed on none stays.
///
/// Of several nodes that run an agent the placed one keeps it, or else the one of the smallest
/// name among those that take keys, or else among all; the others hand over to that. The same input
/// gives the same plan, in whatever order keys stand.
pub fn plan(
    running: &BTreeMap<NodeName, Vec<AgentKey>>,
    place: impl Fn(&AgentKey) -> Option<NodeName>,
    takes: impl Fn(&NodeName) -> bool,
    limit: usize,
) -> RebalancePlan {
    let both = running
        .iter()
        .flat_map(|(node, keys)| keys.iter().map(move |key| (key, node)));
    let mut both: Vec<(&AgentKey, &NodeName)> = both.collect();
    // One run of keys in order a node is merged with the others, rather than sorted.
    both.sort();
    both.dedup();
    let mut plan = RebalancePlan::default();
    for same in both.chunk_by(|one, other| one.0 == other.0) {
        let Some(&(key, first)) = same.first() else {
            continue;
        };
        let Some(placed) = place(key) else { continue };
        let is_duplicate = same.len() > 1;
        let stays = same.iter().any(|(_, node)| **node == placed);
        let to = match is_duplicate && !stays {
            true => {
                let well = same.iter().find(|(_, node)| takes(node));
                well.map_or(first, |(_, node)| node).clone()
            }
            false => placed,
        };
        for (_, from) in same.iter().filter(|(_, node)| **node != to) {
            if plan.moves.len() >= limit {
                plan.more = true;
                return plan;
            }
            plan.moves.push(Migration {
                key: key.clone(),
                from: (*from).clone(),
                to: to.clone(),
                reason: match is_duplicate {
                    true => MigrationReason::Duplicate,
                    false => MigrationReason::Misplaced,
                },
            });
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn name(number: usize) -> NodeName {
        NodeName::new(format!("n{number}")).unwrap()
    }

    fn key(number: u8) -> AgentKey {
        AgentKey::new(format!("k{number:03}")).unwrap()
    }

    /// Keys are placed by their length and last digit: on one of four nodes, or on none.
    fn place(key: &AgentKey) -> Option<NodeName> {
        let digit = usize::from(key.as_str().as_bytes()[3] - b'0');
        (digit < 8).then(|| name(digit % 4))
    }

    /// All but the third of them.
    fn takes(node: &NodeName) -> bool {
        *node != name(2)
    }

    type Running = BTreeMap<NodeName, Vec<AgentKey>>;

    fn running() -> impl Strategy<Value = Running> {
        let keys = prop::collection::vec(0..60_u8, 0..20);
        let of = |keys: Vec<Vec<u8>>| {
            let nodes = (0..).zip(keys);
            let keys = nodes.map(|(at, keys)| (name(at), keys.into_iter().map(key).collect()));
            keys.collect()
        };
        prop::collection::vec(keys, 0..5).prop_map(of)
    }

    /// What runs once the moves are done: nothing runs twice on a node.
    fn carried_out(
        running: &Running,
        moves: &[Migration],
    ) -> BTreeMap<NodeName, BTreeSet<AgentKey>> {
        let all = running.iter();
        let mut after: BTreeMap<NodeName, BTreeSet<AgentKey>> = all
            .map(|(node, keys)| (node.clone(), keys.iter().cloned().collect()))
            .collect();
        for migration in moves {
            assert!(
                after
                    .get_mut(&migration.from)
                    .unwrap()
                    .remove(&migration.key),
                "{migration}: it does not run there"
            );
            let to = after.entry(migration.to.clone()).or_default();
            to.insert(migration.key.clone());
        }
        after
    }

    fn again(after: BTreeMap<NodeName, BTreeSet<AgentKey>>) -> Running {
        let all = after.into_iter();
        all.map(|(node, keys)| (node, keys.into_iter().collect()))
            .collect()
    }

    proptest! {
        #[test]
        fn carried_out_it_leaves_every_agent_once_and_where_it_is_placed(running in running()) {
            let first = plan(&running, place, takes, usize::MAX);
            prop_assert!(!first.more);
            let after = carried_out(&running, &first.moves);
            // Duplicates of which none is on its node are settled first, and moved then.
            let second = plan(&again(after.clone()), place, takes, usize::MAX);
            for migration in &second.moves {
                prop_assert_eq!(migration.reason, MigrationReason::Misplaced);
                let before = first.moves.iter().find(|m| m.key == migration.key).unwrap();
                prop_assert_eq!(before.reason, MigrationReason::Duplicate);
            }
            let after = carried_out(&again(after), &second.moves);
            prop_assert!(plan(&again(after.clone()), place, takes, usize::MAX).moves.is_empty());
            let keys: BTreeSet<&AgentKey> = running.values().flatten().collect();
            for key in keys {
                let runs: Vec<NodeName> = after
                    .iter()
                    .filter(|(_, keys)| keys.contains(key))
                    .map(|(node, _)| node.clone())
                    .collect();
                match place(key) {
                    Some(placed) => prop_assert_eq!(runs, [placed]),
                    // Nobody takes it: it is left alone.
                    None => prop_assert!(running.iter().filter(|(_, k)| k.contains(key)).count() == runs.len()),
                }
            }
        }

        #[test]
        fn no_more_is_moved_than_allowed_and_the_first_come_first(running in running(), limit in 0..12_usize) {
            let all = plan(&running, place, takes, usize::MAX).moves;
            let some = plan(&running, place, takes, limit);
            prop_assert_eq!(&some.moves[..], &all[..limit.min(all.len())]);
            prop_assert_eq!(some.more, all.len() > limit);
        }

        #[test]
        fn the_order_of_what_runs_does_not_matter(running in running()) {
            let mut turned = running.clone();
            for keys in turned.values_mut() {
                keys.reverse();
            }
            prop_assert_eq!(plan(&running, place, takes, 7), plan(&turned, place, takes, 7));
        }
    }

    #[test]
    fn a_duplicate_goes_to_the_placed_node_or_else_to_the_smallest_name() {
        let on = |nodes: &[usize], number| {
            let keys = nodes.iter().map(|node| (name(*node), vec![key(number)]));
            plan(&keys.collect(), place, takes, 10)
        };
        let told = |plan: &RebalancePlan| -> Vec<String> {
            plan.moves.iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            told(&on(&[1, 2, 3], 2)),
            ["k002: n1 -> n2 (duplicate)", "k002: n3 -> n2 (duplicate)"]
        );
        assert_eq!(told(&on(&[3, 1], 2)), ["k002: n3 -> n1 (duplicate)"]);
        assert_eq!(
            told(&on(&[2, 3], 1)),
            ["k001: n2 -> n3 (duplicate)"],
            "n2 takes none"
        );
        let nowhere = BTreeMap::from([1, 3].map(|node| (name(node), vec![key(2)])));
        assert_eq!(
            told(&plan(&nowhere, place, |_| false, 10)),
            ["k002: n3 -> n1 (duplicate)"]
        );
        assert_eq!(told(&on(&[3], 2)), ["k002: n3 -> n2 (misplaced)"]);
        assert_eq!(told(&on(&[2], 2)), [""; 0]);
        assert_eq!(told(&on(&[3], 9)), [""; 0], "nobody takes it");
    }

    #[test]
    fn a_plan_is_told_line_by_line() {
        let running = BTreeMap::from([(name(0), vec![key(1), key(2)])]);
        let mut plan = plan(&running, place, takes, 1);
        plan.unanswered.push(name(9));
        assert_eq!(
            plan.to_string(),
            "k001: n0 -> n1 (misplaced)\nand more\nn9 did not say what it runs\n"
        );
    }
}
