//! What the demo node answers.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A counter, as an increment or a read answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CounterReply {
    /// The key.
    pub key: String,
    /// The count; for an increment the one after it.
    pub value: i64,
    /// The node that was asked.
    pub node: String,
    /// The node that the counter runs on.
    pub owner: String,
    /// The epoch of its activation.
    pub epoch: u64,
    /// The revision of the state that was answered from.
    pub revision: u64,
}

/// Where a key runs, or would run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OwnerReply {
    /// The key.
    pub key: String,
    /// The node that was asked.
    pub node: String,
    /// The node that it runs on, or else the one where it is placed.
    pub owner: String,
    /// The node that it is placed on; none while all nodes are shutting down.
    pub placed: Option<String>,
}

/// How many activations run, by node and in all.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Stats {
    /// By the node's name.
    pub by_node: BTreeMap<String, u64>,
    /// On all of them.
    pub total: u64,
}

/// A node as another one sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its life, 32 hexadecimal digits.
    pub incarnation: String,
    /// Where peers reach it.
    pub address: String,
    /// Whether it is shutting down and takes no further keys.
    pub leaving: bool,
    /// The zone that it says to stand in.
    pub zone: Option<String>,
}

/// What would be moved.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RebalancePlan {
    /// The moves, by key.
    pub moves: Vec<Move>,
    /// Whether there is more to move.
    pub more: bool,
    /// The nodes that did not say what they run.
    pub unanswered: Vec<String>,
}

/// The move of one counter.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Move {
    /// The key.
    pub key: String,
    /// The node that it runs on.
    pub from: String,
    /// The node that it is to run on.
    pub to: String,
    /// Why: `misplaced` or `duplicate`.
    pub reason: String,
}

/// What was moved.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Rebalanced {
    /// The node that had it done.
    pub by: String,
    /// Counters that run where they are placed now.
    pub succeeded: u64,
    /// Moves that went wrong.
    pub failed: u64,
    /// Counters that were left where they are.
    pub skipped: u64,
    /// Those among them whose nodes don't share the storage.
    pub storage_not_shared: u64,
    /// Whether there is more to move.
    pub more: bool,
}
