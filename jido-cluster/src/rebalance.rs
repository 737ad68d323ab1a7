//! Agents that run elsewhere than they are placed are moved, a few at a time.
//!
//! An agent that runs stays where it is when nodes come: it is moved only by this. Every
//! [`rebalance_interval`](crate::ManagerBuilder::rebalance_interval) the leader, which is the node of
//! the smallest name among those that take the manager's keys, asks each node that runs the manager and
//! isn't leaving, those that aren't [well](crate::NodeBuilder::health) too, which of its agents, running
//! or parked, are placed elsewhere, plans moves, [`max_migrations`](crate::ManagerBuilder::max_migrations) at the
//! most, and has the owners carry them out: the agent finishes what it has begun, is committed
//! and released as when a node drains, and is activated on its new node. What is sent to it meanwhile waits
//! with its senders, within their time, and goes to the new owner. The next time it
//! begins after the last key that it came to, so that an agent that can't be moved holds
//! up no other.
//!
//! No more than one leader acts among nodes that see each other. Two parts of a cluster
//! that don't have one each, and do no harm: whatever a leader believes, a move is a claim in
//! storage like any other.
//!
//! # Where storage is not shared
//!
//! An agent whose two nodes don't see the same records can't be moved, and is skipped.
//! An agent that runs on several nodes, which can happen only there, or to an owner that was
//! fenced and has not noticed, is a duplicate: the one on the placed node stays, or
//! else that on the node of the smallest name, of those that take keys if any of them does, and the others end.
//! Where they keep their own records, what those knew stays behind in their storage.
//!
//! # What nobody runs
//!
//! No directory is searched for agents whose owner is dead or gone: they need no move.
//! Their next message starts them where they are placed; so does a reminder that is due,
//! by the placed node's own look at storage; and who keeps one awake by a guard attaches it anew
//! as soon as its owner is gone. One that a live node owns and does not run, because its claim could not be
//! given back, or took effect after it was given up, runs there again at its next message, and is then moved like any other.
//!
//! # Events
//!
//! The leader tells of each move by `tracing` events with the target `jido_cluster.rebalancer` and these names:
//!
//! | name | level | when |
//! |---|---|---|
//! | `jido_cluster.rebalancer.migration.start` | debug | a move begins |
//! | `jido_cluster.rebalancer.migration.success` | info | the agent runs on its new node, or the duplicate has ended |
//! | `jido_cluster.rebalancer.migration.failure` | warn | it may have ended on its former node, and did not start on its new one |
//! | `jido_cluster.rebalancer.migration.skipped` | info | it was left where it is |
//!
//! Their fields are `manager`, `key`, `from`, `to` and `reason`: of a start and a success `misplaced` or `duplicate`, of
//! a failure what went wrong, and of a skip one of
//!
//! - `storage_not_shared`: the two nodes don't see the same records;
//! - `not_running`: it has ended by itself, or was moved already;
//! - `placement_differs`: its node places it on itself, and will see what changed soon;
//! - `not_a_member`: its node has no session with the new one, or sees it leaving or not well.
//!
//! [`Stats::migrations`](crate::Stats::migrations) counts them.

mod plan;

use std::fmt;
use std::time::Duration;

use jido_core::{AgentKey, NodeName};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
pub use plan::plan;

/// How often agents are looked for that run elsewhere than they are placed, unless it is said
/// otherwise.
pub const DEFAULT_REBALANCE_INTERVAL: Duration = Duration::from_secs(30);

/// How many agents may be moved each time at the most.
pub const MAX_MIGRATIONS: usize = 10_000;

/// The shortest interval.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// When agents are moved, and how many at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rebalancing {
    /// None for when somebody asks for it alone.
    pub(crate) interval: Option<Duration>,
    pub(crate) max_migrations: usize,
}

impl Default for Rebalancing {
    fn default() -> Self {
        Self {
            interval: Some(DEFAULT_REBALANCE_INTERVAL),
            max_migrations: 1,
        }
    }
}

impl Rebalancing {
    pub(crate) fn check(self) -> Result<Self, Error> {
        let refused = |why: String| Err(Error::new(ErrorKind::InvalidInput, why));
        if self.interval.is_some_and(|every| every < MIN_INTERVAL) {
            return refused(format!(
                "rebalance_interval is less than {MIN_INTERVAL:?}: pass None to move no agents"
            ));
        }
        match self.max_migrations {
            1..=MAX_MIGRATIONS => Ok(self),
            other => refused(format!(
                "max_migrations is {other}: it is 1 to {MAX_MIGRATIONS}"
            )),
        }
    }
}

/// Why an agent is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum MigrationReason {
    /// It is placed on the other node.
    Misplaced,
    /// It runs on the other node as well, and stays there.
    Duplicate,
}

impl fmt::Display for MigrationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Misplaced => "misplaced",
            Self::Duplicate => "duplicate",
        })
    }
}

/// The move of one agent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Migration {
    /// The agent's key.
    pub key: AgentKey,
    /// The node that it runs on.
    pub from: NodeName,
    /// The node that it is to run on.
    pub to: NodeName,
    /// Why.
    pub reason: MigrationReason,
}

impl fmt::Display for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            from,
            to,
            reason,
        } = self;
        write!(f, "{key}: {from} -> {to} ({reason})")
    }
}

/// What would be moved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RebalancePlan {
    /// The moves, in the order of keys.
    pub moves: Vec<Migration>,
    /// Whether there is more to move than that.
    pub more: bool,
    /// The members that did not say what they run, by name.
    pub unanswered: Vec<NodeName>,
}

/// One line for each move.
impl fmt::Display for RebalancePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for migration in &self.moves {
            writeln!(f, "{migration}")?;
        }
        if self.more {
            writeln!(f, "and more")?;
        }
        for node in &self.unanswered {
            writeln!(f, "{node} did not say what it runs")?;
        }
        Ok(())
    }
}

/// How many moves ended in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Migrations {
    /// Agents that run on their new node.
    pub succeeded: u64,
    /// Those among them that ran on both, and run on one now.
    pub duplicates: u64,
    /// Moves that went wrong: the agent runs where it ran, or nowhere until its next message.
    pub failed: u64,
    /// Agents that were left where they are.
    pub skipped: u64,
    /// Those among them that were left because the two nodes don't share the storage.
    pub storage_not_shared: u64,
}

impl Migrations {
    pub(crate) fn add(&mut self, more: Self) {
        self.succeeded += more.succeeded;
        self.duplicates += more.duplicates;
        self.failed += more.failed;
        self.skipped += more.skipped;
        self.storage_not_shared += more.storage_not_shared;
    }
}

/// What came of a rebalance that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rebalanced {
    /// The leader, which carried it out.
    pub by: NodeName,
    /// What was done.
    pub migrations: Migrations,
    /// Whether there was more to move than [`max_migrations`](crate::ManagerBuilder::max_migrations).
    pub more: bool,
}
