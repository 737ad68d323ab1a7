//! Agents that are not used move down: they are parked, and then they hibernate.

mod choice;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use jido_core::Agent;

use super::Router;
use crate::local::{Gauge, Resting, millis};
use crate::runtime::OwnedTask;
use crate::telemetry::UNTRACED;

pub(crate) use choice::{Capacity, Patience};
use choice::{Load, choose};

/// How many agents of one node begin to move down at a time: enough to fill the batches of a
/// storage, few enough to leave it room for those that still serve.
pub(super) const CONCURRENCY: usize = 64;

/// How long one of them is waited for, which began something else meanwhile: those that are
/// found next don't wait for it.
const BUSY: Duration = Duration::from_secs(5);

/// How often unused agents are looked for, at the most and at the least.
const SWEEP: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(30));

/// How many times as long as a look at all agents took the next one is put off at the
/// least, so that looking takes no more than a tenth of the time.
const PUT_OFF: u32 = 9;

/// How long a manager that is over its capacity waits before it looks again when too few
/// agents could go: from the first to the second.
const CROWDED: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

impl<A: Agent> Router<A> {
    /// Moves unused agents down for as long as the task is kept; none where nothing says
    /// that any should.
    pub(crate) fn passivation(self: &Arc<Self>) -> Option<OwnedTask> {
        let patience = self.settings.patience;
        let shortest = patience.hibernate.into_iter().chain(patience.park).min();
        let every = shortest.map(|time| (time / 4).clamp(SWEEP.0, SWEEP.1));
        if every.is_none() && self.settings.capacity == Capacity::default() {
            return None;
        }
        let router = self.clone();
        Some(OwnedTask::spawn(async move {
            let (mut pause, mut looked) = (Duration::ZERO, Duration::ZERO);
            loop {
                let tick = async {
                    match every {
                        Some(every) => tokio::time::sleep(every.max(looked * PUT_OFF)).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    () = router.crowded.notified() => {}
                    () = tick => {}
                }
                looked = Box::pin(router.sweep()).await;
                if !router.is_crowded() {
                    pause = Duration::ZERO;
                    continue;
                }
                // Those that are left are used or attached: to look at all of them again
                // for each that comes would cost more than they do.
                pause = (pause * 2).clamp(CROWDED.0, CROWDED.1);
                tokio::time::sleep(pause).await;
                router.crowded.notify_one();
            }
        }))
    }

    fn load(&self) -> Load {
        Load {
            agents: self.local.len(),
            bytes: self.local.bytes(),
        }
    }

    fn is_crowded(&self) -> bool {
        self.settings.capacity.is_exceeded(self.load())
    }

    /// More agents, or more bytes of them, are here than before.
    pub(super) fn has_grown(&self) {
        if self.settings.capacity != Capacity::default() && self.is_crowded() {
            self.crowded.notify_one();
        }
    }

    /// Counts the length of an agent's serialized state.
    pub(crate) fn weigh(&self, gauge: &Gauge, bytes: usize) {
        if self.local.weigh(gauge, bytes) {
            self.has_grown();
        }
    }

    /// Looks at all agents once, and moves those down that are unused for long enough,
    /// or are the least recently used ones beyond the manager's capacity. Answers how
    /// long looking took.
    async fn sweep(&self) -> Duration {
        let begun = self.core.deadlines.now();
        let now = millis(begun);
        let (patience, capacity) = (self.settings.patience, self.settings.capacity);
        let crowded = self.is_crowded();
        self.expire_attachments();
        let wanted = |one: &_| crowded || patience.is_over(one, now);
        let is_free = |one: &Resting| !self.attachments.holds(one.key.as_str(), now);
        let resting = self.local.resting(|one| wanted(one) && is_free(one)).await;
        let chosen = choose(patience, capacity, self.load(), now, resting);
        let looked = self.core.deadlines.now().saturating_sub(begun);
        futures_util::stream::iter(chosen)
            .for_each_concurrent(CONCURRENCY, |(key, errand)| async move {
                let told = self.run_here(&key, errand, &UNTRACED);
                match tokio::time::timeout(BUSY, told).await {
                    Ok(Ok(())) => tracing::trace!(%key, ?errand, "an unused agent was told"),
                    Ok(Err(refusal)) => tracing::debug!(%key, ?refusal, "an unused agent stays"),
                    // Once it comes to it, it sees that it was used since.
                    Err(_) => tracing::debug!(%key, ?errand, "an agent is busy after all"),
                }
            })
            .await;
        looked
    }
}
