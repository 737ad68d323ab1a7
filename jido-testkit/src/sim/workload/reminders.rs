//! What became of the agents' reminders.

use std::collections::BTreeMap;
use std::time::Duration;

use jido_cluster::{AgentId, Incarnation};
use jido_core::decode_state;

use super::ledger::{Ledger, Worked};
use super::plan::{FaultKind, Plan};
use crate::check::reminders::{Diary, Times};
use crate::history::Reminded;
use crate::sim::environment::{OFF, START};
use crate::sim::{Applied, Change, SimCluster};

/// How late a reminder may come: a lease of 3 s that runs out, ten more until those are looked at
/// again that could not be woken, the pauses of an agent whose commits failed, and as much
/// as the clocks are off.
const BOUND: Duration = Duration::from_secs(30);

/// How often it is looked whether all that was due has come.
const LOOK: Duration = Duration::from_millis(100);

/// What is to be held against the agents' diaries.
pub(super) struct Reminders {
    pub(super) diaries: BTreeMap<String, Diary>,
    pub(super) times: Times,
    /// How often what happened.
    pub(super) counts: BTreeMap<&'static str, u64>,
}

impl Reminders {
    pub(super) fn new(plan: &Plan, healed: Duration, ended: Duration) -> Self {
        let jumps = plan.faults.iter().map(|fault| match fault.kind {
            FaultKind::Jump { wall, .. } => wall.unsigned_abs(),
            _ => 0,
        });
        Self {
            diaries: BTreeMap::new(),
            times: Times {
                start: START,
                off: Duration::from_millis(OFF.unsigned_abs() + jumps.sum::<u64>()),
                healed,
                ended,
                bound: BOUND,
            },
            counts: BTreeMap::new(),
        }
    }

    /// Adds what an agent has written down, if it has.
    pub(super) fn add(&mut self, id: &AgentId, changes: &[Applied], stored: BTreeMap<String, u64>) {
        let mut reading = Reading::default();
        for applied in changes {
            reading.read(applied, &mut self.counts);
        }
        let entries = reading.entries;
        if !entries.is_empty() || !stored.is_empty() {
            let diary = Diary { entries, stored };
            self.diaries.insert(id.key.to_string(), diary);
        }
    }
}

/// How the last claim came about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Claim {
    /// Nobody had the agent.
    #[default]
    Dormant,
    /// Another life had it, and did not give it back.
    TakenOver,
    /// The same life has made sure of it.
    Again,
}

/// One agent's changes, as far as they were read.
#[derive(Default)]
struct Reading {
    entries: Vec<(Duration, Reminded)>,
    owner: Option<Incarnation>,
    claim: Claim,
    /// The entries of the diary, and the operations that were carried out.
    known: usize,
    applied: usize,
    /// The same, as they were when the agent was claimed last.
    at_claim: (usize, usize),
}

impl Reading {
    fn read(&mut self, applied: &Applied, counts: &mut BTreeMap<&'static str, u64>) {
        match &applied.change {
            Change::Claimed { owner } => {
                self.claim = match self.owner.replace(*owner) {
                    None => Claim::Dormant,
                    Some(before) if before == *owner => Claim::Again,
                    Some(_) => Claim::TakenOver,
                };
                self.at_claim = (self.known, self.applied);
            }
            Change::Committed {
                state,
                entries,
                release,
                ..
            } => {
                self.applied += *entries as usize;
                if let Some(Ok(ledger)) = state.as_ref().map(|state| decode_state(state)) {
                    self.state(applied.at, &ledger, counts);
                }
                if *release {
                    self.owner = None;
                }
            }
            Change::Deleted { .. } => *self = Self::default(),
            Change::Conflicted { .. } => {}
        }
    }

    fn state(&mut self, at: Duration, ledger: &Ledger, counts: &mut BTreeMap<&'static str, u64>) {
        let is_first =
            (self.known, self.applied) == self.at_claim && ledger.applied.len() <= self.applied;
        let new = ledger.reminded.iter().skip(self.known);
        for entry in new {
            let kind = match (entry, self.claim) {
                (Reminded::Came { .. }, Claim::TakenOver) => "reminder: came after a takeover",
                (Reminded::Came { .. }, Claim::Dormant) if is_first => {
                    "reminder: woke a dormant agent"
                }
                (Reminded::Came { .. }, _) => "reminder: came to an agent that ran",
                (Reminded::Echoed { .. }, _) => "scheduled message came",
                _ => "diary written",
            };
            *counts.entry(kind).or_default() += 1;
            self.entries.push((at, *entry));
        }
        self.known = ledger.reminded.len();
        self.applied = self.applied.max(ledger.applied.len());
    }
}

/// Waits until all that was due by a time since the start has come, on all agents, for
/// twice as long as it may take at the most.
pub(super) async fn settle<A: Worked>(cluster: &SimCluster<A>, agents: &[AgentId], by: Duration) {
    let world = cluster.world();
    let by = START + by.as_millis() as u64;
    let mut waiting = agents.to_vec();
    let until = world.now() + 2 * BOUND;
    while world.now() < until {
        let mut still = Vec::new();
        for id in waiting {
            let stored = cluster.reminders(&id).await;
            if stored.values().any(|due| *due <= by) {
                still.push(id);
            }
        }
        if still.is_empty() {
            return;
        }
        waiting = still;
        tokio::time::sleep(LOOK).await;
    }
}
