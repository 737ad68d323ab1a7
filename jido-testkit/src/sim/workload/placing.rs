//! Where agents are placed, and when they get there.

use std::time::Duration;

use jido_cluster::placement::ZoneAware;
use jido_cluster::{DEFAULT_WEIGHT, Reads, Takeover};

use super::ledger::Worked;
use super::plan::{self, Plan, ReadMode, Zones};
use crate::check::places::Settled;
use crate::sim::{SimCluster, World};

/// How long agents are waited for that have not come to their nodes.
const WAITED: Duration = Duration::from_secs(60);

/// The cluster of a plan.
pub(super) fn cluster<A: Worked>(world: &World, plan: &Plan) -> SimCluster<A> {
    let Plan {
        on_disconnect,
        reads,
        remembered,
        remembered_for,
        hooks,
        idle_timeout,
        park_after,
        capacity,
        capacity_bytes,
        mailbox_limit,
        activations,
        rebalance,
        max_migrations,
        zones,
        ..
    } = *plan;
    let weights = plan.weights.clone();
    if weights.windows(2).any(|pair| pair[0] != pair[1]) {
        world.count("placement: by weights");
    }
    if zones != Zones::All {
        world.count("placement: by zones");
    }
    let cluster = SimCluster::new(world, plan.lease_ttl, move |manager| {
        let takeover = match on_disconnect {
            true => Takeover::OnDisconnect,
            false => Takeover::AfterLease,
        };
        let reads = match reads {
            ReadMode::Leased => Reads::Leased,
            ReadMode::Strict => Reads::Strict,
            ReadMode::Local => Reads::Local,
        };
        let manager = match zones {
            Zones::All => manager,
            Zones::First => manager.placement(ZoneAware::any_of(["a"])),
            Zones::SecondThenFirst => manager.placement(ZoneAware::in_order(["b", "a"])),
        };
        manager
            .rebalance_interval(rebalance)
            .max_migrations(max_migrations)
            .takeover(takeover)
            .reads(reads)
            .request_window(remembered, remembered_for)
            .idle_timeout(idle_timeout)
            .park_after(park_after)
            .capacity(capacity)
            .capacity_bytes(capacity_bytes)
            .mailbox_limit(mailbox_limit)
            .concurrent_activations(activations)
            .prepare(move |agent: &mut A, _| agent.note_hooks(hooks))
    });
    cluster.nodes(move |name, node| {
        let place: usize = name.trim_start_matches('n').parse().unwrap_or_default();
        let weight = weights.get(place.saturating_sub(1) % weights.len().max(1));
        let zone = ["a", "b"][place.saturating_sub(1) % 2];
        node.zone(zone)
            .weight(weight.copied().unwrap_or(DEFAULT_WEIGHT))
    })
}

/// Waits until every agent that runs does so where it is placed, as the first node tells,
/// and tells when each did; nothing where agents are moved only if somebody asks for it.
pub(super) async fn settle_places<A: Worked>(cluster: &SimCluster<A>, plan: &Plan) -> Vec<Settled> {
    let world = cluster.world();
    let start = world.now();
    let mut settled = Vec::new();
    let mut left: Vec<String> = match plan.rebalance {
        Some(_) => plan.places().map(plan::key).collect(),
        None => Vec::new(),
    };
    loop {
        let passed = world.now() - start;
        let mut still = Vec::new();
        for key in left {
            let Some(handle) = cluster.handle(&plan::node(0)) else {
                still.push(key);
                continue;
            };
            let owner = handle.owner(&key).await;
            let last = format!("{owner:?}");
            let is_placed = match &owner {
                Ok(owner) if owner.owner.is_none() || owner.owner == owner.placed => true,
                // A claim that took effect after it was given up has no activation.
                Ok(_) => matches!(handle.lookup(&key).await, Ok(None)),
                Err(_) => false,
            };
            match is_placed {
                true => {
                    let took = Some(passed);
                    settled.push(Settled { key, took, last });
                }
                false if passed > WAITED => {
                    let took = None;
                    settled.push(Settled { key, took, last });
                }
                false => still.push(key),
            }
        }
        left = still;
        if left.is_empty() {
            return settled;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
