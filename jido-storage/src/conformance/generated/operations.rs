//! What is generated. Operations name agents, lives and revisions by small numbers or by
//! their distance from what is the case when they run, so that a sequence from
//! which some are taken away still makes sense.

use bytes::Bytes;
use jido_core::{AgentId, Epoch, Incarnation, RequestId, Revision, Timestamp};
use proptest::prelude::*;

use super::super::fixture::{Draw, checkpoint, entry, id_of};
use super::model::Model;
use crate::{Commit, Reminders, RequestRecord};

/// A life of a node, from 1.
pub(super) type Life = u8;

/// An agent, as its place among [`agent`]s.
pub(super) type Which = u8;

pub(super) const AGENTS: u8 = 10;
pub(super) const LIVES: u8 = 5;
pub(super) const CLIENTS: u8 = 3;
pub(super) const REQUESTS: u8 = 4;

#[derive(Debug, Clone)]
pub(super) enum Operation {
    Register {
        life: Life,
        name: u8,
    },
    Renew {
        life: Life,
    },
    DeclareDead {
        life: Life,
        observed: Option<u8>,
    },
    Claim {
        agent: Which,
        claimant: Life,
        take_from: Option<Life>,
    },
    Delete {
        agent: Which,
        epoch: Near,
    },
    Append(Change),
    AppendMany(Vec<Change>),
}

/// A number near the one that is right.
#[derive(Debug, Clone, Copy)]
pub(super) enum Near {
    Right,
    Below(u8),
    Above(u8),
}

impl Near {
    pub(super) fn of(self, right: u64) -> u64 {
        match self {
            Self::Right => right,
            Self::Below(by) => right.saturating_sub(by.into()),
            Self::Above(by) => right + u64::from(by),
        }
    }
}

/// A commit. Fields of false, none and nothing are what it shrinks to.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) agent: Which,
    epoch: Near,
    expected: Near,
    /// Lengths of the entries' payloads.
    entries: Vec<u16>,
    /// The length of the checkpoint, and how much it covers, in 256ths of what it may and two more.
    checkpoint: Option<(u16, u8)>,
    /// Client, number and time of each request.
    requests: Vec<(u8, u8, u8)>,
    forget: Vec<(u8, u8)>,
    forget_before: Option<u8>,
    metadata: bool,
    erase: (bool, bool),
    /// When to be woken, if at all, where reminders are changed.
    reminders: Option<Option<u8>>,
    release: bool,
}

fn near() -> impl Strategy<Value = Near> {
    prop_oneof![
        10 => Just(Near::Right),
        1 => (1..4u8).prop_map(Near::Below),
        1 => (1..3u8).prop_map(Near::Above),
    ]
}

fn rarely(one_in: u32) -> impl Strategy<Value = bool> {
    prop::bool::weighted(1.0 / f64::from(one_in))
}

fn change() -> impl Strategy<Value = Change> {
    let request = || (0..CLIENTS, 0..REQUESTS);
    let parts = (
        prop::collection::vec(0..300u16, 0..4),
        prop::option::weighted(0.35, (0..5000u16, 0..=u8::MAX)),
        prop::collection::vec((0..CLIENTS, 0..REQUESTS, 0..4u8), 0..3),
        prop::collection::vec(request(), 0..2),
        prop::option::weighted(0.25, 0..50u8),
        prop::option::weighted(0.25, prop::option::weighted(0.7, 0..20u8)),
    );
    let flags = (rarely(2), (rarely(8), rarely(8)), rarely(8));
    (0..AGENTS, near(), near(), parts, flags).prop_map(
        |(agent, epoch, expected, parts, (metadata, erase, release))| Change {
            agent,
            epoch,
            expected,
            entries: parts.0,
            checkpoint: parts.1,
            requests: parts.2,
            forget: parts.3,
            forget_before: parts.4,
            reminders: parts.5,
            metadata,
            erase,
            release,
        },
    )
}

pub(super) fn operation() -> impl Strategy<Value = Operation> {
    let life = || 1..=LIVES;
    prop_oneof![
        7 => change().prop_map(Operation::Append),
        4 => (0..AGENTS, life(), prop::option::weighted(0.7, life())).prop_map(
            |(agent, claimant, take_from)| Operation::Claim { agent, claimant, take_from },
        ),
        2 => (life(), 0..3u8).prop_map(|(life, name)| Operation::Register { life, name }),
        1 => prop::collection::vec(change(), 0..6).prop_map(Operation::AppendMany),
        1 => (0..AGENTS, near()).prop_map(|(agent, epoch)| Operation::Delete { agent, epoch }),
        1 => life().prop_map(|life| Operation::Renew { life }),
        1 => (life(), prop::option::weighted(0.7, 1..4u8))
            .prop_map(|(life, observed)| Operation::DeclareDead { life, observed }),
    ]
}

/// The agent of a place: of two managers, with keys that an adapter may mix up.
pub(super) fn agent(which: Which) -> AgentId {
    let long = "k".repeat(600);
    let keys = ["a", "b", "a/b", "é", long.as_str()];
    let manager = ["agents", "agents.b"][usize::from(which) / keys.len() % 2];
    id_of(manager, keys[usize::from(which) % keys.len()])
}

pub(super) fn life(life: Life) -> Incarnation {
    Incarnation(life.into())
}

impl Change {
    /// The commit that it is, given what the model holds; `at` is its place in the sequence.
    pub(super) fn commit(&self, model: &Model, at: u64) -> Commit {
        let id = agent(self.agent);
        let stored = model.agents.get(&id).cloned().unwrap_or_default();
        let epoch = Epoch(self.epoch.of(stored.epoch));
        let expected = Revision(self.expected.of(stored.revision));
        let mut commit = Commit::new(id, epoch, expected, Timestamp(at + 1));
        // Bytes that tell where they come from, so that a mix-up shows.
        let mut draw = Draw::new(at << 8 | u64::from(self.agent));
        let mut bytes = |len: usize| -> Bytes { draw.bytes(len) };
        for len in &self.entries {
            commit.entries.push(entry(bytes(usize::from(*len))));
        }
        commit.erase.thread = self.erase.0;
        commit.erase.checkpoint = self.erase.1;
        if let Some((len, share)) = self.checkpoint {
            let kept = if commit.erase.thread {
                0
            } else {
                stored.thread.len()
            };
            let most = (kept + self.entries.len()) as u64 + 2;
            let covers = u64::from(share) * most / 256;
            commit.checkpoint = Some(checkpoint(bytes(usize::from(len)), covers));
        }
        for (client, seq, issued) in &self.requests {
            commit.requests.push(RequestRecord {
                request: request(*client, *seq),
                issued_at: Timestamp((*issued).into()),
                reply: bytes(20),
            });
        }
        commit.forget = self
            .forget
            .iter()
            .map(|(client, seq)| request(*client, *seq))
            .collect();
        commit.forget_before = self.forget_before.map(|floor| Timestamp(floor.into()));
        commit.reminders = self.reminders.map(|wake_at| Reminders {
            wake_at: wake_at.map(|at| Timestamp(at.into())),
            list: bytes(usize::from(wake_at.unwrap_or_default())),
        });
        if self.metadata {
            let text = format!("{at} \u{1}\u{e9}");
            commit.thread_metadata.insert("at".into(), text);
        }
        commit.release = self.release;
        commit
    }
}

pub(super) fn request(client: u8, seq: u8) -> RequestId {
    RequestId::new(client.into(), seq.into())
}
