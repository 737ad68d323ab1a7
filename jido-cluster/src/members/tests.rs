use super::*;

fn counters() -> ManagerName {
    ManagerName::new("counters").unwrap()
}

fn peer(name: &str, incarnation: u128) -> Peer {
    Peer {
        name: NodeName::new(name).unwrap(),
        incarnation: Incarnation(incarnation),
        address: String::new(),
    }
}

/// Members that all run the manager.
fn members(all: &[(&str, u128)]) -> Members {
    let Peer {
        name,
        incarnation,
        address,
    } = peer(all[0].0, all[0].1);
    let members = Members::new(Member::new(name, incarnation, address));
    for (name, incarnation) in &all[1..] {
        members.joined(peer(name, *incarnation));
    }
    for (_, incarnation) in all {
        members.serves(Incarnation(*incarnation), &counters(), true);
    }
    members
}

fn hashes() -> impl Iterator<Item = u64> {
    (0..1_000u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

#[test]
fn placement_is_the_same_whatever_the_order_of_arrival() {
    let a = members(&[("n1", 1), ("n2", 2), ("n3", 3)]);
    let b = members(&[("n3", 3), ("n2", 2), ("n1", 1)]);
    for hash in hashes() {
        assert_eq!(
            a.view().place(&counters(), "", hash),
            b.view().place(&counters(), "", hash)
        );
    }
}

#[test]
fn a_restarted_node_takes_the_place_of_its_former_life() {
    let members = members(&[("n1", 1), ("n2", 2), ("n2", 22)]);
    let view = members.view();
    assert!(hashes().all(|hash| view.place(&counters(), "", hash) != Some(Incarnation(2))));
    assert!(view.contains(Incarnation(2)));
    members.left(Incarnation(2));
    assert!(members.is_gone(Incarnation(2)));
    assert!(!members.view().contains(Incarnation(2)));
    assert!(!members.is_gone(Incarnation(22)));
}

#[test]
fn a_node_gets_keys_only_while_it_runs_their_manager() {
    let members = members(&[("n1", 1), ("n2", 2)]);
    members.serves(Incarnation(2), &counters(), false);
    let only = Some(Incarnation(1));
    assert!(hashes().all(|hash| members.view().place(&counters(), "", hash) == only));
    let other = ManagerName::new("rooms").unwrap();
    assert_eq!(members.view().place(&other, "", 7), None);
    members.serves(Incarnation(2), &counters(), true);
    assert!(hashes().any(|hash| members.view().place(&counters(), "", hash) != only));
}

#[test]
fn a_leaving_node_is_a_member_without_keys() {
    let members = members(&[("n1", 1), ("n2", 2)]);
    members.leaving(Incarnation(1));
    members.leaving(Incarnation(2));
    assert_eq!(members.view().place(&counters(), "", 7), None);
    assert_eq!(members.view().members().len(), 2);
}

#[test]
fn a_node_that_is_not_well_gets_no_keys_while_another_can_take_them() {
    let members = members(&[("n1", 1), ("n2", 2)]);
    let all_on = |node| {
        let view = members.view();
        hashes().all(|hash| view.place(&counters(), "", hash) == Some(Incarnation(node)))
    };
    members.health(Incarnation(1), false);
    assert!(all_on(2));
    members.health(Incarnation(2), false);
    assert!(!all_on(2) && !all_on(1));
    members.leaving(Incarnation(2));
    assert!(all_on(1));
    members.health(Incarnation(1), true);
    assert!(all_on(1));
}

#[test]
fn an_ask_goes_straight_to_a_member_and_by_way_of_each_other_one_to_any_other_node() {
    let (me, gone) = (Incarnation(2), Incarnation(9));
    let members = members(&[("n2", 2), ("n1", 1), ("n3", 3), ("n4", 4)]);
    let view = members.view();
    for lane in [0, 1, 2, u64::MAX] {
        assert_eq!(view.hop(me, Incarnation(3), lane, 7), Some(Incarnation(3)));
        let hops: BTreeSet<_> = (0..3)
            .filter_map(|at| view.hop(me, gone, lane, at))
            .collect();
        assert_eq!(hops, BTreeSet::from([1, 3, 4].map(Incarnation)));
        assert_eq!(view.hop(me, gone, lane, 0), view.hop(me, gone, lane, 3));
    }
    assert_ne!(view.hop(me, gone, 0, 0), view.hop(me, gone, 1, 0));
    let alone = super::Members::new(view.members()[0].clone());
    assert_eq!(alone.view().hop(Incarnation(1), gone, 5, 0), None);
}

#[test]
fn a_peer_that_comes_back_is_not_gone() {
    let members = members(&[("n1", 1), ("n2", 2)]);
    members.left(Incarnation(2));
    members.joined(peer("n2", 2));
    assert!(!members.is_gone(Incarnation(2)));
}
