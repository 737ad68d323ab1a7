//! A node that leaves hands its agents over, a bounded number at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use jido_core::{Agent, ManagerName};

use super::Router;
use super::passivation::CONCURRENCY;
use crate::activation::Errand;
use crate::telemetry::UNTRACED;

/// How often the log is told how far it is.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The pause before those are tried again that could not go.
const PAUSE: Duration = Duration::from_millis(50);

/// How far a manager is that hands its agents over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainProgress {
    /// The manager.
    pub manager: ManagerName,
    /// How many of its agents have hibernated and were released since the drain began.
    pub moved: usize,
    /// How many are still on the node, running or parked.
    pub left: usize,
}

/// How many agents went; what is no drain counts nothing.
#[derive(Debug, Default)]
pub(super) struct Drained(AtomicUsize);

impl<A: Agent> Router<A> {
    /// Hibernates every agent on this node, a bounded number at a time, until none
    /// is left. Answers how many there were.
    pub(crate) async fn drain(&self) -> usize {
        self.close();
        let mut told = self.core.deadlines.now();
        loop {
            let all = self.local.keys();
            if all.is_empty() {
                return self.progress().moved;
            }
            let mut failed = 0;
            let mut ended =
                futures_util::stream::iter(all)
                    .map(|key| async move {
                        (self.run_here(&key, Errand::Hibernate, &UNTRACED).await, key)
                    })
                    .buffer_unordered(CONCURRENCY);
            while let Some((result, key)) = ended.next().await {
                match result {
                    Ok(()) => {
                        self.drained.0.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(refusal) => tracing::debug!(%key, ?refusal, "an agent is still here"),
                }
                failed += usize::from(self.local.contains(key.as_str()));
                let now = self.core.deadlines.now();
                if now.saturating_sub(told) >= TELL_EVERY {
                    told = now;
                    let DrainProgress { moved, left, .. } = self.progress();
                    tracing::info!(manager = %self.settings.name, moved, left, "agents are handed over");
                }
            }
            if failed > 0 {
                // Storage is away, or an agent is just being activated.
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// How far a drain is, if there is one.
    pub(crate) fn progress(&self) -> DrainProgress {
        DrainProgress {
            manager: self.settings.name.clone(),
            moved: self.drained.0.load(Ordering::Relaxed),
            left: self.local.len(),
        }
    }
}
