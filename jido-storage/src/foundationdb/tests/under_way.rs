//! Transactions that others come in between.

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::super::agent_ops::Append;
use super::super::database::Transaction;
use super::super::fault::Fault;
use super::super::lanes::Lane;
use super::super::schema::Sweep;
use super::*;

/// Does an operation but for its commit.
async fn begun<O: Operation>(
    double: &Arc<Double>,
    operation: &O,
) -> (Box<dyn Transaction>, O::Output) {
    let tx = Handle(double.clone()).begin().unwrap();
    match operation.run(&layout(), &*tx).await {
        Ok(Step::Write(output)) => (tx, output),
        Ok(Step::Read(_)) => panic!("it wrote nothing"),
        Err(fault) => panic!("{fault:?}"),
    }
}

async fn conflicts(tx: Box<dyn Transaction>) -> bool {
    match tx.commit().await {
        Ok(()) => false,
        Err(failure) => failure.code.0 == 1020,
    }
}

#[tokio::test]
async fn a_claim_comes_in_between_the_commits_of_a_busy_owner() {
    let double = Double::new();
    let (storage, a, epoch) = ready(&double).await;
    let claim = ClaimRequest {
        id: a.clone(),
        claimant: NODE,
        take_from: None,
        at: Timestamp(20),
    };
    let (tx, claimed) = begun(&double, &claim).await;
    let ClaimOutcome::Claimed(next) = claimed else {
        panic!("{claimed:?}")
    };
    let outcome = storage.append(note(&a, epoch, 0, 1)).await;
    assert!(
        matches!(outcome, AppendOutcome::Committed(Revision(1))),
        "{outcome:?}"
    );
    assert!(!conflicts(tx).await, "the claim lost to a commit");
    let outcome = storage.append(note(&a, epoch, 1, 1)).await;
    assert!(
        matches!(outcome, AppendOutcome::Fenced { epoch } if epoch == next),
        "{outcome:?}"
    );
    let record = storage.load(&a).await.unwrap().unwrap().record;
    assert_eq!((record.epoch, record.revision), (next, Revision(1)));
    // It was changed last by the claim, and is again by what is committed under that.
    assert_eq!(record.updated_at, Timestamp(20));
    let outcome = storage.append(note(&a, next, 1, 1)).await;
    assert!(
        matches!(outcome, AppendOutcome::Committed(Revision(2))),
        "{outcome:?}"
    );
    let record = storage.head(&a).await.unwrap().unwrap();
    assert_eq!(record.updated_at, Timestamp(9));
}

#[tokio::test]
async fn a_commit_does_not_take_effect_after_a_claim() {
    let double = Double::new();
    let (storage, a, epoch) = ready(&double).await;
    let commits = Arc::from([note(&a, epoch, 0, 1)]);
    let (tx, _) = begun(&double, &Append { commits }).await;
    claim(&storage, &a).await;
    assert!(conflicts(tx).await, "a commit got past a claim");
    let loaded = storage.load(&a).await.unwrap().unwrap();
    assert_eq!(loaded.record.revision, Revision(0));
}

#[tokio::test]
async fn of_two_commits_for_one_agent_one_takes_effect() {
    let double = Double::new();
    let (storage, a, epoch) = ready(&double).await;
    let commits = Arc::from([note(&a, epoch, 0, 1)]);
    let (tx, _) = begun(&double, &Append { commits }).await;
    let outcome = storage.append(note(&a, epoch, 0, 1)).await;
    assert!(
        matches!(outcome, AppendOutcome::Committed(_)),
        "{outcome:?}"
    );
    assert!(conflicts(tx).await, "both took effect");
}

#[tokio::test]
async fn a_marker_that_is_used_again_is_not_swept() {
    let double = Double::new();
    let (storage, ..) = ready(&double).await;
    double.age(2 * 86_400 * 1_000_000);
    let (tx, ()) = begun(&double, &Sweep { from: 0 }).await;
    let renewal = storage.renew_node(&cluster(), NODE).await.unwrap();
    assert_eq!(renewal, Renewal::Renewed(2));
    assert!(conflicts(tx).await, "the marker was swept");
    assert!(double.everything().contains_key(&layout().marker(1, 0)));
}

/// An operation that has read, and waits until others are done.
struct Held<O> {
    operation: O,
    /// Told once it has read, and what it waits for then: the first time that it is run.
    gate: Mutex<Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>>,
}

#[async_trait]
impl<O: Operation> Operation for Held<O> {
    type Output = O::Output;

    fn name(&self) -> String {
        self.operation.name()
    }

    async fn run(&self, layout: &Layout, tx: &dyn Transaction) -> Result<Step<O::Output>, Fault> {
        let step = self.operation.run(layout, tx).await;
        let gate = self.gate.lock().take();
        if let Some((has_read, go_on)) = gate {
            has_read.send(()).unwrap();
            go_on.await.unwrap();
        }
        step
    }
}

/// Does an operation that has read before `others` begin, and goes on after them.
async fn around<O: Operation>(
    storage: &FoundationDbStorage,
    operation: O,
    others: impl Future<Output = ()>,
) -> O::Output {
    let (has_read, read) = oneshot::channel();
    let (go_on, gone_on) = oneshot::channel();
    let held = Held {
        operation,
        gate: Mutex::new(Some((has_read, gone_on))),
    };
    let others = async {
        read.await.unwrap();
        others.await;
        go_on.send(()).unwrap();
    };
    match tokio::join!(storage.store.transact(&held), others) {
        (Ok(output), ()) => output,
        (Err(Ended::Failed(error) | Ended::Unknown(error, _)), ()) => panic!("{error}"),
    }
}

#[tokio::test]
async fn changes_of_different_agents_and_renewals_do_not_conflict() {
    let double = Double::new();
    let (storage, a, epoch) = ready(&double).await;
    let b = id("b");
    let epoch_of_b = claim(&storage, &b).await;
    let append = async |revision| {
        let outcome = storage.append(note(&a, epoch, revision, 1)).await;
        assert!(
            matches!(outcome, AppendOutcome::Committed(_)),
            "{outcome:?}"
        );
    };

    let commits = Arc::from([note(&b, epoch_of_b, 0, 1)]);
    let outcomes = around(&storage, Append { commits }, async {
        append(0).await;
        let renewal = storage.renew_node(&cluster(), NODE).await.unwrap();
        assert_eq!(renewal, Renewal::Renewed(2));
    });
    let outcomes = outcomes.await;
    assert!(
        matches!(&outcomes[..], [AppendOutcome::Committed(_)]),
        "{outcomes:?}"
    );
    let renew = Renew {
        cluster: cluster(),
        incarnation: NODE,
    };
    let renewal = around(&storage, renew, append(1)).await;
    assert_eq!(renewal, Renewal::Renewed(3));
    let deleted = Delete {
        id: b.clone(),
        epoch: epoch_of_b,
        at: Timestamp(9),
    };
    let outcome = around(&storage, deleted, append(2)).await;
    assert!(
        matches!(outcome, AppendOutcome::Committed(_)),
        "{outcome:?}"
    );
    assert_eq!(double.seen().conflicts, 0);
}

#[tokio::test]
async fn what_writes_nothing_gives_its_lane_back() {
    let double = Double::new();
    let (storage, a, epoch) = ready(&double).await;
    let outcome = storage.append(note(&a, epoch, 7, 1)).await;
    assert!(
        matches!(outcome, AppendOutcome::Conflict { .. }),
        "{outcome:?}"
    );
    let dead = storage.renew_node(&cluster(), Incarnation(99)).await;
    assert_eq!(dead.unwrap(), Renewal::Dead);
    // One after the other, all have had the same one.
    let lanes = &storage.store.lanes;
    assert_eq!((lanes.take(), lanes.take()), (Lane(0), Lane(1)));
}
