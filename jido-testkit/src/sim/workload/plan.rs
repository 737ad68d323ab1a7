//! What is done in a run.

mod draw;

use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::check::reads::Promise;
use crate::history::{Action, Kept};
use crate::sim::StorageFaults;

/// How large a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// How many nodes: at least 1.
    pub nodes: usize,
    /// How many tasks the clients have: each is one operation, or two that belong
    /// together.
    pub ops: usize,
    /// How many things go wrong.
    pub faults: usize,
    /// How many agents are worked on: at least 1.
    pub keys: usize,
    /// How many clients work at a time: at least 1.
    pub clients: usize,
}

impl Options {
    /// How many tasks a plan has: besides the operations, so many agents are kept awake, so
    /// much has to do with reminders, and agents are moved so often because somebody asks for it.
    pub fn tasks(&self) -> usize {
        self.ops + self.ops / ATTACHED + self.ops / ABOUT_REMINDERS + self.ops / REBALANCED
    }
}

/// For how many operations one agent is kept awake ..
const ATTACHED: usize = 20;

/// .. and one task has to do with reminders.
const ABOUT_REMINDERS: usize = 8;

/// For how many operations agents are moved once because somebody asks for it.
const REBALANCED: usize = 66;

impl Default for Options {
    fn default() -> Self {
        Self {
            nodes: 3,
            ops: 200,
            faults: 10,
            keys: 8,
            clients: 6,
        }
    }
}

/// What a client does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// One operation.
    One(usize, Action),
    /// Reads, and then swaps what it read for that and this much more.
    Increase(usize, i64),
    /// Takes from one and adds to another.
    Transfer(usize, usize, i64),
    /// One operation whose answer nobody waits for.
    Cast(usize, Action),
    /// Lets an agent hibernate.
    Hibernate(usize),
    /// Keeps an agent awake until the client does so with two more, or has done all.
    Attach(usize),
    /// Has agents moved that run elsewhere than they are placed.
    Rebalance,
    /// Deletes the one agent that is not judged by its history.
    Delete,
}

/// What a client does when it can't tell whether an operation was executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Doubt {
    /// It leaves it at that.
    Leave,
    /// It sends the same request again, at the next node.
    Retry,
    /// It asks at once what became of the request: only that it was applied is final.
    Ask,
    /// It asks when no try can be on its way any more: every answer is final.
    AskLater,
}

/// How sure owners have to be before they answer without a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadMode {
    /// As sure as their lease makes them.
    Leased,
    /// They ask storage.
    Strict,
    /// Not at all.
    Local,
}

/// Which zones keys are placed in. The nodes stand in zones `a` and `b` in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Zones {
    /// In all.
    All,
    /// In the first.
    First,
    /// In the second, or else in the first.
    SecondThenFirst,
}

/// A client's task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its number; its operations have numbers from four times this on.
    pub number: u64,
    /// Who does it.
    pub client: usize,
    /// When, in milliseconds, unless the client is still at another.
    pub at: u64,
    /// How many milliseconds each answer is waited for.
    pub patience: u64,
    /// How many milliseconds the agent takes.
    pub takes: u16,
    /// Whether the client gives its requests an identity of its own, which it needs for
    /// all that follows.
    pub named: bool,
    /// What it does when the outcome is unknown.
    pub doubt: Doubt,
    /// Whether the request is sent at two nodes at once.
    pub doubled: bool,
    /// After how many milliseconds the request is sent again although it was answered, if
    /// it is.
    pub again: Option<u64>,
    /// What is done.
    pub ask: Ask,
}

impl Task {
    /// A task without more to it, for whoever takes it up now.
    pub(super) fn plain(ask: Ask, patience: u64) -> Self {
        Self {
            number: 0,
            client: 0,
            at: 0,
            patience,
            takes: 0,
            named: false,
            doubt: Doubt::Leave,
            doubled: false,
            again: None,
            ask,
        }
    }
}

/// Something that goes wrong. Nodes are given by their place, from 0.
#[allow(missing_docs, reason = "the fields say what they are")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultKind {
    /// A node is killed and stays down for a while.
    Crash { node: usize, power: bool },
    /// A node drains, and stays down for a while.
    Drain { node: usize },
    /// A node stops for a while.
    Pause { node: usize },
    /// These nodes are cut off from the others, both ways.
    Partition { side: Vec<usize> },
    /// Nothing gets to a node, neither from others nor from storage.
    Deaf { node: usize },
    /// Nothing gets from one node to another.
    OneWay { from: usize, to: usize },
    /// A session ends.
    Reset { one: usize, other: usize },
    /// A link is slow: this many milliseconds at the most.
    Slow { one: usize, other: usize, most: u64 },
    /// Storage fails.
    Storage(StorageFaults),
    /// A node's clocks jump: that of elapsed time ahead, the wall clock either way.
    Jump { node: usize, ahead: u64, wall: i64 },
    /// Another node is started under a name.
    Double { node: usize },
}

/// Something that goes wrong, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Its number.
    pub number: usize,
    /// When, in milliseconds.
    pub at: u64,
    /// For how many milliseconds.
    pub lasts: u64,
    /// What.
    pub kind: FaultKind,
}

/// All that is done in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The seed of all that is drawn while it runs.
    pub seed: u64,
    /// What it was made with.
    pub options: Options,
    /// The leases' time to live.
    pub lease_ttl: Duration,
    /// After how long agents hibernate by themselves, if they do.
    pub idle_timeout: Option<Duration>,
    /// After how long agents are parked, if they are.
    pub park_after: Option<Duration>,
    /// How many agents a node keeps, if that is bounded.
    pub capacity: Option<usize>,
    /// How many bytes of their states, if that is.
    pub capacity_bytes: Option<usize>,
    /// How often agents are moved that run elsewhere than they are placed; none where that
    /// happens only when somebody asks for it.
    pub rebalance: Option<Duration>,
    /// How many at a time.
    pub max_migrations: usize,
    /// The nodes' weights, by their places in turn.
    pub weights: Vec<u32>,
    /// Which zones are preferred.
    pub zones: Zones,
    /// Whether agents are taken over as soon as their owner is out of reach.
    pub on_disconnect: bool,
    /// Whether agents' threads tell their states.
    pub sourced: bool,
    /// How sure owners have to be before they answer without a commit.
    pub reads: ReadMode,
    /// How many requests agents remember.
    pub remembered: usize,
    /// For how long they do.
    pub remembered_for: Duration,
    /// Whether agents note their starts and stops.
    pub hooks: bool,
    /// How many messages may wait for an agent.
    pub mailbox_limit: usize,
    /// How many agents may be claimed and loaded at a time on a node.
    pub activations: usize,
    /// Whether nodes drain in the end.
    pub drains: bool,
    /// The clients' tasks, by number.
    pub tasks: Vec<Task>,
    /// What goes wrong, by number.
    pub faults: Vec<Fault>,
}

/// A node's name, by its place.
pub(super) fn node(place: usize) -> String {
    format!("n{}", place + 1)
}

/// The place of an agent that is deleted now and then, so that its history is judged from the last
/// deletion on.
pub(super) const SCRATCH: usize = usize::MAX;

/// The places of agents that do little else than to wait for their reminders.
pub(super) const REMINDED: Range<usize> = 1 << 32..(1 << 32) + 3;

/// Within how long an owner that was taken over has noticed that it may have been: a silence of
/// 2.5 s after the other's, the end of that on a slow way, or its lease.
const NOTICED: Duration = Duration::from_secs(5);

/// How many reminders an agent has at the most.
pub(super) const NAMES: u8 = 3;

/// An agent's key, by its place.
pub(super) fn key(place: usize) -> String {
    if place == SCRATCH {
        return "scratch".to_owned();
    }
    if REMINDED.contains(&place) {
        return format!("reminded-{}", place - REMINDED.start);
    }
    let kind = ["counter", "list", "register", "account"][place % 4];
    format!("{kind}-{}", place / 4)
}

/// Where the agent of a place keeps what was done.
pub(super) fn kept(place: usize) -> Kept {
    if REMINDED.contains(&place) {
        return Kept::InBoth;
    }
    [Kept::InState, Kept::InThread, Kept::InBoth, Kept::InBoth][place % 4]
}

impl Plan {
    /// The key whose history is searched for an order.
    pub(super) fn searched(&self) -> String {
        key(self.seed as usize % self.options.keys.max(1))
    }

    /// The places of all agents that are judged by their histories.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> + use<> {
        (0..self.options.keys).chain(REMINDED)
    }

    /// What an answer without effect must show of all that was answered before it was
    /// asked for. An owner that is cut off may answer from before where it doesn't ask, or,
    /// until it notices, where it is taken over before its lease has run out.
    pub fn promise(&self) -> Promise {
        match (self.reads, self.on_disconnect) {
            (ReadMode::Strict, _) | (ReadMode::Leased, false) => Promise::Latest,
            (ReadMode::Leased, true) => Promise::Within(NOTICED.as_micros() as u64),
            (ReadMode::Local, _) => Promise::Committed,
        }
    }
}
