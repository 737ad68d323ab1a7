//! A node's lease in one storage, and the watch that it keeps over others.
//!
//! A node registers its life and renews its beat. Whoever sees a beat unchanged
//! for the time to live, on its own clock, may declare that life dead, which is
//! final: its agents may then be claimed by others, and the node itself, should it
//! still be there, stops all that it runs as soon as it hears of it.
//!
//! The steps of leases are modelled in `jido-testkit/tests/model/life.rs`: whoever
//! changes one changes the other.

mod parting;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jido_storage::{
    NodeRecord, NodeRegistration, NodeState, Registration, Renewal, Storage, is_planted,
};

use crate::error::{Error, ErrorKind};
use crate::members::Member;
use crate::node::Core;
use crate::runtime::OwnedTask;
use crate::telemetry::RenewalEnd;
use crate::transport::Peer;
use parting::Partings;
use watch::{TTL_METADATA, Watch, parts};

/// When a node may take an agent over from another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Takeover {
    /// When its owner has released it, or is dead: shut down, or without a renewal
    /// of its lease for the time to live. A node that has no session with it, while another
    /// has, reaches it by way of that one.
    #[default]
    AfterLease,
    /// As soon as the session to its owner is gone, too. Writes stay fenced: an
    /// owner that is cut off but runs on can commit nothing any more. Until it
    /// notices that a session has ended, or its lease has, it may answer leased reads from a
    /// state that is no longer the latest.
    OnDisconnect,
}

/// How often, within the time to live, a node looks at others' beats, and renews its
/// own lease if the last renewal failed.
const LOOKS: u32 = 9;

/// Every how many looks a lease is renewed.
const RENEWED_EVERY: u32 = 3;

/// For how many looks storage is waited for. What takes longer may never come, as by a connection
/// that is cut without a word, and when a renewal is given up there is still time for another.
const PATIENCE: u32 = 2;

/// How long it is waited for at the least by who holds a lease.
const LEAST_PATIENCE: Duration = Duration::from_millis(250);

/// The same for who registers, for whom connections have yet to be made.
const LEAST_TO_REGISTER: Duration = Duration::from_secs(3);

/// For how much of the time to live, in parts of 80, a node takes its own lease as
/// held, counted from before the renewal was sent: a fifth less than others give it, for
/// clocks of two machines that drift apart by up to a quarter.
const HELD: u32 = 56;

/// The shortest pause between two looks: clocks may differ by so much from timers.
const LEAST_PAUSE: Duration = Duration::from_millis(2);

/// The lease of this node in one storage.
#[derive(Debug)]
pub(crate) struct Lease {
    storage: Arc<dyn Storage>,
    /// When the last renewal that went well was sent, in milliseconds of the
    /// environment's clock.
    renewed_ms: AtomicU64,
    /// How many sessions had ended when all of their peers were dead, or back for a while.
    rejoined: AtomicU64,
    ttl: Duration,
}

/// The lease with the task that renews it.
#[derive(Debug)]
pub(crate) struct HeldLease {
    pub(crate) lease: Arc<Lease>,
    _task: OwnedTask,
}

impl Lease {
    /// Registers this node in a storage and goes on renewing. Waits for a former
    /// life of the same name that no longer renews to run out.
    pub(crate) async fn hold(
        core: &Arc<Core>,
        storage: Arc<dyn Storage>,
        ttl: Duration,
    ) -> Result<HeldLease, Error> {
        let sent = register(core, &*storage, ttl).await?;
        let lease = Arc::new(Self {
            storage,
            renewed_ms: AtomicU64::new(0),
            rejoined: AtomicU64::new(0),
            ttl,
        });
        lease.note(sent);
        let task = OwnedTask::spawn(renew(lease.clone(), Arc::downgrade(core)));
        Ok(HeldLease { lease, _task: task })
    }

    pub(crate) fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    fn patience(&self) -> Duration {
        patience(self.ttl).max(LEAST_PATIENCE)
    }

    fn note(&self, sent: Duration) {
        let sent = u64::try_from(sent.as_millis()).unwrap_or(u64::MAX);
        self.renewed_ms.store(sent, Ordering::Release);
    }

    /// Whether the last renewal, counted from before it was sent, is so young that
    /// nobody can have declared this life dead, even if clocks drift.
    pub(crate) fn is_held(&self, now: Duration) -> bool {
        let renewed = Duration::from_millis(self.renewed_ms.load(Ordering::Acquire));
        now.saturating_sub(renewed) < parts(self.ttl, HELD)
    }

    /// Whether this node has, or had a moment ago, no session with another that goes on, as far
    /// as storage has told: that one may be taking agents over.
    pub(crate) fn may_be_cut_off(&self, core: &Core) -> bool {
        self.rejoined.load(Ordering::Acquire) != core.members.partings()
    }

    /// Ends this life in storage, so that nobody waits for the lease to run out.
    pub(crate) async fn give_up(&self, core: &Core) {
        if let Err(error) = self
            .storage
            .declare_dead(&core.cluster, core.incarnation, None)
            .await
        {
            tracing::warn!(%error, "the lease was not given up and will run out by itself");
        }
    }
}

fn patience(ttl: Duration) -> Duration {
    ttl / LOOKS * PATIENCE
}

/// Registers this life; answers when the registration that went well was sent, from
/// when on the lease counts.
async fn register(core: &Core, storage: &dyn Storage, ttl: Duration) -> Result<Duration, Error> {
    let mut watch = Watch::default();
    let mut first_beat = None;
    let patience = patience(ttl).max(LEAST_TO_REGISTER);
    loop {
        let registration = NodeRegistration {
            cluster: core.cluster.clone(),
            name: core.name.clone(),
            incarnation: core.incarnation,
            address: core.transport.address(),
            metadata: metadata(core, ttl),
            at: core.environment.wall(),
        };
        let sent = core.environment.elapsed();
        let registered = in_time(patience, storage.register_node(registration)).await?;
        let other = match registered {
            Registration::Registered(_) => return Ok(sent),
            Registration::NameTaken(other) => other,
        };
        let beat = *first_beat.get_or_insert((other.incarnation, other.beat));
        if other.incarnation == core.incarnation || beat != (other.incarnation, other.beat) {
            return Err(Error::new(
                ErrorKind::Startup,
                format!(
                    "a node named {} is up already, at {}: every node needs a name of its own",
                    other.name, other.address
                ),
            ));
        }
        if first_beat.is_some() {
            tracing::debug!(node = %other.name, "waiting for a former life's lease to run out");
        }
        let now = core.environment.elapsed();
        for (life, beat) in watch.observe(now, std::slice::from_ref(&other), ttl) {
            let declared = storage.declare_dead(&core.cluster, life, Some(beat));
            in_time(patience, declared).await?;
        }
        tokio::time::sleep(ttl / 20).await;
    }
}

/// What a node's record says besides: what others judge it by, and its labels for those who
/// look at records.
fn metadata(core: &Core, ttl: Duration) -> BTreeMap<String, String> {
    let mut metadata = BTreeMap::from([(TTL_METADATA.to_owned(), ttl.as_millis().to_string())]);
    let view = core.members.view();
    if let Some(Member { labels, .. }) = view.get(core.incarnation) {
        let named = [
            ("zone", labels.zone()),
            ("region", labels.region()),
            ("version", labels.version()),
        ];
        for (name, label) in named {
            metadata.extend(label.map(|label| (name.to_owned(), label.to_owned())));
        }
        metadata.insert("weight".to_owned(), labels.weight().to_string());
    }
    metadata
}

/// Whether the lease was held when it was looked at last.
struct Held(bool);

impl Held {
    /// It is not, which counts once.
    fn lost(&mut self, core: &Core) {
        if std::mem::take(&mut self.0) {
            core.metrics.lapsed();
        }
    }
}

async fn renew(lease: Arc<Lease>, core: std::sync::Weak<Core>) {
    let (mut watch, mut partings) = (Watch::default(), Partings::default());
    let mut look = lease.ttl / LOOKS;
    let mut looks = 0;
    let mut slept = Duration::ZERO;
    let mut held = Held(true);
    loop {
        let pause = look
            .min((lease.ttl / LOOKS).saturating_sub(slept))
            .max(LEAST_PAUSE);
        tokio::time::sleep(pause).await;
        let Some(core) = core.upgrade() else { return };
        // A look between two is for one beat that has stood still long enough by now.
        slept += pause;
        if slept >= lease.ttl / LOOKS {
            (slept, looks) = (Duration::ZERO, looks + 1);
        }
        if looks >= RENEWED_EVERY {
            let sent = core.environment.elapsed();
            let renewal = lease.storage.renew_node(&core.cluster, core.incarnation);
            // One that is counted from its receipt shows where receipts are waited for.
            let patience = match is_planted!(LeaseFromReceipt) {
                true => Duration::MAX,
                false => lease.patience(),
            };
            let renewal = in_time(patience, renewal).await;
            core.metrics.renewed(match renewal {
                Ok(Renewal::Renewed(_)) => RenewalEnd::Renewed,
                Ok(Renewal::Dead) => RenewalEnd::Dead,
                Err(_) => RenewalEnd::Failed,
            });
            match renewal {
                Ok(Renewal::Renewed(_)) => {
                    // Before it is held again: what was noticed by its end stays so.
                    if !lease.is_held(core.environment.elapsed()) {
                        core.exchange.suspect();
                        held.lost(&core);
                    }
                    lease.note(match is_planted!(LeaseFromReceipt) {
                        true => core.environment.elapsed(),
                        false => sent,
                    });
                    looks = 0;
                }
                Ok(Renewal::Dead) => return core.declared_dead(),
                Err(error) => tracing::warn!(%error, "the lease was not renewed"),
            }
        }
        match lease.is_held(core.environment.elapsed()) {
            true => held = Held(true),
            false => held.lost(&core),
        }
        match watch_others(&lease, &core, &mut watch, &mut partings).await {
            Ok(next) => look = next,
            Err(error) => {
                look = lease.ttl;
                tracing::warn!(%error, "the other nodes' leases were not read");
            }
        }
    }
}

/// What storage answers, unless it takes too long. It may have done it all the same, or do it
/// later, which does no harm: a renewal that nobody heard of only makes others wait longer.
async fn in_time<T>(
    limit: Duration,
    asked: impl Future<Output = Result<T, jido_storage::Error>>,
) -> Result<T, jido_storage::Error> {
    match tokio::time::timeout(limit, asked).await {
        Ok(answered) => answered,
        Err(_elapsed) => Err(jido_storage::Error::new(
            jido_storage::ErrorKind::Unavailable,
            format!("storage gave no answer within {} ms", limit.as_millis()),
        )),
    }
}

/// Looks at others' beats; answers how long until one may have stood still for too long.
async fn watch_others(
    lease: &Lease,
    core: &Core,
    watch: &mut Watch,
    partings: &mut Partings,
) -> Result<Duration, jido_storage::Error> {
    // Before the records are read, so that they tell of each of these peers.
    let parted = core.members.partings();
    let mut records = in_time(lease.patience(), lease.storage.nodes(&core.cluster)).await?;
    records.retain(|record| record.incarnation != core.incarnation);
    let now = core.environment.elapsed();
    let mut up = records.iter().filter(|other| other.state == NodeState::Up);
    let any_away = up.any(|other| core.members.is_gone(other.incarnation));
    if partings.observe(now, parted, any_away, lease.ttl / LOOKS)
        && lease.rejoined.load(Ordering::Acquire) != parted
    {
        core.exchange.suspect();
        lease.rejoined.store(parted, Ordering::Release);
    }
    for (life, beat) in watch.observe(now, &records, lease.ttl) {
        tracing::info!(incarnation = %life, "a node's lease has run out");
        core.metrics.expired();
        let declared = lease.storage.declare_dead(&core.cluster, life, Some(beat));
        in_time(lease.patience(), declared).await?;
    }
    let next = watch.next(&records, lease.ttl);
    let next = next.map_or(lease.ttl, |next| next.saturating_sub(now));
    let view = core.members.view();
    for record in records {
        if record.state == NodeState::Dead && view.contains(record.incarnation) {
            core.exchange.died(record.incarnation);
        }
        if record.state == NodeState::Up && !view.contains(record.incarnation) {
            let NodeRecord {
                name,
                incarnation,
                address,
                ..
            } = record;
            core.transport.discovered(Peer {
                name,
                incarnation,
                address,
            });
        }
    }
    Ok(next)
}
