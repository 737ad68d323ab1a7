//! The contract once more, in plain maps and without a thought for speed.

use std::collections::BTreeMap;

use bytes::Bytes;
use jido_core::{
    AgentId, Entry, Epoch, Incarnation, NodeName, RequestId, Revision, Seq, Timestamp,
};

use crate::{AppendOutcome, ClaimOutcome, ClaimRequest, Commit, CommittedRequest, Reminders};

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) nodes: BTreeMap<Incarnation, (NodeName, u64, bool)>,
    pub(super) agents: BTreeMap<AgentId, Agent>,
}

#[derive(Debug, Default, Clone)]
pub(super) struct Agent {
    pub(super) owner: Option<Incarnation>,
    pub(super) epoch: u64,
    pub(super) revision: u64,
    pub(super) exists: bool,
    pub(super) state: Option<(Bytes, u64)>,
    pub(super) thread: Vec<Entry>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) reminders: Reminders,
    pub(super) requests: BTreeMap<RequestId, CommittedRequest>,
    pub(super) floor: Timestamp,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

/// An outcome without its error, so that two compare.
pub(super) fn plain(outcome: &AppendOutcome) -> String {
    match outcome {
        AppendOutcome::Failed(error) => format!("Failed({:?})", error.kind()),
        AppendOutcome::Unknown(error) => format!("Unknown({error})"),
        other => format!("{other:?}"),
    }
}

impl Model {
    pub(super) fn up(&self, node: Incarnation) -> bool {
        self.nodes.get(&node).is_some_and(|(_, _, up)| *up)
    }

    pub(super) fn register(&mut self, life: Incarnation, name: &NodeName) -> bool {
        if let Some((_, _, up)) = self.nodes.get(&life) {
            return *up;
        }
        if self
            .nodes
            .values()
            .any(|(other, _, up)| other == name && *up)
        {
            return false;
        }
        self.nodes.insert(life, (name.clone(), 1, true));
        true
    }

    pub(super) fn claim(&mut self, claim: &ClaimRequest) -> ClaimOutcome {
        if !self.up(claim.claimant) {
            return ClaimOutcome::ClaimantDead;
        }
        let agent = self.agents.get(&claim.id).cloned().unwrap_or_default();
        match agent.owner {
            Some(owner)
                if owner != claim.claimant && Some(owner) != claim.take_from && self.up(owner) =>
            {
                ClaimOutcome::Held {
                    owner,
                    epoch: Epoch(agent.epoch),
                }
            }
            _ => {
                let agent = self.agents.entry(claim.id.clone()).or_default();
                if !std::mem::replace(&mut agent.exists, true) {
                    agent.created_at = claim.at;
                }
                agent.updated_at = claim.at;
                agent.owner = Some(claim.claimant);
                agent.epoch += 1;
                ClaimOutcome::Claimed(Epoch(agent.epoch))
            }
        }
    }

    pub(super) fn append(&mut self, commit: &Commit) -> String {
        let agent = self.agents.entry(commit.id.clone()).or_default();
        if agent.owner.is_none() || agent.epoch != commit.epoch.0 {
            return plain(&AppendOutcome::Fenced {
                epoch: Epoch(agent.epoch),
            });
        }
        if agent.revision != commit.expected.0 {
            return plain(&AppendOutcome::Conflict {
                actual: Revision(agent.revision),
            });
        }
        let kept = if commit.erase.thread {
            0
        } else {
            agent.thread.len()
        };
        let len = (kept + commit.entries.len()) as u64;
        if commit.checkpoint.as_ref().is_some_and(|c| c.covers.0 > len) {
            return "Failed(InvalidInput)".into();
        }
        let writes = commit.entries.len() + commit.requests.len();
        let erases = commit.erase.thread || commit.erase.checkpoint;
        let changes = commit.checkpoint.is_some() || commit.reminders.is_some();
        if writes > 0 || changes || erases {
            agent.revision += 1;
        }
        if commit.erase.checkpoint {
            agent.state = None;
        }
        if commit.erase.thread {
            agent.thread.clear();
            agent.metadata.clear();
            agent.state = agent.state.take().map(|(state, _)| (state, 0));
        }
        if agent.thread.is_empty() && !commit.entries.is_empty() {
            agent.metadata = commit.thread_metadata.clone();
        }
        for new in &commit.entries {
            let seq = Seq(agent.thread.len() as u64);
            let revision = Revision(agent.revision);
            agent
                .thread
                .push(Entry::committed(new, seq, revision, commit.epoch));
        }
        if let Some(checkpoint) = &commit.checkpoint {
            agent.state = Some((checkpoint.state.clone(), checkpoint.covers.0));
        }
        if let Some(reminders) = &commit.reminders {
            agent.reminders = reminders.clone();
        }
        for request in &commit.forget {
            agent.requests.remove(request);
        }
        for request in &commit.requests {
            let committed = CommittedRequest {
                issued_at: request.issued_at,
                revision: Revision(agent.revision),
                reply: request.reply.clone(),
            };
            agent.requests.entry(request.request).or_insert(committed);
        }
        if let Some(floor) = commit.forget_before {
            agent.floor = agent.floor.max(floor);
        }
        if commit.release {
            agent.owner = None;
        }
        agent.updated_at = commit.at;
        plain(&AppendOutcome::Committed(Revision(agent.revision)))
    }

    pub(super) fn delete(&mut self, id: &AgentId, epoch: Epoch) -> String {
        let agent = self.agents.entry(id.clone()).or_default();
        if agent.owner.is_none() || agent.epoch != epoch.0 {
            return plain(&AppendOutcome::Fenced {
                epoch: Epoch(agent.epoch),
            });
        }
        *agent = Agent {
            epoch: agent.epoch,
            revision: agent.revision + 1,
            ..Agent::default()
        };
        plain(&AppendOutcome::Committed(Revision(agent.revision)))
    }
}
