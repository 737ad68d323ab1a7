//! Runs a plan, and judges what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jido_cluster::{AgentId, AgentKey, ClusterName, ManagerName, Takeover, decode_payload};
use jido_core::decode_state;
use parking_lot::Mutex;

use super::client::Worker;
use super::faults::Injector;
use super::ledger::Ledger;
use super::plan::{self, Ask, Plan, Task};
use crate::check::reads::Promise;
use crate::check::recovery::Probe;
use crate::check::search::{Verdict, search};
use crate::check::{self, Violation};
use crate::history::{Action, History, Kept, Mark, Noted, Operation, Outcome, Record};
use crate::sim::{CLUSTER, Change, Journal, MANAGER, SimCluster, Traced, World, simulate};
use crate::wiring;

/// Within how long every key serves again once all is healed: a lease of 3 s that runs
/// out, silence of 2.5 s, and the pauses in between.
const BOUND: Duration = Duration::from_secs(20);

/// How long a key is tried.
const PROBED: Duration = Duration::from_secs(60);

/// How long a node may take to drain in the end.
const DRAIN: Duration = Duration::from_secs(20);

/// How many steps the search for an order may take.
const STEPS: usize = 20_000;

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was to be done.
    pub plan: Plan,
    /// What happened, with the counts of its kinds.
    pub traced: Traced,
    /// What the clients saw.
    pub history: History,
    /// What is stored in the end, by key.
    pub records: BTreeMap<String, Record>,
    /// What is wrong with it.
    pub violations: Vec<Violation>,
}

/// Runs a plan and judges it.
///
/// # Errors
///
/// As [`simulate`].
pub fn run(plan: &Plan) -> Result<Report, crate::Error> {
    run_traced(plan, false)
}

/// As [`run`], with the trace's lines if they are to be kept.
///
/// # Errors
///
/// As [`simulate`].
pub fn run_traced(plan: &Plan, keep: bool) -> Result<Report, crate::Error> {
    let (ran, mut traced) = simulate(plan.seed, keep, |world| carry_out(world, plan.clone()))?;
    let Ran {
        history,
        records,
        journal,
        probes,
    } = ran;
    let mut violations = check::history(&history, &records, Promise::Committed);
    for (id, changes) in journal.agents() {
        violations.extend(check::revisions::check(id.key.as_str(), changes));
        violations.extend(check::epochs::check(id.key.as_str(), changes));
    }
    violations.extend(check::recovery::check(&probes, BOUND));
    violations.extend(searched(plan, &history));
    count(&mut traced.counts, &history, &records);
    Ok(Report {
        plan: plan.clone(),
        traced,
        history,
        records,
        violations,
    })
}

/// Searches for an order of what had an effect on one key.
fn searched(plan: &Plan, history: &History) -> Option<Violation> {
    let key = plan::key(plan.seed as usize % plan.options.keys.max(1));
    let effects = history
        .of(&key)
        .filter(|op| op.outcome == Outcome::Unknown || op.had_effect());
    match search(effects, STEPS) {
        Verdict::NotLinearizable { left, .. } => {
            let what = "no order of the operations explains their answers";
            Some(Violation::new("linearizability", &key, what).by(left))
        }
        Verdict::Linearizable | Verdict::Undecided => None,
    }
}

fn count(
    counts: &mut BTreeMap<&'static str, u64>,
    history: &History,
    records: &BTreeMap<String, Record>,
) {
    let orders: BTreeMap<&str, Vec<u64>> = records
        .iter()
        .map(|(key, record)| (key.as_str(), record.order()))
        .collect();
    for op in &history.operations {
        let is_there = orders
            .get(op.key.as_str())
            .is_some_and(|order| order.contains(&op.id));
        let kind = match op.outcome {
            Outcome::Answered(answer) if answer.done => "operation: answered",
            Outcome::Answered(_) if op.action == Action::Read => "operation: read",
            Outcome::Answered(_) => "operation: refused by the number",
            Outcome::NotExecuted => "operation: not executed",
            Outcome::Unknown if is_there => "operation: unknown, took effect",
            Outcome::Unknown => "operation: unknown, no effect",
        };
        *counts.entry(kind).or_default() += 1;
    }
    for (key, record) in records {
        let found = check::reads::check(key, history, record, Promise::Committed);
        if found.stale > 0 {
            *counts.entry("read of an older state").or_default() += found.stale;
        }
    }
}

struct Ran {
    history: History,
    records: BTreeMap<String, Record>,
    journal: Journal,
    probes: Vec<Probe>,
}

async fn carry_out(world: World, plan: Plan) -> Ran {
    let cluster = cluster(&world, &plan);
    let injector = Injector::new(&cluster, &plan);
    let keepers: Vec<_> = (0..plan.options.nodes)
        .map(|place| wiring::spawn(injector.clone().keep(place)))
        .collect();
    let history = Arc::new(Mutex::new(Vec::new()));
    let worker = |number: u64, home: usize| Worker {
        number,
        cluster: cluster.clone(),
        nodes: plan.options.nodes,
        home: home % plan.options.nodes.max(1),
        history: history.clone(),
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
        // A task that panicked has left its operations out of the history.
        if let Err(error) = done.await {
            world.note(format_args!("a task of the workload ended: {error}"));
        }
    }
    injector.heal();
    world.note(format_args!("all is healed"));
    let probes = probe(&worker, &plan).await;
    read_all(&worker, &plan).await;
    for keeper in keepers {
        keeper.abort();
    }
    if plan.drains {
        for place in 0..plan.options.nodes {
            cluster.drain(&plan::node(place), DRAIN).await;
        }
    }
    world.end_trace();
    let journal = cluster.journal();
    let mut records = BTreeMap::new();
    for place in 0..plan.options.keys {
        if let Some(record) = record(&cluster, &journal, place).await {
            records.insert(plan::key(place), record);
        }
    }
    for place in 0..plan.options.nodes {
        cluster.crash(&plan::node(place), false);
    }
    // What is taken down lets go of what it holds.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut operations: Vec<Operation> = std::mem::take(&mut *history.lock());
    operations.sort_by_key(|op| (op.invoked, op.id));
    Ran {
        history: History { operations },
        records,
        journal,
        probes,
    }
}

fn cluster(world: &World, plan: &Plan) -> SimCluster<Ledger> {
    let (on_disconnect, idle_timeout) = (plan.on_disconnect, plan.idle_timeout);
    let (mailbox_limit, activations) = (plan.mailbox_limit, plan.activations);
    SimCluster::new(world, plan.lease_ttl, move |manager| {
        let takeover = match on_disconnect {
            true => Takeover::OnDisconnect,
            false => Takeover::AfterLease,
        };
        manager
            .takeover(takeover)
            .idle_timeout(idle_timeout)
            .mailbox_limit(mailbox_limit)
            .concurrent_activations(activations)
    })
}

/// Tries every key until it serves again.
async fn probe(worker: &impl Fn(u64, usize) -> Worker, plan: &Plan) -> Vec<Probe> {
    let mut tries = Vec::new();
    for place in 0..plan.options.keys {
        let mut worker = worker(1_000 + place as u64, place);
        let from = 4 * (plan.options.ops as u64 + 1_000 * (place as u64 + 1));
        tries.push(wiring::spawn(async move {
            Box::pin(worker.probe(place, from, PROBED)).await
        }));
    }
    let mut probes = Vec::new();
    for tried in tries {
        probes.extend(tried.await.ok());
    }
    probes
}

/// Reads every key at every node.
async fn read_all(worker: &impl Fn(u64, usize) -> Worker, plan: &Plan) {
    for place in 0..plan.options.keys {
        for home in 0..plan.options.nodes {
            let number = (place * plan.options.nodes + home) as u64;
            let task = Task {
                number,
                client: 0,
                at: 0,
                patience: 5_000,
                takes: 0,
                ask: Ask::One(place, Action::Read),
            };
            let id = 4 * (plan.options.ops as u64 + 1_000_000 + number);
            let mut worker = worker(2_000 + number, home);
            Box::pin(worker.operate(id, place, Action::Read, &task)).await;
        }
    }
}

/// What is stored of an agent, and how it came about; none if it was never committed.
async fn record(cluster: &SimCluster<Ledger>, journal: &Journal, place: usize) -> Option<Record> {
    let key = plan::key(place);
    let id = AgentId::new(
        ClusterName::new(CLUSTER).ok()?,
        ManagerName::new(MANAGER).ok()?,
        AgentKey::new(&key).ok()?,
    );
    let kept = plan::kept(place);
    let ledger: Ledger = decode_state(&cluster.stored(&id).await?).ok()?;
    let thread = cluster.thread(&id).await;
    let thread = thread.iter().map(|entry| Noted {
        // An entry that can't be read shows as an operation that nobody asked for.
        id: decode_payload(&entry.payload).unwrap_or(u64::MAX),
        seq: entry.seq.0,
        revision: entry.revision.0,
        epoch: entry.epoch.0,
    });
    let (mut marks, mut noted) = (Vec::new(), 0);
    for applied in journal.of(&id) {
        if let Change::Committed {
            revision,
            state: Some(state),
            entries,
            ..
        } = &applied.change
        {
            noted += *entries as usize;
            let count = match kept {
                Kept::InThread => noted,
                _ => decode_state::<Ledger>(state).map_or(0, |l| l.applied.len()),
            };
            marks.push(Mark {
                revision: revision.0,
                count,
            });
        }
    }
    Some(Record {
        kept,
        value: ledger.value,
        applied: ledger.applied,
        thread: thread.collect(),
        marks,
    })
}
