//! The state of the model: plain data, as small as it can be.

use crate::rules::{Bounds, KEYS, LEASE_TICKS, NODES};
use crate::store::{Commit, Store};

/// The requests that an agent has applied, in order: the whole of its state. Four
/// bits each, the first lowest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Log(u32);

impl Log {
    /// The longest; longer ones are broken long before.
    const MAX: u8 = 8;

    pub(crate) fn len(self) -> u8 {
        ((32 - self.0.leading_zeros()).div_ceil(4)) as u8
    }

    pub(crate) fn push(&mut self, request: u8) {
        let len = self.len();
        assert!(len < Self::MAX, "the bounds are too wide for a log");
        self.0 |= u32::from(request + 1) << (4 * len);
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = u8> {
        (0..self.len()).map(move |at| ((self.0 >> (4 * at)) & 15) as u8 - 1)
    }

    pub(crate) fn prefix(self, len: u8) -> Self {
        let bits = 4 * u32::from(len);
        Self(self.0 & 1_u32.checked_shl(bits).map_or(u32::MAX, |bit| bit - 1))
    }

    pub(crate) fn begins(self, other: Self) -> bool {
        other.prefix(self.len()) == self
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The reply of each request: how many were applied with it. Zero: none yet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Replies(u16);

impl Replies {
    pub(crate) fn get(self, request: u8) -> u8 {
        ((self.0 >> (4 * request)) & 15) as u8
    }

    pub(crate) fn set(&mut self, request: u8, reply: u8) {
        self.0 &= !(15 << (4 * request));
        self.0 |= u16::from(reply) << (4 * request);
    }
}

impl std::fmt::Debug for Replies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let replies = (0..4).map(|request| self.get(request));
        f.debug_list().entries(replies).finish()
    }
}

/// How a commit ended, as storage said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Outcome {
    Committed,
    Conflict,
    Fenced,
}

/// The commit that an activation waits for, with the state that it makes durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Flight {
    pub(crate) state: Log,
    /// None while storage has not answered.
    pub(crate) outcome: Option<Outcome>,
}

/// A read that has looked at the state and not been answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Read {
    /// The length of the state that it saw.
    pub(crate) seen: u8,
    /// The longest state that any reply had shown before it was sent.
    pub(crate) floor: u8,
    /// Whether what it saw was not yet durable then.
    pub(crate) held: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Running {
    pub(crate) epoch: u8,
    pub(crate) revision: u8,
    /// The state that is known to be durable.
    pub(crate) committed: Log,
    /// The state after the last message.
    pub(crate) current: Log,
    /// Of every request that is in `current`.
    pub(crate) replies: Replies,
    pub(crate) flight: Option<Flight>,
    pub(crate) read: Option<Read>,
}

/// A commit whose outcome is unknown: the state that it was to make durable, and
/// how much of that was durable before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Unknown {
    pub(crate) epoch: u8,
    pub(crate) durable: u8,
    pub(crate) state: Log,
}

/// The running instance of an agent on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) enum Activation {
    #[default]
    None,
    /// Only with the flaw of that name: what was read before the claim.
    ReadBeforeClaim {
        state: Log,
        replies: Replies,
    },
    Claimed {
        epoch: u8,
        unknown: Option<Unknown>,
    },
    Running(Running),
    Frozen(Unknown),
}

/// A renewal on its way; ages are in ticks since it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) enum Renewal {
    #[default]
    None,
    Sent(u8),
    Renewed(u8),
    Dead,
}

/// What somebody else has seen of a node's beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) enum Watch {
    /// Nobody has looked since it last moved.
    #[default]
    Unseen,
    /// The beat is as it was when first seen, so many ticks ago.
    Still(u8),
    /// Only with `Flaw::DeadWhateverBeat`: it has moved on since it was seen, so
    /// many ticks ago, and nobody has looked again.
    Moved(u8),
}

/// The process of a node, and what is known of its beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Node {
    pub(crate) up: bool,
    /// Ticks since the renewal was sent that its lease counts from.
    pub(crate) lease: u8,
    pub(crate) renewal: Renewal,
    pub(crate) watch: Watch,
    /// Lives that are left after this one.
    pub(crate) rebirths: u8,
    pub(crate) activations: [Activation; KEYS],
}

impl Node {
    /// A life that begins: it holds no lease before its first renewal.
    pub(crate) fn born(rebirths: u8) -> Self {
        Self {
            up: true,
            lease: LEASE_TICKS,
            renewal: Renewal::None,
            watch: Watch::Unseen,
            rebirths,
            activations: [Activation::None; KEYS],
        }
    }

    /// The process ends. What storage knows stays, and what was sent may arrive.
    pub(crate) fn end(&mut self) {
        *self = Self {
            up: false,
            watch: self.watch,
            ..Self::born(self.rebirths)
        };
    }

    /// Whether this is not its first life.
    pub(crate) fn is_reborn(&self, bounds: &Bounds) -> bool {
        self.rebirths < bounds.rebirths
    }

    pub(crate) fn holds_lease(&self) -> bool {
        self.lease < LEASE_TICKS
    }
}

/// What must never happen and can't be told from a state alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Breach {
    /// A revision was written by other than the holder of the largest epoch, or
    /// written again.
    SecondWriter = 1,
    /// A claim gave an epoch that is not larger than all before.
    EpochFell = 2,
    /// A reply left that shows what is not in storage.
    ReplyBeforeCommit = 4,
    /// A request got two different replies.
    AnsweredApart = 8,
    /// A read shows less than a reply had shown before the read was sent.
    StaleRead = 16,
    /// A commit took effect after its caller was told that it never will.
    DeniedThenMade = 32,
}

/// What outsiders have been told of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Told {
    /// The length of the longest state that a reply has shown.
    pub(crate) shown: u8,
    /// The epoch of the last commit.
    pub(crate) writer: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) nodes: [Node; NODES],
    /// Commits on their way to storage, in no order.
    pub(crate) wire: Vec<Commit>,
    pub(crate) told: [Told; KEYS],
    /// The replies that have left.
    pub(crate) acknowledged: Replies,
    /// What is left of the faults that the bounds allow.
    pub(crate) ends: u8,
    pub(crate) unknowns: u8,
    pub(crate) strays: u8,
    pub(crate) doubles: u8,
    pub(crate) breaches: u8,
}

impl State {
    pub(crate) fn breach(&mut self, breach: Breach) {
        self.breaches |= breach as u8;
    }

    pub(crate) fn broke(&self, breach: Breach) -> bool {
        self.breaches & breach as u8 != 0
    }

    /// A reply leaves for a request that was applied as the `reply`th.
    pub(crate) fn acknowledge(&mut self, key: usize, request: u8, reply: u8, state: Log) {
        match self.acknowledged.get(request) {
            0 => self.acknowledged.set(request, reply),
            before if before == reply => {}
            _ => self.breach(Breach::AnsweredApart),
        }
        self.show(key, state.prefix(reply));
    }

    /// A reply leaves that shows this state.
    pub(crate) fn show(&mut self, key: usize, state: Log) {
        if !state.begins(self.store.agents[key].state) {
            self.breach(Breach::ReplyBeforeCommit);
        }
        self.told[key].shown = self.told[key].shown.max(state.len());
    }
}
