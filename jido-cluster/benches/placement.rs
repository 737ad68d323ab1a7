//! Placement of one key among 100 members, and the plan of a rebalance.
//!
//! Not measured against a floor: what is promised is a time, 500 ns for a key and
//! 1 s for a plan over 1,000,000 keys, and there is room for a slow machine in both.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use jido_cluster::placement::{
    Candidate, Placement, PlacementPolicy, Rendezvous, ZoneAware, key_hash,
};
use jido_cluster::rebalance::plan;
use jido_cluster::{AgentKey, Labels, NodeName};

const MEMBERS: u32 = 100;

fn candidates(weight: impl Fn(u32) -> u32) -> Vec<Candidate> {
    let mut all: Vec<Candidate> = (0..MEMBERS)
        .map(|i| {
            let labels = Labels::new().with_weight(weight(i)).unwrap();
            Candidate {
                name: NodeName::new(format!("node-{i}")).unwrap(),
                labels: labels.with_zone(format!("zone-{}", i % 3)).unwrap(),
            }
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn a_key(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a key among 100 members");
    let even = candidates(|_| 100);
    let weighted = candidates(|i| 50 + 10 * (i % 20));
    let zones = ZoneAware::any_of(["zone-0", "zone-1"]);
    let cases: [(&str, Box<dyn Placement>); 3] = [
        ("even", Rendezvous.among(&even)),
        ("weighted", Rendezvous.among(&weighted)),
        ("weighted, two zones of three", zones.among(&weighted)),
    ];
    for (name, placement) in cases {
        let mut number = 0_u64;
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || {
                    number += 1;
                    format!("room/{number}")
                },
                |key| {
                    let hash = key_hash(7, &key);
                    black_box(placement.place(&key, hash));
                    key
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// A million agents that run where 99 members place them, once there are 100.
fn a_plan(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a plan over 1,000,000 keys among 100 members");
    group.sample_size(10);
    for (name, all) in [
        ("even", candidates(|_| 100)),
        ("weighted", candidates(|i| 50 + 10 * (i % 20))),
    ] {
        let before = Rendezvous.among(&all[1..]);
        let after = Rendezvous.among(&all);
        let mut running: BTreeMap<NodeName, Vec<AgentKey>> = BTreeMap::new();
        for number in 0..1_000_000 {
            let key = AgentKey::new(format!("room/{number}")).unwrap();
            let at = before.place(key.as_str(), key_hash(7, key.as_str()));
            let node = all[1 + at].name.clone();
            running.entry(node).or_default().push(key);
        }
        for keys in running.values_mut() {
            keys.sort();
        }
        let place = |key: &AgentKey| {
            let at = after.place(key.as_str(), key_hash(7, key.as_str()));
            all.get(at).map(|one| one.name.clone())
        };
        let moves = plan(&running, place, |_| true, usize::MAX).moves.len();
        group.bench_function(format!("{name}, {moves} moves"), |bencher| {
            bencher.iter(|| plan(black_box(&running), place, |_| true, usize::MAX));
        });
    }
    group.finish();
}

criterion_group!(benches, a_key, a_plan);
criterion_main!(benches);
