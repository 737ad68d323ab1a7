//! A commit on its way to storage: timed, counted and followed.

use std::sync::Arc;

use jido_core::Agent;
use jido_storage::{AppendOutcome, Commit, Storage};

use super::running::Running;
use crate::deadlines::Deadlines;
use crate::telemetry::{CommitEnd, ManagerMetrics, Since, Text, Trace};

/// Hands one commit to storage. It keeps nothing of the life that it is made in, since storage may
/// take its time.
pub(super) struct Append {
    storage: Arc<dyn Storage>,
    metrics: Arc<ManagerMetrics>,
    clock: Arc<Deadlines>,
    trace: Trace,
}

impl Append {
    pub(super) async fn run(self, commit: Commit) -> AppendOutcome {
        let Self {
            storage,
            metrics,
            clock,
            trace,
        } = self;
        let began = clock.now();
        let outcome = trace.within(storage.append(commit)).await;
        let how = match &outcome {
            AppendOutcome::Committed(_) => CommitEnd::Committed,
            AppendOutcome::Failed(_) => CommitEnd::Failed,
            AppendOutcome::Fenced { .. } => CommitEnd::Fenced,
            AppendOutcome::Conflict { .. } => CommitEnd::Conflict,
            AppendOutcome::Unknown(_) => CommitEnd::Unknown,
        };
        let since = Since {
            clock: &clock,
            began,
        };
        metrics.committed(how, since);
        trace.ended(how.text());
        outcome
    }
}

impl<A: Agent> Running<A> {
    /// The way of the commit that was planned last.
    pub(super) fn append(&self) -> Append {
        let settings = self.router.settings();
        let whose = self.router.whose(self.id.key.as_str());
        let messages = self.pipeline.flying().map(|held| held.delivery.trace());
        Append {
            storage: settings.storage.clone(),
            metrics: settings.metrics.clone(),
            clock: self.router.core().deadlines.clone(),
            trace: Trace::commit(whose, messages),
        }
    }
}
