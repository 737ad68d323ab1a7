//! A storage that fails before, fails after, or doesn't say.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jido_cluster::storage::{
    AgentRecord, AppendOutcome, ClaimOutcome, ClaimRequest, Commit, Error, ErrorKind, Layer,
    Loaded, MemoryStorage, NodeRegistration, Renewal, Storage,
};
use jido_cluster::{
    AgentId, Checkpoint, ClusterName, Durability, Epoch, Executed, Incarnation, NodeName, Seq,
    Timestamp,
};

use crate::harness::{Cluster, Message};

#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(u8)]
pub(crate) enum Fault {
    None = 0,
    FailBefore,
    UnknownNotApplied,
    UnknownApplied,
    Unavailable,
    /// Commits take effect and are told of 3 s later; renewals fail.
    SlowAcks,
    /// The next renewal is never answered.
    SilentRenewal,
    /// Agents are taken over 3 s late.
    SlowTakeover,
    /// As `UnknownNotApplied`, and another node has had the agent in between.
    UnknownAndTaken,
    /// The next commit, or look at who owns agents, panics.
    PanicOnce,
}

#[derive(Debug)]
pub(crate) struct Faulty {
    inner: Arc<MemoryStorage>,
    fault: AtomicU8,
    /// How often many records were asked for at once.
    pub(crate) heads: AtomicU8,
}

impl Faulty {
    pub(crate) fn new() -> Arc<Self> {
        Self::of(Arc::new(MemoryStorage::shared()))
    }

    /// Another way to the same storage, with faults of its own.
    pub(crate) fn beside(&self) -> Arc<Self> {
        Self::of(self.inner.clone())
    }

    fn of(inner: Arc<MemoryStorage>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            fault: AtomicU8::new(0),
            heads: AtomicU8::new(0),
        })
    }

    pub(crate) fn set(&self, fault: Fault) {
        self.fault.store(fault as u8, Ordering::SeqCst);
    }

    fn panic_if_asked(&self) {
        if self.is(Fault::PanicOnce) {
            self.set(Fault::None);
            panic!("panicked as asked");
        }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault.load(Ordering::SeqCst) == fault as u8
    }

    /// Another node claims the agent, commits something else on the same revision,
    /// and releases it.
    async fn take_meanwhile(&self, lost: Commit) {
        let other = Incarnation(77);
        let registration = NodeRegistration {
            cluster: lost.id.cluster.clone(),
            name: NodeName::new("other").unwrap(),
            incarnation: other,
            address: String::new(),
            metadata: Default::default(),
            at: lost.at,
        };
        self.inner.register_node(registration).await.unwrap();
        let take_from = self.inner.head(&lost.id).await.unwrap().unwrap().owner;
        let (id, at) = (lost.id.clone(), lost.at);
        let claim = ClaimRequest {
            id,
            claimant: other,
            take_from,
            at,
        };
        let ClaimOutcome::Claimed(epoch) = self.inner.claim(claim).await.unwrap() else {
            panic!("the claim was refused");
        };
        let mut state = bytes::BytesMut::new();
        jido_core::encode_state(&crate::harness::Counter { count: 500 }, &mut state).unwrap();
        let checkpoint = Some(Checkpoint {
            state: state.freeze(),
            covers: Seq(0),
        });
        let other = Commit {
            epoch,
            checkpoint,
            entries: vec![],
            requests: vec![],
            release: true,
            ..lost
        };
        let outcome = self.inner.append(other).await;
        assert!(
            matches!(outcome, AppendOutcome::Committed(_)),
            "{outcome:?}"
        );
    }

    fn reachable(&self) -> Result<(), Error> {
        if self.is(Fault::Unavailable) {
            return Err(Error::new(ErrorKind::Unavailable, "the storage is away"));
        }
        Ok(())
    }
}

/// A storage whose commits take 5 ms.
pub(crate) fn slow() -> Arc<dyn Storage> {
    Faulty::new()
}

#[async_trait]
impl Layer for Faulty {
    fn inner(&self) -> &dyn Storage {
        &*self.inner
    }

    async fn renew_node(&self, cluster: &ClusterName, life: Incarnation) -> Result<Renewal, Error> {
        self.reachable()?;
        if self.is(Fault::SlowAcks) {
            return Err(Error::new(ErrorKind::Unavailable, "failed as asked"));
        }
        if self.is(Fault::SilentRenewal) {
            self.set(Fault::None);
            std::future::pending::<()>().await;
        }
        self.inner.renew_node(cluster, life).await
    }

    async fn claim(&self, claim: ClaimRequest) -> Result<ClaimOutcome, Error> {
        self.reachable()?;
        if self.is(Fault::SlowTakeover) && claim.take_from.is_some() {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        self.inner.claim(claim).await
    }

    async fn load(&self, id: &AgentId) -> Result<Option<Loaded>, Error> {
        self.reachable()?;
        self.inner.load(id).await
    }

    async fn heads(&self, ids: &[AgentId]) -> Result<Vec<Option<AgentRecord>>, Error> {
        self.heads.fetch_add(1, Ordering::SeqCst);
        self.panic_if_asked();
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.reachable()?;
        self.inner.heads(ids).await
    }

    async fn append_many(&self, commits: Vec<Commit>) -> Vec<AppendOutcome> {
        // A commit takes its time, so that messages come while it is in flight.
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.panic_if_asked();
        let failed = || Error::new(ErrorKind::Unavailable, "failed as asked");
        let lost: Vec<usize> = (0..commits.len()).collect();
        if self.is(Fault::FailBefore) || self.is(Fault::Unavailable) {
            return lost
                .into_iter()
                .map(|_| AppendOutcome::Failed(failed()))
                .collect();
        }
        if self.is(Fault::UnknownNotApplied) {
            self.set(Fault::None);
            return lost
                .into_iter()
                .map(|_| AppendOutcome::Unknown(failed()))
                .collect();
        }
        if self.is(Fault::UnknownAndTaken) {
            self.set(Fault::None);
            for commit in commits {
                self.take_meanwhile(commit).await;
            }
            return lost
                .into_iter()
                .map(|_| AppendOutcome::Unknown(failed()))
                .collect();
        }
        let outcomes = self.inner.append_many(commits).await;
        if self.is(Fault::SlowAcks) {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        if self.is(Fault::UnknownApplied) {
            self.set(Fault::None);
            return lost
                .into_iter()
                .map(|_| AppendOutcome::Unknown(failed()))
                .collect();
        }
        outcomes
    }

    async fn delete(&self, id: &AgentId, epoch: Epoch, at: Timestamp) -> AppendOutcome {
        if self.is(Fault::FailBefore) || self.is(Fault::Unavailable) {
            let failed = Error::new(ErrorKind::Unavailable, "failed as asked");
            return AppendOutcome::Failed(failed);
        }
        self.inner.delete(id, epoch, at).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_failed_is_undone_and_tried_again_until_time_runs_out() {
    let storage = Faulty::new();
    let nodes = Cluster::on(storage.clone()).start_many(1).await;
    let handle = &nodes[0].1;
    handle.call("a", Message::Add(1)).await.unwrap();
    storage.set(Fault::FailBefore);
    // The second and third build on the first while its commit is in flight.
    let (a, b, c) = tokio::join!(
        handle.call("a", Message::Add(10)),
        handle.call("a", Message::Add(100)),
        handle.call("a", Message::Get),
    );
    for error in [a.unwrap_err(), b.unwrap_err()] {
        assert_eq!(error.kind(), jido_cluster::ErrorKind::Timeout);
        assert!(error.is_retryable());
    }
    assert_eq!(c.unwrap(), 1, "a read that saw what was undone reads again");
    let late = handle.call("a", Message::Add(1));
    let heals = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        storage.set(Fault::None);
    };
    assert_eq!(tokio::join!(late, heals).0.unwrap(), 2);
    let reply = handle.request("a", Message::Add(1)).send().await.unwrap();
    assert_eq!((reply.value, reply.epoch.0, reply.revision.0), (3, 1, 3));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_that_took_effect_is_found_and_answered() {
    let storage = Faulty::new();
    let nodes = Cluster::on(storage.clone()).start_many(1).await;
    let handle = &nodes[0].1;
    handle.call("a", Message::Add(1)).await.unwrap();
    storage.set(Fault::UnknownApplied);
    let (a, b) = tokio::join!(
        handle.request("a", Message::Add(10)).send(),
        handle.request("a", Message::Add(100)).send(),
    );
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!((a.value, a.revision.0), (11, 2));
    assert_eq!((b.value, b.revision.0), (111, 3));
    assert!(b.epoch.0 > 1, "a new epoch settled it");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_without_effect_is_undone_and_tried_again() {
    let storage = Faulty::new();
    let nodes = Cluster::on(storage.clone()).start_many(1).await;
    let handle = &nodes[0].1;
    handle.call("a", Message::Add(1)).await.unwrap();
    storage.set(Fault::UnknownNotApplied);
    let reply = handle.request("a", Message::Add(10)).send().await.unwrap();
    assert_eq!((reply.value, reply.revision.0), (11, 2));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_not_mistaken_for_anothers_commit() {
    let storage = Faulty::new();
    let nodes = Cluster::on(storage.clone()).start_many(1).await;
    let handle = &nodes[0].1;
    handle.call("a", Message::Add(1)).await.unwrap();
    storage.set(Fault::UnknownAndTaken);
    // Not known for sure by the activation, which ends: the next one finds no record of
    // the request, and applies it to what is there.
    assert_eq!(handle.call("a", Message::Add(10)).await.unwrap(), 510);
    assert_eq!(handle.call("a", Message::Add(1)).await.unwrap(), 511);
}

#[tokio::test(start_paused = true)]
async fn with_hibernate_an_unknown_outcome_loses_nothing_that_is_still_here() {
    for (fault, stopped) in [
        (Fault::UnknownNotApplied, false),
        (Fault::UnknownApplied, true),
    ] {
        let storage = Faulty::new();
        let cluster = Cluster::on(storage.clone());
        let node = cluster.node("n1").start().await.unwrap();
        let manager = cluster.manager().durability(Durability::Hibernate);
        let handle = manager.start(&node).await.unwrap();
        handle.call("a", Message::Add(1)).await.unwrap();
        storage.set(fault);
        assert_eq!(handle.stop("a").await.is_ok(), stopped);
        assert_eq!(handle.call("a", Message::Add(1)).await.unwrap(), 2);
        assert!(handle.stop("a").await.unwrap());
        assert_eq!(handle.call("a", Message::Get).await.unwrap(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn while_storage_is_away_callers_are_told_and_it_heals_by_itself() {
    let storage = Faulty::new();
    let nodes = Cluster::on(storage.clone()).start_many(2).await;
    let handle = &nodes[0].1;
    handle.call("running", Message::Add(1)).await.unwrap();
    storage.set(Fault::Unavailable);
    // Wherever a caller's time ends between the tries, it is told for certain.
    for more in 0..40 {
        let time = Duration::from_millis(1000 + 7 * more);
        let error = handle
            .call_timeout("running", Message::Add(1), time)
            .await
            .unwrap_err();
        assert!(error.is_retryable());
        assert_eq!(error.executed(), Executed::No);
    }
    assert_eq!(handle.call("running", Message::Get).await.unwrap(), 1);
    let error = handle
        .call_timeout("cold", Message::Get, Duration::from_secs(1))
        .await
        .unwrap_err();
    assert!(error.is_retryable());
    assert_eq!(error.executed(), Executed::No);
    storage.set(Fault::None);
    assert_eq!(handle.call("running", Message::Add(1)).await.unwrap(), 2);
    assert_eq!(handle.call("cold", Message::Add(1)).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_could_not_be_given_back_does_not_lock_the_key() {
    let storage = Faulty::new();
    let cluster = Cluster::on(storage.clone());
    let nodes = cluster.start_many(2).await;
    for i in 0..30 {
        let key = format!("key-{i}");
        nodes[0].1.call(&key, Message::Add(1)).await.unwrap();
        storage.set(Fault::FailBefore);
        assert!(nodes[0].1.stop(&key).await.unwrap());
        storage.set(Fault::None);
    }
    // A third node is now placed for some of the keys, whose claims n1 and n2 hold.
    let (node, third) = cluster.start("n3").await;
    crate::harness::met(&node, 3).await;
    // Whatever is asked of them first.
    for i in 0..30 {
        let key = format!("key-{i}");
        match i % 4 {
            0 => drop(third.get(&key).await.unwrap()),
            1 => drop(third.attach(&key).await.unwrap()),
            2 => {
                third.delete(&key).await.unwrap();
                continue;
            }
            _ => {}
        }
        assert_eq!(third.call(&key, Message::Get).await.unwrap(), 1);
    }
}
