//! Agents that are reminded, running or dormant, and messages that they schedule.

mod faults;
mod kept;
mod many;
mod timers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jido_cluster::storage::{DueQuery, MemoryStorage, Storage};
use jido_cluster::{
    Agent, AgentError, ClusterName, Context, Durability, Handle, InstanceManager, ManagerBuilder,
    ManagerName, Missed, Node, Occurrence, Schedule, Takeover, Timestamp,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::harness::{Cluster, TokioClock, eventually};

/// Keeps what it was reminded of.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sleeper {
    pub(crate) rung: Vec<Occurrence>,
    #[serde(skip)]
    calls: Calls,
}

/// How its reminders are to fail, and how often its handler was called for them.
#[derive(Debug, Default, Clone)]
pub(crate) struct Calls(Arc<Mutex<BTreeMap<Occurrence, Vec<u64>>>>);

impl Calls {
    /// Counts a call of the handler, and answers how many there were.
    fn note(&self, occurrence: &Occurrence, now: Timestamp) -> usize {
        let mut calls = self.0.lock();
        let calls = calls.entry(occurrence.clone()).or_default();
        calls.push(now.0);
        calls.len()
    }

    /// When the handler was called for the occurrences of a reminder.
    fn of(&self, name: &str) -> Vec<u64> {
        let calls = self.0.lock();
        let of_name = calls.iter().filter(|(one, _)| one.name == name);
        of_name.flat_map(|(_, calls)| calls.clone()).collect()
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Remind me at this time.
    At(String, u64),
    /// Remind me every so many seconds.
    Every(String, u64, Missed),
    Cron(String, String),
    Forget(String),
    /// The names of what is set.
    Names,
    /// Set one, then fail.
    SetAndFail(String),
    /// What reminders bring. It fails as long as it was called for less often.
    Ring {
        failures: usize,
    },
    /// Schedule `Tick`s, after so many seconds each.
    Later(Vec<u64>),
    /// Schedule one, then fail.
    LaterAndFail,
    /// What is scheduled.
    Tick,
    /// Schedule the same again after so many seconds.
    Beat(u64),
    Rung,
}

impl Agent for Sleeper {
    const KIND: &'static str = "sleeper";
    type Message = Order;
    type Reply = Vec<(String, u64)>;

    async fn handle(
        &mut self,
        order: Order,
        ctx: &mut Context<'_>,
    ) -> Result<Self::Reply, AgentError> {
        let now = ctx.now();
        let ring = Order::Ring { failures: 0 };
        match order {
            Order::At(name, at) => {
                let failures = name
                    .strip_prefix("fails-")
                    .map_or(0, |n| n.parse().unwrap());
                let ring = Order::Ring { failures };
                ctx.remind::<Self>(&name, Schedule::at(Timestamp(at)), &ring)?;
            }
            Order::Every(name, seconds, missed) => {
                let every = Schedule::every(Duration::from_secs(seconds)).missed(missed);
                ctx.remind::<Self>(&name, every, &ring)?;
            }
            Order::Cron(name, pattern) => {
                ctx.remind::<Self>(&name, Schedule::cron(pattern), &ring)?;
            }
            Order::Forget(name) => assert!(ctx.forget_reminder(&name)),
            Order::Names => {
                return Ok(ctx
                    .reminders()
                    .map(|one| (one.name.into(), one.due.0))
                    .collect());
            }
            Order::SetAndFail(name) => {
                ctx.remind::<Self>(&name, Schedule::at(now), &ring)?;
                return Err(AgentError::new("failed as asked"));
            }
            Order::Ring { failures } => {
                let occurrence = ctx.reminder().expect("a reminder brought it").clone();
                let calls = self.calls.note(&occurrence, now);
                self.rung.push(occurrence);
                ctx.append("rung", &now)?;
                match calls {
                    _ if calls > failures => {}
                    1 => panic!("panicked as asked"),
                    _ => return Err(AgentError::new("failed as asked")),
                }
            }
            Order::Later(times) => {
                for seconds in times {
                    ctx.schedule::<Self>(Duration::from_secs(seconds), &Order::Tick)?;
                }
            }
            Order::LaterAndFail => {
                ctx.schedule::<Self>(Duration::from_secs(1), &Order::Tick)?;
                return Err(AgentError::new("failed as asked"));
            }
            Order::Tick => {
                assert_eq!(ctx.reminder(), None);
                let name = "tick".to_owned();
                self.rung.push(Occurrence { name, due: now });
            }
            Order::Beat(seconds) => {
                let name = "beat".to_owned();
                let beat = Occurrence { name, due: now };
                self.calls.note(&beat, now);
                self.rung.push(beat);
                ctx.schedule::<Self>(Duration::from_secs(seconds), &order)?;
            }
            Order::Rung => {}
        }
        Ok(self
            .rung
            .iter()
            .map(|one| (one.name.clone(), one.due.0))
            .collect())
    }
}

/// Nodes whose clocks go as tokio's.
struct World {
    cluster: Cluster,
    clock: Arc<TokioClock>,
    calls: Calls,
}

impl World {
    fn new() -> Self {
        Self::on(Arc::new(MemoryStorage::shared()))
    }

    fn on(storage: Arc<dyn Storage>) -> Self {
        Self {
            cluster: Cluster::on(storage),
            clock: TokioClock::new(),
            calls: Calls::default(),
        }
    }

    fn manager(&self) -> ManagerBuilder<Sleeper> {
        let calls = self.calls.clone();
        InstanceManager::<Sleeper>::builder("sleepers")
            .shared_storage(self.cluster.storage.clone())
            .durability(Durability::Command)
            .takeover(Takeover::OnDisconnect)
            .prepare(move |sleeper, _| sleeper.calls = calls.clone())
    }

    async fn start_with(
        &self,
        name: &str,
        manager: ManagerBuilder<Sleeper>,
    ) -> (Node, Handle<Sleeper>) {
        let node = self.cluster.node(name).environment(self.clock.clone());
        let node = node.start().await.unwrap();
        let handle = manager.start(&node).await.unwrap();
        (node, handle)
    }

    async fn start(&self, name: &str) -> (Node, Handle<Sleeper>) {
        self.start_with(name, self.manager()).await
    }

    /// Now, in milliseconds.
    fn now(&self) -> u64 {
        use jido_cluster::environment::Environment;
        self.clock.wall().0
    }

    /// Whether something is due by a time, or is said to be.
    async fn is_due(&self, until: u64) -> bool {
        let query = DueQuery {
            cluster: ClusterName::new("test").unwrap(),
            manager: ManagerName::new("sleepers").unwrap(),
            until: Timestamp(until),
            after: None,
            limit: 1,
        };
        !self.cluster.storage.due(query).await.unwrap().is_empty()
    }

    /// Waits until so many calls were made for a reminder.
    async fn called(&self, name: &str, count: usize) {
        eventually(|| self.calls.of(name).len() >= count).await;
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

async fn runs(handle: &Handle<Sleeper>, key: &str) -> bool {
    handle.lookup(key).await.unwrap().is_some()
}

#[tokio::test(start_paused = true)]
async fn a_running_agent_is_reminded_in_time_without_a_scan() {
    let world = World::new();
    let (_node, handle) = world
        .start_with("n1", world.manager().wake_every(None))
        .await;
    let due = world.now() + 90_000;
    handle
        .call("a", Order::At("one".into(), due))
        .await
        .unwrap();
    tokio::time::sleep(seconds(89)).await;
    assert!(world.calls.of("one").is_empty());
    world.called("one", 1).await;
    let called = world.calls.of("one")[0];
    assert!(
        (due..due + 20).contains(&called),
        "{due}, called at {called}"
    );
    assert_eq!(
        handle.call("a", Order::Rung).await.unwrap(),
        [("one".into(), due)]
    );
    assert_eq!(handle.call("a", Order::Names).await.unwrap(), []);
    assert!(!world.is_due(u64::MAX >> 1).await);
}

#[tokio::test(start_paused = true)]
async fn a_dormant_agent_is_woken_on_whatever_node_it_is_placed() {
    let world = World::new();
    let (_one, handle) = world.start("n1").await;
    let (_two, _) = world.start("n2").await;
    crate::harness::met(&_one, 2).await;
    let due = world.now() + 60_000;
    for n in 0..20 {
        let key = format!("a{n}");
        handle
            .call(&key, Order::At("one".into(), due))
            .await
            .unwrap();
        assert!(handle.stop(&key).await.unwrap());
        assert!(!runs(&handle, &key).await);
    }
    world.called("one", 20).await;
    for n in 0..20 {
        let rung = handle.call(format!("a{n}"), Order::Rung).await.unwrap();
        assert_eq!(rung, [("one".into(), due)]);
    }
    let calls = world.calls.of("one");
    assert!(
        calls.iter().all(|call| (due..due + 3_000).contains(call)),
        "{calls:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_parked_agent_keeps_its_reminders_and_is_woken() {
    let world = World::new();
    let manager = world.manager().park_after(seconds(1)).idle_timeout(None);
    let (_node, handle) = world.start_with("n1", manager).await;
    let due = world.now() + 60_000;
    handle
        .call("a", Order::At("one".into(), due))
        .await
        .unwrap();
    handle
        .call("a", Order::At("two".into(), due + 60_000))
        .await
        .unwrap();
    tokio::time::sleep(seconds(30)).await;
    assert_eq!(handle.stats().await.unwrap().parked, 1);
    world.called("one", 1).await;
    // Parked again in between, with the one that is left.
    world.called("two", 1).await;
    let rung = handle.call("a", Order::Rung).await.unwrap();
    assert_eq!(rung, [("one".into(), due), ("two".into(), due + 60_000)]);
}

#[tokio::test(start_paused = true)]
async fn what_repeats_does_not_drift_and_follows_its_policy_after_an_outage() {
    let world = World::new();
    let (node, handle) = world.start("n1").await;
    let set = world.now();
    for (name, missed) in [("all", Missed::All), ("latest", Missed::Latest)] {
        handle
            .call(name, Order::Every(name.into(), 10, missed))
            .await
            .unwrap();
    }
    world.called("all", 2).await;
    world.called("latest", 2).await;
    node.drain().await;
    tokio::time::sleep(seconds(70)).await;
    let (_node, handle) = world.start("n2").await;
    let expected = |name: &str, steps: &[u64]| {
        let due = |step: &u64| (name.to_owned(), set + step * 10_000);
        steps.iter().map(due).collect::<Vec<_>>()
    };
    world.called("all", 10).await;
    let rung = handle.call("all", Order::Rung).await.unwrap();
    let all: Vec<u64> = (1..=rung.len() as u64).collect();
    assert_eq!(rung, expected("all", &all));
    world.called("latest", 4).await;
    let rung = handle.call("latest", Order::Rung).await.unwrap();
    let first = rung[2].1;
    assert!(first > set + 60_000, "the latest of those missed: {rung:?}");
    assert_eq!(rung[3].1, first + 10_000);
    assert_eq!((first - set) % 10_000, 0);
}
