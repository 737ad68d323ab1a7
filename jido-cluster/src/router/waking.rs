//! Agents that are to be reminded are woken: each node looks in storage for those that are due.
//!
//! An agent that runs is woken by its own alarm. This is for all others, and for alarms that
//! a jump of the clock has left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use jido_core::{Agent, AgentKey, Executed, Incarnation, Timestamp};
use jido_storage::{Due, DueQuery, Sharing, is_planted};

use super::request::in_time;
use super::{Router, Target};
use crate::activation::{ActivationMessage, Errand};
use crate::delivery::Refusal;
use crate::environment::spread;
use crate::error::Error;
use crate::runtime::OwnedTask;
use crate::telemetry::UNTRACED;

/// How many agents are read at a time, and how many of those are woken at a time.
const PAGE: usize = 256;
const CONCURRENCY: usize = 64;

/// How long waking one may take before others get its turn: what it began goes on.
const PATIENCE: Duration = Duration::from_secs(5);

/// For how long one is left alone that can't be woken from here, or runs elsewhere already;
/// and how late it has to be for a node to look whether it owns it, which nobody places there.
const ASIDE: Duration = Duration::from_secs(10);

/// How many are remembered that are left alone.
const MAX_ASIDE: usize = 100_000;

/// Those that are left alone: as long as they are due at the same time and placed on the
/// same node, and until then.
#[derive(Debug, Default)]
struct Aside(BTreeMap<AgentKey, (Timestamp, Target, Duration)>);

impl Aside {
    fn holds(&self, due: &Due, place: Target, now: Duration) -> bool {
        let kept = self.0.get(&due.key);
        kept.is_some_and(|kept| kept.0 == due.wake_at && kept.1 == place && now < kept.2)
    }

    fn put(&mut self, due: Due, place: Target, now: Duration) {
        if self.0.len() < MAX_ASIDE {
            self.0.insert(due.key, (due.wake_at, place, now + ASIDE));
        }
    }

    fn forget_before(&mut self, now: Duration) {
        self.0.retain(|_, (_, _, until)| now < *until);
    }
}

/// What came of looking at one that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looked {
    /// It runs here now.
    Woken,
    /// It is for another node to wake.
    NotOurs,
    /// Nothing more can be done from here for the moment.
    InVain,
}

/// Whether one should have been woken long before `now`.
fn is_late(due: &Due, now: Timestamp) -> bool {
    let late = now.since_unix_epoch();
    late.saturating_sub(due.wake_at.since_unix_epoch()) >= ASIDE
}

impl<A: Agent> Router<A> {
    /// Wakes agents for as long as the task is kept; none where nobody wants that.
    pub(crate) fn waking(self: &Arc<Self>) -> Option<OwnedTask> {
        let every = self.settings.wake_every?;
        let router = self.clone();
        Some(OwnedTask::spawn(async move {
            let mut aside = Aside::default();
            while !router.is_closed() {
                tokio::time::sleep(spread(&*router.core.environment, every)).await;
                if let Err(error) = Box::pin(router.wake_due(&mut aside)).await {
                    tracing::warn!(
                        manager = %router.settings.name, %error,
                        "storage did not tell which agents are to be reminded"
                    );
                }
            }
        }))
    }

    /// Wakes all that are due, page by page.
    async fn wake_due(&self, aside: &mut Aside) -> Result<(), Error> {
        aside.forget_before(self.core.deadlines.now());
        let until = self.core.environment.wall();
        let mut sharing = None;
        let mut after = None;
        loop {
            let query = DueQuery {
                cluster: self.core.cluster.clone(),
                manager: self.settings.name.clone(),
                until,
                after,
                limit: PAGE,
            };
            let page = self.settings.storage.due(query).await?;
            let is_last = page.len() < PAGE;
            after = page.last().cloned();
            let now = self.core.deadlines.now();
            let mut wanted = Vec::new();
            for due in page {
                let key = due.key.as_str();
                let place = self.target(key, self.key_hash(key), true);
                let runs = self.local.tell(key, ActivationMessage::Wake);
                if (runs || self.local.contains(key)) && is_late(&due, until) {
                    // One that knows of it, also while it is parked, would have come to it: perhaps
                    // another node has set it, and this one has not heard that it owns the agent
                    // no more.
                    drop(self.confirm_one(&due.key));
                }
                if !runs && !aside.holds(&due, place, now) {
                    wanted.push((due, place));
                }
            }
            if is_planted!(DormantNotWoken) {
                wanted.clear();
            }
            if !wanted.is_empty() && sharing.is_none() {
                sharing = Some(self.sharing().await?);
            }
            let sharing = sharing.as_ref();
            let mut woken = futures_util::stream::iter(wanted)
                .map(|(due, place)| async move {
                    (self.wake(&due, place, until, sharing).await, due, place)
                })
                .buffer_unordered(CONCURRENCY);
            while let Some((looked, due, place)) = woken.next().await {
                if looked == Looked::Woken {
                    self.settings.metrics.woken();
                }
                if looked == Looked::InVain {
                    aside.put(due, place, self.core.deadlines.now());
                }
            }
            if is_last || self.is_closed() {
                return Ok(());
            }
        }
    }

    /// The lives of nodes that see the same records, where not all do.
    pub(super) async fn sharing(&self) -> Result<Option<BTreeSet<Incarnation>>, Error> {
        let storage = &self.settings.storage;
        if storage.capabilities().sharing == Sharing::Cluster {
            return Ok(None);
        }
        let nodes = storage.nodes(&self.core.cluster).await?;
        Ok(Some(
            nodes.into_iter().map(|node| node.incarnation).collect(),
        ))
    }

    /// Wakes an agent that doesn't run here, if that is for this node to do. `sharing` tells who
    /// shares the storage, where not all do.
    async fn wake(
        &self,
        due: &Due,
        place: Target,
        now: Timestamp,
        sharing: Option<&Option<BTreeSet<Incarnation>>>,
    ) -> Looked {
        let key = &due.key;
        let shares = |node| match sharing {
            Some(Some(sharing)) => sharing.contains(&node),
            Some(None) | None => true,
        };
        let woken = match place {
            // By the way of all calls: should another node own it, it is woken there.
            Target::Here => match self.run(key, Errand::Activate, PATIENCE).await {
                Ok(Target::Here) => Ok(()),
                Ok(_) => return Looked::InVain,
                Err(error) => Err(error),
            },
            // Parked here, or where nobody else can see it.
            Target::There { node, .. } if self.local.contains(key.as_str()) || !shares(node) => {
                self.wake_here(key).await
            }
            Target::There { .. } if is_late(due, now) => {
                match self.owns(key).await.unwrap_or(false) {
                    true => self.wake_here(key).await,
                    false => return Looked::InVain,
                }
            }
            Target::There { .. } | Target::Nowhere => return Looked::NotOurs,
        };
        match woken {
            Ok(()) => Looked::Woken,
            Err(error) => {
                tracing::debug!(%key, %error, "an agent was not woken for its reminder");
                Looked::InVain
            }
        }
    }

    async fn wake_here(&self, key: &AgentKey) -> Result<(), Error> {
        let woken = async {
            let woken = self.run_here(key, Errand::Activate, &UNTRACED).await;
            woken.map_err(Refusal::into_error)
        };
        in_time(PATIENCE, Executed::Maybe, woken).await
    }

    /// Whether storage says that this node owns an agent, which it may not run: a claim that
    /// could not be given back.
    pub(super) async fn owns(&self, key: &AgentKey) -> Result<bool, jido_storage::Error> {
        let record = self.settings.storage.head(&self.agent_id(key)).await?;
        Ok(record.is_some_and(|record| record.owner == Some(self.core.incarnation)))
    }
}
