//! Lets what is planned go wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::ledger::Worked;
use super::plan::{Fault, FaultKind, Plan, node};
use crate::sim::{SimCluster, StorageFaults};

/// How long a node that drains is given.
const DRAIN: Duration = Duration::from_secs(8);

/// What is wrong now, and must end.
pub(super) struct Injector<A: Worked> {
    cluster: SimCluster<A>,
    nodes: usize,
    /// Until when a node stays down, by name.
    down: Arc<Mutex<BTreeMap<String, Duration>>>,
    healed: Arc<Mutex<bool>>,
}

impl<A: Worked> Clone for Injector<A> {
    fn clone(&self) -> Self {
        Self {
            cluster: self.cluster.clone(),
            down: self.down.clone(),
            healed: self.healed.clone(),
            ..*self
        }
    }
}

impl<A: Worked> Injector<A> {
    pub(super) fn new(cluster: &SimCluster<A>, plan: &Plan) -> Self {
        Self {
            cluster: cluster.clone(),
            nodes: plan.options.nodes,
            down: Arc::default(),
            healed: Arc::default(),
        }
    }

    /// Keeps a node running: starts it again whenever it is down and may run.
    pub(super) async fn keep(self, place: usize) {
        let name = node(place);
        let world = self.cluster.world().clone();
        let mut chance = world.chance(&format!("keeper {name}"));
        loop {
            let until = self.down.lock().get(&name).copied().unwrap_or_default();
            if until > world.now() && !*self.healed.lock() {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
            if self.cluster.start(&name).await.is_ok() {
                self.cluster.down(&name).await;
            }
            tokio::time::sleep(Duration::from_millis(chance.u64(50..500))).await;
        }
    }

    /// Lets one fault happen when its time has come, and end when it is over.
    pub(super) async fn inject(self, fault: Fault) {
        let world = self.cluster.world().clone();
        tokio::time::sleep(Duration::from_millis(fault.at).saturating_sub(world.now())).await;
        world.note(format_args!("fault {} {:?}", fault.number, fault.kind));
        let cluster = &self.cluster;
        let lasts = Duration::from_millis(fault.lasts);
        match fault.kind {
            FaultKind::Crash { node: place, power } => {
                world.count(if power {
                    "fault: crash for want of power"
                } else {
                    "fault: crash"
                });
                self.stays_down(place, lasts);
                cluster.crash(&node(place), power);
            }
            FaultKind::Drain { node: place } => {
                world.count("fault: drain");
                self.stays_down(place, lasts);
                cluster.drain(&node(place), DRAIN).await;
            }
            FaultKind::Pause { node: place } => {
                world.count("fault: pause");
                if cluster.pause(&node(place)) {
                    tokio::time::sleep(lasts).await;
                    cluster.resume(&node(place));
                }
            }
            FaultKind::Partition { side } => {
                world.count("fault: partition");
                let others = (0..self.nodes).filter(|other| !side.contains(other));
                let ways: Vec<(usize, usize)> = others
                    .flat_map(|other| side.iter().flat_map(move |s| [(*s, other), (other, *s)]))
                    .collect();
                self.cut_for(&ways, lasts).await;
            }
            FaultKind::Deaf { node: place } => {
                world.count("fault: deaf");
                let others = (0..self.nodes).filter(|other| *other != place);
                let others: Vec<String> = others.map(node).collect();
                cluster.deafen(&node(place), &others);
                tokio::time::sleep(lasts).await;
                cluster.hear(&node(place), &others);
            }
            FaultKind::OneWay { from, to } => {
                world.count("fault: one-way cut");
                self.cut_for(&[(from, to)], lasts).await;
            }
            FaultKind::Reset { one, other } => {
                world.count("fault: reset");
                cluster.reset(&node(one), &node(other));
            }
            FaultKind::Slow { one, other, most } => {
                world.count("fault: slow link");
                let most = Some(Duration::from_millis(most));
                cluster.slow(&node(one), &node(other), most);
                tokio::time::sleep(lasts).await;
                cluster.slow(&node(one), &node(other), None);
            }
            FaultKind::Storage(faults) => {
                world.count(if faults.before == StorageFaults::away().before {
                    "fault: storage away"
                } else {
                    "fault: storage fails"
                });
                let number = cluster.fail_storage(faults);
                tokio::time::sleep(lasts).await;
                cluster.mend_storage(number);
            }
            FaultKind::Jump {
                node: place,
                ahead,
                wall,
            } => {
                world.count("fault: wall clock jumps");
                if ahead > 0 {
                    world.count("fault: clock of elapsed time jumps");
                    cluster.jump(&node(place), Duration::from_millis(ahead));
                }
                cluster.set_wall(&node(place), wall);
            }
            FaultKind::Double { node: place } => {
                world.count("fault: double name");
                let up = cluster.handle(&node(place)).is_some();
                match cluster.start_double(&node(place)).await {
                    Ok(()) => world.note(format_args!("fault {} came up", fault.number)),
                    Err(error) => {
                        world.note(format_args!("fault {} refused: {error}", fault.number));
                        if up {
                            world.count("double name refused");
                        }
                    }
                }
            }
        }
        world.note(format_args!("fault {} is over", fault.number));
    }

    fn stays_down(&self, place: usize, lasts: Duration) {
        let until = self.cluster.world().now() + lasts;
        self.down.lock().insert(node(place), until);
    }

    async fn cut_for(&self, ways: &[(usize, usize)], lasts: Duration) {
        for (from, to) in ways {
            self.cluster.cut(&node(*from), &node(*to));
        }
        tokio::time::sleep(lasts).await;
        for (from, to) in ways {
            self.cluster.heal(&node(*from), &node(*to));
        }
    }

    /// Ends the time in which nodes stay down, and sets wall clocks right.
    pub(super) fn heal(&self) {
        *self.healed.lock() = true;
        for place in 0..self.nodes {
            self.cluster.correct_wall(&node(place));
        }
    }
}
