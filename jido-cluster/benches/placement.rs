//! Placement of one key among 100 members.
//!
//! Not measured against a floor: what is promised is a time, 500 ns for a key,
//! and there is room for a slow machine in that.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use jido_cluster::placement::{
    Candidate, Placement, PlacementPolicy, Rendezvous, ZoneAware, key_hash,
};
use jido_cluster::{Labels, NodeName};

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

criterion_group!(benches, a_key);
criterion_main!(benches);
