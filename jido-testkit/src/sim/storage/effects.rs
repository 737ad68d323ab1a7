//! What takes effect, as it is written down and counted.

use jido_cluster::storage::{AppendOutcome, ClaimOutcome, Commit, Error, Storage};
use jido_cluster::{AgentId, Epoch, Incarnation};

use super::{Change, Fate, Server};

impl Server {
    pub(super) fn count_if(&self, holds: bool, kind: &'static str) {
        if holds {
            self.0.world.count(kind);
        }
    }

    pub(super) fn record(&self, id: &AgentId, epoch: Epoch, change: Change) {
        let now = self.0.world.now();
        self.0.state.lock().journal.record(id, now, epoch, change);
    }

    pub(super) fn claimed(
        &self,
        id: &AgentId,
        owner: Incarnation,
        taken: bool,
        outcome: &Result<ClaimOutcome, Error>,
    ) {
        match outcome {
            Ok(ClaimOutcome::Claimed(epoch)) => {
                self.record(id, *epoch, Change::Claimed { owner });
                self.0.world.count("claimed");
                self.count_if(taken, "claimed from a live owner that is out of reach");
            }
            Ok(ClaimOutcome::Held { .. }) => self.0.world.count("claim held by another"),
            Ok(ClaimOutcome::ClaimantDead) => self.0.world.count("claim by a dead node"),
            Err(_) => {}
        }
    }

    /// Appends, one after the other, and writes down what was committed.
    pub(super) async fn append(&self, commits: Vec<Commit>) -> Vec<AppendOutcome> {
        let fate = self.0.state.lock().fate;
        let late = fate == Some(Fate::Late);
        let mut outcomes = Vec::with_capacity(commits.len());
        self.count_if(commits.len() > 1, "commits of several agents in one batch");
        for commit in commits {
            let (id, epoch, before) = (commit.id.clone(), commit.epoch, commit.expected);
            let change = |revision| Change::Committed {
                before,
                revision,
                counts: commit.advances_revision(),
                state: commit.checkpoint.as_ref().map(|c| c.state.clone()),
                entries: commit.entries.len() as u64,
                release: commit.release,
            };
            let outcome = self.0.memory.append(commit.clone()).await;
            match &outcome {
                AppendOutcome::Committed(revision) => {
                    self.record(&id, epoch, change(*revision));
                    self.0.world.count("committed");
                    self.count_if(commit.release, "released");
                    let alone = commit.checkpoint.is_none() && !commit.entries.is_empty();
                    self.count_if(alone, "entries committed without a checkpoint");
                    let unanswered = fate != Some(Fate::Well);
                    self.count_if(unanswered, "append took effect and its outcome is unknown");
                    self.count_if(late, "append took effect late");
                }
                AppendOutcome::Fenced { .. } => {
                    self.0.world.count("append fenced");
                    self.count_if(late, "late append fenced");
                }
                AppendOutcome::Conflict { actual } => {
                    let change = Change::Conflicted {
                        expected: before,
                        actual: *actual,
                    };
                    self.record(&id, epoch, change);
                    self.0.world.count("append in conflict");
                }
                AppendOutcome::Unknown(_) | AppendOutcome::Failed(_) => {}
            }
            outcomes.push(outcome);
        }
        outcomes
    }
}
