//! The records that a storage keeps, and what is asked and answered about them.

use std::collections::BTreeMap;

use bytes::Bytes;
use jido_core::{
    AgentId, AgentKey, Checkpoint, ClusterName, Epoch, Incarnation, ManagerName, NodeName,
    RequestId, Revision, Seq, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind};

/// Whether a life of a node goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeState {
    /// It may own agents.
    Up,
    /// It is over for good: whatever it owned may be claimed.
    Dead,
}

/// One life of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// The node's name.
    pub name: NodeName,
    /// The life.
    pub incarnation: Incarnation,
    /// Counts renewals of its lease, from 1.
    pub beat: u64,
    /// Whether it goes on.
    pub state: NodeState,
    /// Where peers reach it.
    pub address: String,
    /// What it says about itself: zone, version and the like.
    pub metadata: BTreeMap<String, String>,
    /// When it was registered, on its own clock.
    pub registered_at: Timestamp,
}

/// A node that asks to be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRegistration {
    /// The cluster that it joins.
    pub cluster: ClusterName,
    /// Its name.
    pub name: NodeName,
    /// Its life.
    pub incarnation: Incarnation,
    /// Where peers reach it.
    pub address: String,
    /// What it says about itself.
    pub metadata: BTreeMap<String, String>,
    /// The time on its clock.
    pub at: Timestamp,
}

impl NodeRegistration {
    /// Refuses a registration with text that not every adapter can keep, for
    /// adapters to call before they write.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) when the address or the metadata
    /// contains NUL.
    pub fn check(&self) -> Result<(), Error> {
        let pairs = self.metadata.iter();
        let mut texts = pairs.flat_map(|(name, value)| [name, value]);
        if self.address.contains('\0') || texts.any(|text| text.contains('\0')) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "node {} has an address or metadata with a NUL: neither may contain one",
                    self.name
                ),
            ));
        }
        Ok(())
    }
}

/// How a registration ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    /// The node is up, with beat 1 (or as it was, if it had been registered before).
    Registered(NodeRecord),
    /// Another life of that name is up.
    NameTaken(NodeRecord),
}

/// How a renewal ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The lease is renewed; this is the beat now.
    Renewed(u64),
    /// The node was declared dead, or never registered: it stops what it runs.
    Dead,
}

/// A claim of an agent by a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRequest {
    /// The agent.
    pub id: AgentId,
    /// The life of the node that claims it.
    pub claimant: Incarnation,
    /// A life that the agent may be taken from although it is not dead, because
    /// the claimant's takeover policy says so. Any other live owner keeps it.
    pub take_from: Option<Incarnation>,
    /// The time on the claimant's clock.
    pub at: Timestamp,
}

/// How a claim ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// The claimant owns the agent under this epoch, larger than any before.
    Claimed(Epoch),
    /// A live node owns it.
    Held {
        /// The owner.
        owner: Incarnation,
        /// Its epoch.
        epoch: Epoch,
    },
    /// The claimant itself is dead or was never registered: nothing can be
    /// claimed by it.
    ClaimantDead,
}

/// Whether an agent runs, as far as storage can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AgentStatus {
    /// A node has claimed it and has not given it back. That node may be dead.
    Claimed,
    /// Nobody has claimed it: it sleeps.
    Dormant,
}

/// What storage knows of an agent, without its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRecord {
    /// The agent.
    pub id: AgentId,
    /// Who owns it; none when it is dormant.
    pub owner: Option<Incarnation>,
    /// The epoch of its last claim.
    pub epoch: Epoch,
    /// Its last commit.
    pub revision: Revision,
    /// How many entries its thread has.
    pub thread_len: Seq,
    /// When it was first claimed (again, after a deletion).
    pub created_at: Timestamp,
    /// When it last changed: claim, commit or release.
    pub updated_at: Timestamp,
}

impl AgentRecord {
    /// Whether it is claimed or sleeps.
    pub fn status(&self) -> AgentStatus {
        match self.owner {
            Some(_) => AgentStatus::Claimed,
            None => AgentStatus::Dormant,
        }
    }
}

/// What an agent has asked to be reminded of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reminders {
    /// When it has to be woken at the latest; none when nothing is left to come.
    pub wake_at: Option<Timestamp>,
    /// The reminders themselves. The bytes mean something to those who commit alone.
    pub list: Bytes,
}

/// An agent as it is loaded after a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Its record. The claimant compares the epoch with its own.
    pub record: AgentRecord,
    /// Its last checkpoint.
    pub checkpoint: Option<Checkpoint>,
    /// What its thread says about itself, from the commit that began it.
    pub thread_metadata: BTreeMap<String, String>,
    /// What it has asked to be reminded of.
    pub reminders: Reminders,
    /// Which requests it is known to have applied.
    pub requests: RequestWindow,
}

/// The requests whose records an agent keeps. Nothing is dropped from it but by
/// [`Commit::forget`](crate::Commit::forget) and by deletion: how wide it is, is
/// for those who commit to decide.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestWindow {
    /// Records of requests made before this time may have been dropped.
    pub floor: Timestamp,
    /// The requests that have a record, by the time at which they were made, then by id.
    pub marks: Vec<RequestMark>,
}

/// A request whose effect is committed, without its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestMark {
    /// The request.
    pub request: RequestId,
    /// When its caller made it.
    pub issued_at: Timestamp,
    /// The commit that holds its effect.
    pub revision: Revision,
}

/// A request whose effect is committed, with its reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedRequest {
    /// When its caller made it.
    pub issued_at: Timestamp,
    /// The commit that holds its effect.
    pub revision: Revision,
    /// Its reply, encoded.
    pub reply: Bytes,
}

/// A place in a directory, given by one page and taken by the next. Its bytes
/// mean something to the adapter alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor(pub Bytes);

/// Asks for a page of a manager's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryQuery {
    /// The cluster.
    pub cluster: ClusterName,
    /// The manager.
    pub manager: ManagerName,
    /// Where the page before ended; none for the first.
    pub after: Option<Cursor>,
    /// How many agents at the most; at least 1 is given where there is one.
    pub limit: usize,
}

/// A page of a manager's directory: every agent that is owned or has ever
/// committed, dormant ones too, deleted ones not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryPage {
    /// The agents, in an order that the adapter keeps from page to page.
    pub agents: Vec<AgentRecord>,
    /// Where the next page starts; none after the last.
    pub next: Option<Cursor>,
}

impl DirectoryPage {
    /// The keys on the page.
    pub fn keys(&self) -> impl Iterator<Item = &AgentKey> {
        self.agents.iter().map(|agent| &agent.id.key)
    }
}

/// An agent that is to be woken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// When, as its last commit of reminders says.
    pub wake_at: Timestamp,
    /// Its key.
    pub key: AgentKey,
}

/// Asks for a manager's agents that are to be woken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueQuery {
    /// The cluster.
    pub cluster: ClusterName,
    /// The manager.
    pub manager: ManagerName,
    /// Agents to be woken at this time or before.
    pub until: Timestamp,
    /// The last one of the page before; none for the first.
    pub after: Option<Due>,
    /// How many at the most; 0 is taken as 1.
    pub limit: usize,
}
