//! Runs a plan, and judges what came of it.

use std::collections::BTreeMap;
use std::time::Duration;

use jido_cluster::Sourced;

use super::book::Book;
use super::carry::{Ran, carry_out};
use super::ledger::Ledger;
use super::plan::{Plan, ReadMode};
use crate::check::reads::Promise;
use crate::check::reminders::Diary;
use crate::check::search::{Verdict, search};
use crate::check::{self, Violation};
use crate::history::{Action, History, Hook, Outcome, Record};
use crate::sim::{Traced, simulate};

/// Within how long every key serves again once all is healed, and runs where it is placed: a lease of 3 s that runs
/// out, silence of 2.5 s, and the pauses in between.
const BOUND: Duration = Duration::from_secs(20);

/// Nodes are many lives of one process in one of whole clusters: what they leak adds up.
const LET_GO: &str = "nothing is left of a cluster that has ended";

/// Tasks and actors catch panics, and a node may well go on after one.
const NO_PANIC: &str = "nothing panics but what is asked to";

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
    /// What agents have written down of their reminders, by key.
    pub diaries: BTreeMap<String, Diary>,
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
    let (ended, mut traced) = simulate(plan.seed, keep, async |world| {
        let remains = world.remains();
        let ran = match plan.sourced {
            true => Box::pin(carry_out::<Sourced<Book>>(world, plan.clone())).await,
            false => Box::pin(carry_out::<Ledger>(world, plan.clone())).await,
        };
        (ran, remains)
    })?;
    let (ran, remains) = ended;
    let Ran {
        history,
        records,
        journal,
        probes,
        settled,
        sent,
        deletions,
        reminders,
    } = ran;
    let promise = plan.promise();
    let mut violations = check::history(&history, &records, promise);
    for (id, changes) in journal.agents() {
        let key = id.key.as_str();
        violations.extend(check::revisions::check(key, changes));
        violations.extend(check::epochs::check(key, changes));
        if plan.hooks
            && !plan.sourced
            && let Some(record) = records.get(key)
        {
            violations.extend(check::hooks::check(key, record, changes));
        }
    }
    violations.extend(check::recovery::check(&probes, BOUND));
    violations.extend(check::places::check(&settled, BOUND));
    violations.extend(check::hops::check(&sent));
    violations.extend(deletions);
    violations.extend(panicked(&traced));
    if remains.are_held() {
        let what = "something of it is held by what it holds itself";
        violations.push(Violation::new(LET_GO, "", what));
    }
    for (key, diary) in &reminders.diaries {
        let found = check::reminders::check(key, diary, reminders.times);
        violations.extend(found.violations);
        violations.extend(check::timers::check(key, diary));
        add(&mut traced.counts, found.counts);
    }
    add(&mut traced.counts, reminders.counts);
    let (kind, unexplained) = searched(plan, &history, promise);
    *traced.counts.entry(kind).or_default() += 1;
    violations.extend(unexplained);
    count(&mut traced.counts, plan, &history, &records);
    Ok(Report {
        plan: plan.clone(),
        traced,
        history,
        records,
        diaries: reminders.diaries,
        violations,
    })
}

fn panicked(traced: &Traced) -> impl Iterator<Item = Violation> {
    let panics = traced.panics.iter();
    panics.map(|panic| Violation::new(NO_PANIC, "", panic))
}

fn add(counts: &mut BTreeMap<&'static str, u64>, more: BTreeMap<&'static str, u64>) {
    for (kind, count) in more {
        *counts.entry(kind).or_default() += count;
    }
}

/// Searches for an order of what was done to one key: of all of it where answers without
/// an effect are of the latest state too.
fn searched(plan: &Plan, history: &History, promise: Promise) -> (&'static str, Option<Violation>) {
    let key = plan.searched();
    let operations = history.of(&key).filter(|op| {
        op.outcome == Outcome::Unknown || op.had_effect() || promise == Promise::Latest
    });
    match search(operations, STEPS) {
        Verdict::NotLinearizable { left, .. } => {
            let what = "no order of the operations explains their answers";
            let violation = Violation::new("linearizability", &key, what).by(left);
            ("search: there is no order", Some(violation))
        }
        Verdict::Linearizable => ("search: an order was found", None),
        Verdict::Undecided => ("search: given up", None),
    }
}

/// Counts what only the whole history tells.
fn count(
    counts: &mut BTreeMap<&'static str, u64>,
    plan: &Plan,
    history: &History,
    records: &BTreeMap<String, Record>,
) {
    let mut count = |kind: &'static str, many: u64| {
        if many > 0 {
            *counts.entry(kind).or_default() += many;
        }
    };
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
            Outcome::Answered(_) if op.action == Action::Read => match plan.reads {
                ReadMode::Leased => "operation: read, leased",
                ReadMode::Strict => "operation: read, strict",
                ReadMode::Local => "operation: read, local",
            },
            Outcome::Answered(_) => "operation: refused by the number",
            Outcome::NotExecuted => "operation: not executed",
            Outcome::Unknown if is_there => "operation: unknown, took effect",
            Outcome::Unknown => "operation: unknown, no effect",
        };
        count(kind, 1);
    }
    for (key, record) in records {
        let found = check::reads::check(key, history, record, Promise::Committed);
        count("read of an older state", found.stale);
        for hook in &record.hooks {
            match hook {
                Hook::Started(_) => count("hook: started", 1),
                Hook::Stopping(_) => count("hook: stopping", 1),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wiring;

    #[test]
    fn a_task_that_panics_is_a_violation() {
        let (_, traced) = simulate(1, false, async |_| {
            wiring::spawn(async { panic!("a bug") }).await.is_err()
        })
        .unwrap();
        let violations: Vec<Violation> = panicked(&traced).collect();
        assert_eq!(violations.len(), 1);
        assert!(
            violations[0].to_string().contains("a bug"),
            "{violations:?}"
        );
    }
}
