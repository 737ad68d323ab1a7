//! Transactions that others come in between.

use super::super::agent_ops::Append;
use super::super::database::Transaction;
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
