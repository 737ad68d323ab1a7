//! Carries a plan out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jido_cluster::{AgentId, AgentKey, ClusterName, ManagerName};
use parking_lot::Mutex;

use super::client::{Inquiries, Worker};
use super::faults::Injector;
use super::ledger::Worked;
use super::placing::{cluster, settle_places};
use super::plan::{self, Ask, Plan, Task};
use super::reminders::{self, Reminders};
use crate::check::deletions::{self, Deletion};
use crate::check::hops::Sent;
use crate::check::places::Settled;
use crate::check::reads::Promise;
use crate::check::recovery::Probe;
use crate::check::{self, Violation};
use crate::history::{Action, History, Kept, Mark, Noted, Operation, Record};
use crate::sim::{Applied, CLUSTER, Change, Journal, MANAGER, SimCluster, World};
use crate::wiring;

/// How long a key is tried.
const PROBED: Duration = Duration::from_secs(60);

/// How long a node may take to drain in the end.
const DRAIN: Duration = Duration::from_secs(20);

/// From which number on clients stay with a node: those who try every key in the end ..
const PROBERS: u64 = 1_000;

/// .. those who read it ..
const READERS: u64 = 1_000_000;

/// .. and the one who cancels reminders.
const CANCELLER: u64 = 2_000_000;

/// From which number on operations have theirs that are no task's: those of the same.
const PROBES: u64 = 4 << 24;
const FINAL_READS: u64 = 5 << 24;
const CANCELS: u64 = 6 << 24;

/// What happened when a plan was carried out.
pub(super) struct Ran {
    pub(super) history: History,
    pub(super) records: BTreeMap<String, Record>,
    pub(super) journal: Journal,
    pub(super) probes: Vec<Probe>,
    /// When agents came to their nodes, where they are moved by themselves.
    pub(super) settled: Vec<Settled>,
    pub(super) sent: Vec<Sent>,
    /// What is wrong with deletions.
    pub(super) deletions: Vec<Violation>,
    pub(super) reminders: Reminders,
}

/// Lets the clients of a plan work while things go wrong, heals all, and takes stock.
pub(super) async fn carry_out<A: Worked>(world: World, plan: Plan) -> Ran {
    let cluster = cluster::<A>(&world, &plan);
    let injector = Injector::new(&cluster, &plan);
    let keepers: Vec<_> = (0..plan.options.nodes)
        .map(|place| wiring::spawn(injector.clone().keep(place)))
        .collect();
    let history = Arc::new(Mutex::new(Vec::new()));
    let inquiries = Inquiries::default();
    let told: Arc<Mutex<Vec<Deletion>>> = Arc::default();
    let worker = |number: u64, home: usize| Worker {
        number,
        cluster: cluster.clone(),
        nodes: plan.options.nodes,
        home: home % plan.options.nodes.max(1),
        stays: number >= PROBERS,
        history: history.clone(),
        inquiries: inquiries.clone(),
        deletions: told.clone(),
        held: Arc::default(),
    };
    let mut work = Vec::new();
    for client in 0..plan.options.clients {
        let mine = plan.tasks.iter().filter(|task| task.client == client);
        let mine: Vec<Task> = mine.cloned().collect();
        let mut worker = worker(client as u64, client);
        work.push(wiring::spawn(async move {
            for task in &mine {
                Box::pin(worker.work(task)).await;
            }
        }));
    }
    for fault in plan.faults.iter().cloned() {
        work.push(wiring::spawn(injector.clone().inject(fault)));
    }
    for done in work {
        // A task that panicked has left its operations out of the history; that is a violation.
        if let Err(error) = done.await {
            world.note(format_args!("a task of the workload ended: {error}"));
        }
    }
    count_stats(&cluster).await;
    injector.heal();
    let healed = world.now();
    world.note(format_args!("all is healed"));
    let probes = probe(&worker, &plan).await;
    let agents: Vec<AgentId> = plan.places().filter_map(agent).collect();
    reminders::settle(&cluster, &agents, healed).await;
    cancel_some(&worker).await;
    read_all(&worker, &plan).await;
    let settled = settle_places(&cluster, &plan).await;
    inquiries.end().await;
    for keeper in keepers {
        keeper.abort();
    }
    let mut reminders = Reminders::new(&plan, healed, world.now());
    count_stats(&cluster).await;
    let journal = cluster.journal();
    for id in agents.iter().chain(&agent(plan::SCRATCH)) {
        let stored = cluster.reminders(id).await;
        reminders.add(id, journal.of(id), stored);
    }
    if plan.drains {
        for place in 0..plan.options.nodes {
            cluster.drain(&plan::node(place), DRAIN).await;
        }
    }
    world.end_trace();
    let journal = cluster.journal();
    let sent = cluster.sent();
    let mut records = BTreeMap::new();
    for place in plan.places() {
        let Some(id) = agent(place) else { continue };
        if let Some(record) = record(&cluster, &id, journal.of(&id), A::kept(place)).await {
            records.insert(plan::key(place), record);
        }
    }
    let mut operations: Vec<Operation> = std::mem::take(&mut *history.lock());
    operations.sort_by_key(|op| (op.invoked, op.id));
    let scratch = plan::key(plan::SCRATCH);
    let (scratch, operations) = operations.into_iter().partition(|op| op.key == scratch);
    let mut deletions = Vec::new();
    if let Some(id) = agent(plan::SCRATCH) {
        let thread = cluster.thread(&id).await;
        let thread: Vec<_> = thread.iter().map(|entry| entry.revision).collect();
        let (key, changes) = (id.key.as_str(), journal.of(&id));
        deletions = deletions::check(key, &told.lock(), changes, &thread);
        let (deleted, since) = deletions::since_the_last(changes);
        let record = record(&cluster, &id, since, A::kept(plan::SCRATCH)).await;
        let history = deletions::history_since(deleted, scratch);
        deletions.extend(check::of_one(
            key,
            &history,
            record.as_ref(),
            Promise::Committed,
        ));
    }
    for place in 0..plan.options.nodes {
        cluster.crash(&plan::node(place), false);
    }
    // What is taken down lets go of what it holds.
    tokio::time::sleep(Duration::from_secs(5)).await;
    Ran {
        history: History { operations },
        records,
        journal,
        probes,
        settled,
        sent,
        deletions,
        reminders,
    }
}

/// Every key with every node.
fn pairs(plan: &Plan) -> impl Iterator<Item = (u64, usize, usize)> + use<> {
    let (keys, nodes) = (plan.options.keys, plan.options.nodes);
    let pairs = (0..keys).flat_map(move |place| (0..nodes).map(move |home| (place, home)));
    (0..)
        .zip(pairs)
        .map(|(number, (place, home))| (number, place, home))
}

/// Tries every key at every node until it serves again.
async fn probe<A: Worked>(worker: &impl Fn(u64, usize) -> Worker<A>, plan: &Plan) -> Vec<Probe> {
    let mut tries = Vec::new();
    for (number, place, home) in pairs(plan) {
        let mut worker = worker(PROBERS + number, home);
        let from = PROBES + 1_000 * number;
        let tried = wiring::spawn(async move { Box::pin(worker.probe(place, from, PROBED)).await });
        tries.push((place, home, tried));
    }
    let mut probes = Vec::new();
    for (place, home, tried) in tries {
        // One that panicked is one that was never answered.
        probes.push(tried.await.unwrap_or_else(|error| Probe {
            key: plan::key(place),
            node: plan::node(home),
            took: None,
            last: error.to_string(),
        }));
    }
    probes
}

/// Reads every key at every node.
async fn read_all<A: Worked>(worker: &impl Fn(u64, usize) -> Worker<A>, plan: &Plan) {
    for (number, place, home) in pairs(plan) {
        let task = Task::plain(Ask::One(place, Action::Read), 5_000);
        let id = FINAL_READS + number;
        let mut worker = worker(READERS + number, home);
        Box::pin(worker.operate(id, place, Action::Read, &task)).await;
    }
}

/// Counts the agents that are parked, and those that were moved, as the first node tells, if it
/// runs.
async fn count_stats<A: Worked>(cluster: &SimCluster<A>) {
    let Some(handle) = cluster.handle(&plan::node(0)) else {
        return;
    };
    if let Ok(stats) = handle.stats().await {
        let moved = stats.migrations;
        for (kind, count) in [
            ("agent parked", stats.parked),
            ("migration: succeeded", moved.succeeded),
            ("migration: failed", moved.failed),
            ("migration: skipped", moved.skipped),
        ] {
            for _ in 0..count {
                cluster.world().count(kind);
            }
        }
    }
}

/// Cancels reminders of those who wait for them, all but one of each.
async fn cancel_some<A: Worked>(worker: &impl Fn(u64, usize) -> Worker<A>) {
    let mut worker = worker(CANCELLER, 0);
    let names = plan::REMINDED.flat_map(|place| (1..plan::NAMES).map(move |name| (place, name)));
    for (id, (place, name)) in (CANCELS..).zip(names) {
        let action = Action::Forget(name);
        let task = Task::plain(Ask::One(place, action), 5_000);
        Box::pin(worker.operate(id, place, action, &task)).await;
    }
}

/// The agent of a place; its names are none that would be refused.
fn agent(place: usize) -> Option<AgentId> {
    Some(AgentId::new(
        ClusterName::new(CLUSTER).ok()?,
        ManagerName::new(MANAGER).ok()?,
        AgentKey::new(plan::key(place)).ok()?,
    ))
}

/// What is stored of an agent, and how it came about by these changes; none if it was not
/// committed by them.
async fn record<A: Worked>(
    cluster: &SimCluster<A>,
    id: &AgentId,
    changes: &[Applied],
    kept: Kept,
) -> Option<Record> {
    let (mut marks, mut noted) = (Vec::new(), 0);
    for applied in changes {
        let Change::Committed {
            revision,
            counts: true,
            state,
            entries,
            ..
        } = &applied.change
        else {
            continue;
        };
        noted += *entries as usize;
        let count = match (kept, state) {
            (Kept::InThread, _) => noted,
            (_, Some(state)) => A::read(Some(state), &[]).map_or(0, |l| l.applied.len()),
            // What keeps it in its state writes that each time.
            (_, None) => continue,
        };
        marks.push(Mark {
            revision: revision.0,
            count,
        });
    }
    if marks.is_empty() {
        return None;
    }
    let thread = cluster.thread(id).await;
    let ledger = A::read(cluster.stored(id).await.as_deref(), &thread)?;
    let thread = thread.iter().map(|entry| Noted {
        // An entry that can't be read shows as an operation that nobody asked for.
        id: A::operation(entry).unwrap_or(u64::MAX),
        seq: entry.seq.0,
        revision: entry.revision.0,
        epoch: entry.epoch.0,
    });
    Some(Record {
        kept,
        value: ledger.value,
        applied: ledger.applied,
        thread: thread.collect(),
        marks,
        hooks: ledger.hooks,
    })
}
