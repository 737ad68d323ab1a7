//! What is done in a run, drawn from its seed.

use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

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
    /// Whether agents are taken over as soon as their owner is out of reach.
    pub on_disconnect: bool,
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

/// The place of an agent that is deleted now and then, so that its history shows
/// nothing; what is stored of it keeps to the rules all the same.
pub(super) const SCRATCH: usize = usize::MAX;

/// An agent's key, by its place.
pub(super) fn key(place: usize) -> String {
    if place == SCRATCH {
        return "scratch".to_owned();
    }
    let kind = ["counter", "list", "register", "account"][place % 4];
    format!("{kind}-{}", place / 4)
}

/// Where the agent of a place keeps what was done.
pub(super) fn kept(place: usize) -> Kept {
    [Kept::InState, Kept::InThread, Kept::InBoth, Kept::InBoth][place % 4]
}

impl Plan {
    /// Draws a plan.
    pub fn new(seed: u64, options: Options) -> Self {
        let mut chance = Rng::with_seed(xxh3_64_with_seed(b"plan", seed));
        let span = 4_000 + 60 * options.ops as u64;
        let tasks = (0..options.ops as u64).map(|number| {
            let mut task = task(&mut chance, number, options);
            task.at = chance.u64(0..span);
            task
        });
        let mut tasks: Vec<Task> = tasks.collect();
        tasks.sort_by_key(|task| (task.at, task.number));
        let on_disconnect = chance.bool();
        let reads = [ReadMode::Leased, ReadMode::Strict, ReadMode::Local][chance.usize(..3)];
        let mut faults: Vec<Fault> = (0..options.faults)
            .map(|_| fault(&mut chance, options.nodes, span))
            .collect();
        if reads == ReadMode::Leased {
            // Leases are worth what clocks are: those of elapsed time may drift, not jump.
            for fault in &mut faults {
                if let FaultKind::Jump { ahead, .. } = &mut fault.kind {
                    *ahead = 0;
                }
            }
        }
        faults.sort_by_key(|fault| fault.at);
        for (number, fault) in faults.iter_mut().enumerate() {
            fault.number = number;
        }
        Self {
            seed,
            options,
            lease_ttl: Duration::from_millis([400, 1_000, 3_000][chance.usize(..3)]),
            idle_timeout: [None, Some(Duration::from_millis(500))][chance.usize(..2)],
            on_disconnect,
            reads,
            remembered: [4_096, 4_096, 4_096, 3, 1][chance.usize(..5)],
            remembered_for: Duration::from_secs([600, 600, 600, 1][chance.usize(..4)]),
            hooks: chance.u8(..4) == 0,
            mailbox_limit: [1, 10_000, 10_000, 10_000][chance.usize(..4)],
            activations: [1, 2, 64][chance.usize(..3)],
            drains: chance.bool(),
            tasks,
            faults,
        }
    }
}

impl Plan {
    /// The key whose history is searched for an order.
    pub(super) fn searched(&self) -> String {
        key(self.seed as usize % self.options.keys.max(1))
    }

    /// Whether an answer without effect must show all that was answered before it was
    /// asked for. An owner that is cut off may answer from before where it doesn't ask, or
    /// where it is taken over before its lease has run out.
    pub fn reads_are_fresh(&self) -> bool {
        match self.reads {
            ReadMode::Strict => true,
            ReadMode::Leased => !self.on_disconnect,
            ReadMode::Local => false,
        }
    }
}

fn task(chance: &mut Rng, number: u64, options: Options) -> Task {
    let place = chance.usize(..options.keys.max(1));
    let amount = chance.i64(1..1_000);
    let account = |chance: &mut Rng| {
        let accounts = (options.keys / 4).max(1);
        4 * chance.usize(..accounts) + 3
    };
    let ask = match (chance.u8(..100), place % 4) {
        (0..4, _) => Ask::Hibernate(place),
        (4..7, _) => Ask::One(place, Action::Fail),
        (7, _) => Ask::Delete,
        (8..10, _) => Ask::One(SCRATCH, Action::Add(amount)),
        (10..30, _) => Ask::One(place, Action::Read),
        (30..33, 0 | 3) => Ask::Cast(place, Action::Add(amount)),
        (30..33, 1) => Ask::Cast(place, Action::Note),
        (_, 0) => Ask::One(place, Action::Add(amount)),
        (_, 1) => Ask::One(place, Action::Note),
        (_, 2) => Ask::Increase(place, amount),
        (33..58, _) => Ask::One(place, Action::Add(amount)),
        _ => Ask::Transfer(place, account(chance), amount),
    };
    let named = chance.bool();
    let doubt = match chance.u8(..8) {
        0..4 => Doubt::Retry,
        4 | 5 => Doubt::Ask,
        6 => Doubt::AskLater,
        _ => Doubt::Leave,
    };
    Task {
        number,
        client: chance.usize(..options.clients.max(1)),
        at: 0,
        patience: [150, 1_000, 5_000][chance.usize(..3)],
        takes: if chance.u8(..8) == 0 {
            chance.u16(1..40)
        } else {
            0
        },
        named,
        doubt: if named { doubt } else { Doubt::Leave },
        doubled: named && chance.u8(..16) == 0,
        again: (named && chance.u8(..8) == 0).then(|| chance.u64(..3_000)),
        ask,
    }
}

fn fault(chance: &mut Rng, nodes: usize, span: u64) -> Fault {
    let nodes = nodes.max(1);
    let node = chance.usize(..nodes);
    let other = (node + 1 + chance.usize(..nodes.max(2) - 1)) % nodes;
    let who = [None, Some(self::node(node))][chance.usize(..2)].clone();
    let kind = match chance.u8(..100) {
        0..18 => FaultKind::Crash {
            node,
            power: chance.u8(..3) == 0,
        },
        18..25 => FaultKind::Drain { node },
        25..37 => FaultKind::Pause { node },
        37..44 => FaultKind::Partition { side: vec![node] },
        44..49 => FaultKind::Deaf { node },
        49..55 => FaultKind::OneWay {
            from: node,
            to: other,
        },
        55..61 => FaultKind::Reset { one: node, other },
        61..67 => FaultKind::Slow {
            one: node,
            other,
            most: chance.u64(50..800),
        },
        67..85 => FaultKind::Storage(StorageFaults {
            node: who,
            before: chance.u8(..20),
            after: chance.u8(..25),
            lost: chance.u8(..25),
            late: chance.u8(..25),
            stall: chance.u8(..15),
        }),
        85..91 => FaultKind::Storage(StorageFaults {
            node: who,
            ..StorageFaults::away()
        }),
        91..96 => FaultKind::Jump {
            node,
            ahead: chance.u64(..3_000),
            wall: chance.i64(-60_000..60_000),
        },
        _ => FaultKind::Double { node },
    };
    Fault {
        number: 0,
        at: chance.u64(span / 20..span * 9 / 10),
        lasts: [300, 2_000, 6_000][chance.usize(..3)] + chance.u64(..500),
        kind,
    }
}
