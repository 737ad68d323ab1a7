//! What the load knows for certain, kept apart from the server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use jido_core::Epoch;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::fixture::LIMIT;

/// An agent's commits, by what was told about them.
#[derive(Debug, Default, Clone)]
pub(crate) struct Known {
    /// The epoch and the request behind each revision that is certain.
    pub(crate) there: BTreeMap<u64, (Epoch, u64)>,
    /// Requests that certainly took no effect.
    pub(crate) absent: BTreeSet<u64>,
}

/// What is known of all agents.
#[derive(Debug)]
pub(crate) struct Ledger {
    agents: Vec<Mutex<Known>>,
    acknowledged: watch::Sender<u64>,
    /// Unknown outcomes that were found to be there, and not to be.
    settled: (AtomicU64, AtomicU64),
    refused: AtomicU64,
    /// The first thing that may not be.
    wrong: watch::Sender<Option<String>>,
}

impl Ledger {
    pub(crate) fn new(agents: u64) -> Self {
        Self {
            agents: (0..agents).map(|_| Mutex::default()).collect(),
            acknowledged: watch::Sender::new(0),
            settled: Default::default(),
            refused: AtomicU64::new(0),
            wrong: watch::Sender::new(None),
        }
    }

    pub(crate) fn agents(&self) -> u64 {
        self.agents.len() as u64
    }

    /// What is known of an agent by now.
    pub(crate) fn known(&self, agent: u64) -> Known {
        self.agents[agent as usize].lock().clone()
    }

    fn with(&self, agent: u64, note: impl FnOnce(&mut Known)) {
        note(&mut self.agents[agent as usize].lock());
    }

    pub(crate) fn acknowledge(&self, agent: u64, revision: u64, epoch: Epoch, request: u64) {
        self.with(agent, |known| {
            let twice = known.there.insert(revision, (epoch, request));
            if let Some(before) = twice {
                self.is_wrong(format!(
                    "revision {revision} of agent {agent} was acknowledged for {before:?} and for {request}"
                ));
            }
        });
        self.acknowledged.send_modify(|count| *count += 1);
    }

    /// An append that was refused for certain.
    pub(crate) fn refuse(&self, agent: u64, request: u64) {
        self.with(agent, |known| known.absent.extend([request]));
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// An outcome that nobody knew, once a claim has settled it.
    pub(crate) fn settle(&self, agent: u64, request: u64, there: Option<(u64, Epoch)>) {
        self.with(agent, |known| match there {
            Some((revision, epoch)) => known.there.extend([(revision, (epoch, request))]),
            None => known.absent.extend([request]),
        });
        let (found, not_found) = &self.settled;
        let counter = if there.is_some() { found } else { not_found };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn is_wrong(&self, what: String) {
        self.wrong.send_if_modified(|wrong| {
            let is_first = wrong.is_none();
            wrong.get_or_insert(what);
            is_first
        });
    }

    pub(crate) fn wrong(&self) -> Option<String> {
        self.wrong.borrow().clone()
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        *self.acknowledged.borrow()
    }

    pub(crate) fn settled(&self) -> (u64, u64) {
        let (found, not_found) = &self.settled;
        (
            found.load(Ordering::Relaxed),
            not_found.load(Ordering::Relaxed),
        )
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Waits for so many more appends that are acknowledged.
    pub(crate) async fn more_acknowledged(&self, more: u64) -> Result<(), String> {
        let (mut acknowledged, mut wrong) = (self.acknowledged.subscribe(), self.wrong.subscribe());
        let target = self.acknowledged() + more;
        let wait = async {
            tokio::select! {
                biased;
                found = wrong.wait_for(Option::is_some) => {
                    Err(found.unwrap().clone().unwrap_or_default())
                }
                reached = acknowledged.wait_for(|count| *count >= target) => {
                    drop(reached.unwrap());
                    Ok(())
                }
            }
        };
        let waited = tokio::time::timeout(LIMIT, wait).await;
        waited.unwrap_or_else(|_| Err(format!("no {more} more appends in {LIMIT:?}")))
    }
}
