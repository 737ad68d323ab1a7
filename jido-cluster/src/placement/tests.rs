use std::collections::BTreeSet;

use jido_core::{Labels, MAX_WEIGHT};
use proptest::prelude::*;

use super::*;

fn hashes(names: &[&str]) -> Vec<u64> {
    names
        .iter()
        .map(|name| node_hash(&NodeName::new(name).unwrap()))
        .collect()
}

fn seed() -> u64 {
    manager_seed(
        &ClusterName::new("demo").unwrap(),
        &ManagerName::new("counters").unwrap(),
    )
}

#[test]
fn the_documented_vectors_hold() {
    let names = ["n1", "n2", "n3"];
    let documented = include_str!("../placement.rs");
    for key in ["counter-1", "counter-2", "counter-3", "room/7", "ключ"] {
        let hash = key_hash(seed(), key);
        let owner = names[place(hash, &hashes(&names)).unwrap()];
        let row = format!("//! | `{key}` | `{hash:016x}` | {owner} |");
        assert!(
            documented.contains(&row),
            "the documentation lacks the row\n{row}"
        );
    }
}

#[test]
fn nobody_owns_anything_where_there_is_no_node() {
    assert_eq!(place(7, &[]), None);
}

#[test]
fn keys_spread_evenly_and_only_those_of_a_lost_node_move() {
    let names = ["n1", "n2", "n3", "n4", "n5"];
    let all = hashes(&names);
    let without = hashes(&["n1", "n2", "n4", "n5"]);
    let mut counts = [0u32; 5];
    for i in 0..20_000 {
        let hash = key_hash(seed(), &format!("key-{i}"));
        let before = place(hash, &all).unwrap();
        counts[before] += 1;
        let after = place(hash, &without).unwrap();
        let after = if after >= 2 { after + 1 } else { after };
        assert!(before == 2 || before == after);
    }
    // 4,000 each are expected, with a standard deviation of 57.
    assert!(
        counts.iter().all(|n| (3_700..4_300).contains(n)),
        "{counts:?}"
    );
}

fn candidate(name: &str, weight: u32, zone: Option<&str>) -> Candidate {
    let mut labels = Labels::new().with_weight(weight).unwrap();
    if let Some(zone) = zone {
        labels = labels.with_zone(zone).unwrap();
    }
    Candidate {
        name: NodeName::new(name).unwrap(),
        labels,
    }
}

/// The name of a key's node by the policy.
fn placed<'a>(policy: &dyn PlacementPolicy, all: &'a [Candidate], key: &str) -> &'a str {
    let manager = ManagerName::new("counters").unwrap();
    let placement = Guarded::new(&manager, policy, all);
    let at = placement.place(key, key_hash(seed(), key)).unwrap();
    all[at].name.as_str()
}

#[test]
fn the_documented_vectors_of_weights_hold() {
    let all = [
        candidate("n1", 100, None),
        candidate("n2", 200, None),
        candidate("n3", 50, None),
    ];
    let documented = include_str!("../placement.rs");
    let rows = ["counter-1", "counter-2", "counter-3", "room/7", "ключ"]
        .map(|key| format!("//! | `{key}` | {} |", placed(&Rendezvous, &all, key)));
    let rows = rows.join("\n");
    assert!(
        documented.contains(&rows),
        "the documentation lacks the rows\n{rows}"
    );
}

#[test]
fn where_all_weights_are_the_same_they_change_nothing() {
    for weight in [1, 100, MAX_WEIGHT] {
        let all = ["n1", "n2", "n3"].map(|name| candidate(name, weight, None));
        for i in 0..1_000 {
            let key = format!("key-{i}");
            let at = place(key_hash(seed(), &key), &hashes(&["n1", "n2", "n3"]));
            assert_eq!(
                placed(&Rendezvous, &all, &key),
                all[at.unwrap()].name.as_str()
            );
        }
    }
}

#[test]
fn keys_spread_by_weight() {
    let weights = [1, 100, 100, 250, MAX_WEIGHT / 20];
    let all: Vec<Candidate> = (0..5)
        .map(|i| candidate(&format!("n{i}"), weights[i], None))
        .collect();
    let placement = Rendezvous.among(&all);
    let mut counts = [0_u32; 5];
    let keys = 95_100;
    for i in 0..keys {
        counts[placement.place("", key_hash(seed(), &format!("key-{i}")))] += 1;
    }
    let total: u32 = weights.iter().sum();
    for (count, weight) in counts.iter().zip(weights) {
        let share = f64::from(weight) / f64::from(total);
        let expected = f64::from(keys) * share;
        let deviation = (expected * (1.0 - share)).sqrt();
        assert!(
            (f64::from(*count) - expected).abs() < 4.0 * deviation,
            "{counts:?}"
        );
    }
}

#[test]
fn zones_are_preferred_as_long_as_they_have_a_node() {
    let in_zones = |zones: &[(&str, &str)]| -> Vec<Candidate> {
        let all = zones
            .iter()
            .map(|(name, zone)| candidate(name, 100, Some(zone)));
        all.collect()
    };
    let all = in_zones(&[("n1", "a"), ("n2", "b"), ("n3", "b"), ("n4", "c")]);
    let zones_of = |policy: &ZoneAware, all: &[Candidate]| -> BTreeSet<String> {
        let zone = |name: &str| {
            let one = all.iter().find(|one| one.name.as_str() == name).unwrap();
            one.labels.zone().unwrap().to_owned()
        };
        (0..200)
            .map(|i| zone(placed(policy, all, &format!("key-{i}"))))
            .collect()
    };
    let set = |zones: &[&str]| zones.iter().map(ToString::to_string).collect();
    assert_eq!(
        zones_of(&ZoneAware::any_of(["a", "b"]), &all),
        set(&["a", "b"])
    );
    assert_eq!(
        zones_of(&ZoneAware::in_order(["b", "a"]), &all),
        set(&["b"])
    );
    assert_eq!(
        zones_of(&ZoneAware::in_order(["x", "c"]), &all),
        set(&["c"])
    );
    assert_eq!(
        zones_of(&ZoneAware::any_of(["x"]), &all),
        set(&["a", "b", "c"])
    );
    let none: [&str; 0] = [];
    assert_eq!(zones_of(&ZoneAware::in_order(none), &all).len(), 3);
    // A node that says no zone is in none.
    let mut odd = all.clone();
    odd[0].labels = Labels::new();
    assert_eq!(
        zones_of(&ZoneAware::any_of(["a", "c"]), &odd[1..]),
        set(&["c"])
    );
}

#[derive(Debug)]
struct Bad(fn(&str, u64) -> usize);

impl PlacementPolicy for Bad {
    fn among(&self, candidates: &[Candidate]) -> Box<dyn Placement> {
        assert!(candidates.len() > 1, "as asked");
        Box::new(self.0)
    }
}

#[test]
fn a_policy_that_fails_is_replaced_by_the_default() {
    let all = ["n1", "n2", "n3"].map(|name| candidate(name, 100, None));
    let panics = Bad(|_, _| panic!("as asked"));
    let out_of_range = Bad(|_, _| 3);
    let other = Bad(|key, _| key.len() % 3);
    for i in 0..20 {
        let key = format!("key-{i}");
        let usual = placed(&Rendezvous, &all, &key);
        assert_eq!(placed(&panics, &all, &key), usual);
        assert_eq!(placed(&out_of_range, &all, &key), usual);
        assert_eq!(placed(&other, &all, &key), all[key.len() % 3].name.as_str());
        assert_eq!(placed(&other, &all[..1], &key), "n1");
    }
    let manager = ManagerName::new("counters").unwrap();
    assert_eq!(Guarded::new(&manager, &panics, &[]).place("a", 7), None);
}

/// What changes about the nodes.
#[derive(Debug, Clone)]
enum Change {
    Joins(Candidate),
    Leaves(usize),
    Weighs(usize, u32),
}

fn changes() -> impl Strategy<Value = Change> {
    let zone = prop::sample::select(vec![None, Some("a"), Some("b"), Some("c")]);
    let weight = prop_oneof![Just(100), 1..=MAX_WEIGHT];
    prop_oneof![
        ("[a-e]{1,3}", weight.clone(), zone)
            .prop_map(|(name, weight, zone)| Change::Joins(candidate(&name, weight, zone))),
        (0..8_usize).prop_map(Change::Leaves),
        (0..8_usize, weight).prop_map(|(at, weight)| Change::Weighs(at, weight)),
    ]
}

proptest! {
    /// Whatever changes, keys move to the node that came or grew, from the one that went or
    /// shrank, and no other does.
    #[test]
    fn only_those_keys_move_that_must(
        steps in prop::collection::vec(changes(), 1..12),
        zones in prop::sample::select(vec![None, Some(true), Some(false)]),
    ) {
        let policy: Box<dyn PlacementPolicy> = match zones {
            None => Box::new(Rendezvous),
            Some(true) => Box::new(ZoneAware::any_of(["a", "b"])),
            Some(false) => Box::new(ZoneAware::in_order(["a", "b"])),
        };
        let tier = |all: &[Candidate]| -> Vec<String> {
            let of = |zones: &[&str]| -> Vec<String> {
                let inside = all.iter().filter(|one| {
                    one.labels.zone().is_some_and(|zone| zones.contains(&zone))
                });
                inside.map(|one| one.name.as_str().to_owned()).collect()
            };
            let tiers: &[&[&str]] = match zones {
                None => &[],
                Some(true) => &[&["a", "b"]],
                Some(false) => &[&["a"], &["b"]],
            };
            let all_of_them = all.iter().map(|one| one.name.as_str().to_owned()).collect();
            let found = tiers.iter().map(|zones| of(zones)).find(|tier| !tier.is_empty());
            found.unwrap_or(all_of_them)
        };
        let mut all = vec![candidate("m", 100, None)];
        for step in steps {
            let before = all.clone();
            let (changed, grows) = match step {
                Change::Joins(one) if all.iter().all(|other| other.name != one.name) => {
                    let name = one.name.clone();
                    all.push(one);
                    all.sort_by(|a, b| a.name.cmp(&b.name));
                    (name, true)
                }
                Change::Leaves(at) if all.len() > 1 => (all.remove(at % all.len()).name, false),
                Change::Weighs(at, weight) => {
                    let at = at % all.len();
                    let one = &mut all[at];
                    let grows = weight > one.labels.weight();
                    one.labels = one.labels.clone().with_weight(weight).unwrap();
                    (one.name.clone(), grows)
                }
                Change::Joins(_) | Change::Leaves(_) => continue,
            };
            let (tier_before, tier_after) = (tier(&before), tier(&all));
            for i in 0..60 {
                let key = format!("key-{i}");
                let (from, to) = (placed(&*policy, &before, &key), placed(&*policy, &all, &key));
                prop_assert!(tier_after.iter().any(|name| name == to));
                // Another tier is another set of nodes altogether.
                let same_tier = tier_before.iter().filter(|n| **n != changed.as_str())
                    .eq(tier_after.iter().filter(|n| **n != changed.as_str()));
                if from != to && same_tier {
                    let moved = if grows { to } else { from };
                    prop_assert_eq!(moved, changed.as_str());
                }
            }
        }
    }
}
