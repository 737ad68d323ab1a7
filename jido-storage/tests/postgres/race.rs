//! Several pools at once, as the nodes of a cluster have them.

use jido_core::{Incarnation, Seq, Timestamp};
use jido_storage::{AppendOutcome, ClaimOutcome, ClaimRequest, Storage};

use crate::fixture::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn batches_in_opposite_orders_do_not_lock_each_other_out() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let keys: Vec<String> = (0..20).map(|n| format!("k{n:02}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let (one, epochs) = claimed(options(&url), &keys).await;
    let other = connect(&url).await;
    for round in 0..30 {
        let mut batch: Vec<_> = keys
            .iter()
            .zip(&epochs)
            .map(|(key, epoch)| note(key, *epoch, round))
            .collect();
        let forth = batch.clone();
        batch.reverse();
        let (forth, back) = tokio::join!(one.append_many(forth), other.append_many(batch));
        for (forth, back) in forth.iter().zip(back.iter().rev()) {
            let mut won = 0;
            for outcome in [forth, back] {
                match outcome {
                    AppendOutcome::Committed(revision) => {
                        assert_eq!(revision.0, round + 1);
                        won += 1;
                    }
                    AppendOutcome::Conflict { actual } => assert_eq!(actual.0, round + 1),
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(won, 1, "in round {round}");
        }
    }
    let mut session = Session::open(&url).await;
    let deadlocks =
        "select deadlocks::text from pg_stat_database where datname = current_database()";
    assert_eq!(session.ask(deadlocks).await, "0");
}

/// A deletion doesn't see what an append writes that it waits for; nobody else may
/// see it either.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_left_of_an_append_that_a_deletion_waited_for() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let (one, _) = claimed(options(&url), &[]).await;
    let other = connect(&url).await;
    let mut session = Session::open(&url).await;
    let mut appended = 0;
    for round in 0..20 {
        let key = format!("k{round}");
        let epoch = claim(&one, &key).await;
        session.hold(&key).await;
        let append = {
            let (one, commit) = (one.clone(), note(&key, epoch, 0));
            tokio::spawn(async move { one.append(commit).await })
        };
        session.waiting(1).await;
        let delete = {
            let (other, id) = (other.clone(), id(&key));
            tokio::spawn(async move { other.delete(&id, epoch, Timestamp(9)).await })
        };
        session.waiting(2).await;
        session.let_go().await;
        appended += u64::from(matches!(append.await.unwrap(), AppendOutcome::Committed(_)));
        let revision = committed(&delete.await.unwrap());

        let epoch = claim(&one, &key).await;
        assert!(
            one.read_thread(&id(&key), Seq(0), 9)
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(
            committed(&one.append(note(&key, epoch, revision)).await),
            revision + 1
        );
        assert_eq!(
            one.read_thread(&id(&key), Seq(0), 9).await.unwrap().len(),
            1
        );
    }
    assert!(appended > 0, "no append came first");
}

/// A claim waits for the declaration that its node is dead, and the other way round:
/// once declared, nothing more is claimed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_claimed_by_a_node_once_it_is_declared_dead() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let (one, _) = claimed(options(&url), &[]).await;
    let other = connect(&url).await;
    for round in 0..30u128 {
        let life = Incarnation(100 + round);
        register(&one, life).await;
        let claiming = {
            let one = one.clone();
            tokio::spawn(async move {
                for n in 0.. {
                    let claim = ClaimRequest {
                        id: id(&format!("{}-{n}", life.0)),
                        claimant: life,
                        take_from: None,
                        at: Timestamp(2),
                    };
                    if one.claim(claim).await.unwrap() == ClaimOutcome::ClaimantDead {
                        return n;
                    }
                }
                unreachable!("it is declared dead")
            })
        };
        assert!(other.declare_dead(&cluster(), life, None).await.unwrap());
        let mut session = Session::open(&url).await;
        let count = format!(
            "select count(*)::text from agent where key like '{}-%'",
            life.0
        );
        let then = session.ask(&*count).await;
        let claimed = claiming.await.unwrap();
        assert_eq!(session.ask(count).await, then, "one was claimed afterwards");
        assert_eq!(claimed.to_string(), then);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn renewals_do_not_wait_for_claims() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let (storage, _) = claimed(options(&url), &["a"]).await;
    let mut session = Session::open(&url).await;
    session.hold("a").await;
    let claiming = {
        let storage = storage.clone();
        tokio::spawn(async move { try_claim(&storage, "a").await })
    };
    session.waiting(1).await;
    // The claim holds its node's record by now.
    let renewed = storage.renew_node(&cluster(), NODE).await.unwrap();
    assert_eq!(renewed, jido_storage::Renewal::Renewed(2));
    assert!(!claiming.is_finished());
    session.let_go().await;
    let claimed = claiming.await.unwrap().unwrap();
    assert!(matches!(claimed, ClaimOutcome::Claimed(_)), "{claimed:?}");
}
