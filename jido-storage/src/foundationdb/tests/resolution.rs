//! Commits whose outcome the engine doesn't know.

use super::double::{Fate, Faults};
use super::*;

/// Codes after which a commit may have taken effect.
const UNKNOWN: [i32; 6] = [1021, 1025, 1031, 1039, 1101, 4711];
/// Those among them after which an operation is made again, if it hasn't.
const RETRIED: [i32; 2] = [1021, 1039];

async fn revision(storage: &FoundationDbStorage, id: &AgentId) -> u64 {
    storage.head(id).await.unwrap().unwrap().revision.0
}

#[tokio::test]
async fn a_commit_that_took_effect_is_committed() {
    for code in UNKNOWN {
        let double = Double::new();
        let (storage, a, epoch) = ready(&double).await;
        double.fail_next([(code, Fate::Applied)]);
        let outcome = storage.append(note(&a, epoch, 0, 10)).await;
        assert!(
            matches!(outcome, AppendOutcome::Committed(Revision(1))),
            "{code}: {outcome:?}"
        );
        assert_eq!(storage.read_thread(&a, Seq(0), 9).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_commit_that_did_not_is_made_again_or_fails_for_good() {
    for code in UNKNOWN {
        let double = Double::new();
        let (storage, a, epoch) = ready(&double).await;
        double.fail_next([(code, Fate::Lost)]);
        let outcome = storage.append(note(&a, epoch, 0, 10)).await;
        let expected = u64::from(RETRIED.contains(&code));
        match outcome {
            AppendOutcome::Committed(_) if expected == 1 => {}
            AppendOutcome::Failed(error) if expected == 0 => {
                assert!(error.to_string().contains(&code.to_string()), "{error}");
            }
            other => panic!("{code}: {other:?}"),
        }
        assert_eq!(revision(&storage, &a).await, expected);
    }
}

#[tokio::test]
async fn a_commit_in_flight_is_cut_off_or_seen_whenever_it_comes() {
    for code in UNKNOWN {
        for calls in 0..30 {
            let double = Double::new();
            let (storage, a, epoch) = ready(&double).await;
            double.fail_next([(code, Fate::Late(calls))]);
            let outcome = storage.append(note(&a, epoch, 0, 10)).await;
            // Time for whatever still comes.
            for _ in 0..40 {
                storage.head(&a).await.unwrap();
            }
            let seen = double.seen();
            assert_eq!(seen.late_applied + seen.late_refused, 1);
            match outcome {
                AppendOutcome::Committed(Revision(1)) => {
                    assert_eq!(revision(&storage, &a).await, 1);
                }
                AppendOutcome::Failed(_) => {
                    assert_eq!(revision(&storage, &a).await, 0, "{code} after {calls}");
                    assert_eq!(seen.late_applied, 0);
                }
                other => panic!("{code} after {calls}: {other:?}"),
            }
            let len = storage.read_thread(&a, Seq(0), 9).await.unwrap().len();
            assert_eq!(len as u64, revision(&storage, &a).await);
        }
    }
}

#[tokio::test]
async fn a_look_that_fails_is_made_again() {
    let double = Double::new();
    let (storage, a, epoch) = ready(&double).await;
    double.fail_next([
        (1031, Fate::Late(15)),
        (1021, Fate::Applied),
        (1020, Fate::Lost),
        (1031, Fate::Lost),
        (1039, Fate::Late(3)),
        (1101, Fate::Lost),
    ]);
    let outcome = storage.append(note(&a, epoch, 0, 10)).await;
    match outcome {
        AppendOutcome::Committed(_) => assert_eq!(revision(&storage, &a).await, 1),
        AppendOutcome::Failed(_) => {
            for _ in 0..40 {
                storage.head(&a).await.unwrap();
            }
            assert_eq!(revision(&storage, &a).await, 0);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_can_not_be_found_out_is_unknown_and_its_lane_is_left() {
    let double = Double::new();
    let (storage, a, epoch) = ready(&double).await;
    let b = id("b");
    let epoch_of_b = claim(&storage, &b).await;
    // The commit, and all looks.
    double.fail_next([(1031, Fate::Late(200)); 1]);
    double.fail_next([(1031, Fate::Lost); 3]);
    let commits = vec![
        note(&a, epoch, 0, 10),
        note(&b, Epoch(99), 0, 10),
        note(&b, epoch_of_b, 7, 10),
    ];
    let outcomes = storage.append_many(commits).await;
    // What was refused is refused in any case.
    assert!(
        matches!(
            &outcomes[..],
            [
                AppendOutcome::Unknown(_),
                AppendOutcome::Fenced { .. },
                AppendOutcome::Conflict { .. }
            ]
        ),
        "{outcomes:?}"
    );
    // A claim settles it: the commit in flight conflicts with it.
    let later = claim(&storage, &a).await;
    assert!(later > epoch);
    for _ in 0..250 {
        storage.head(&a).await.unwrap();
    }
    assert_eq!(
        double.seen().late_refused,
        1,
        "it came through behind the claim"
    );
    assert_eq!(revision(&storage, &a).await, 0);
    // Other transactions took another lane: the marker of the first is as it was.
    let lanes = double
        .everything()
        .into_keys()
        .filter(|key| *key >= storage.store.layout.marker(1, 0))
        .count();
    assert_eq!(lanes, 2);
}

#[tokio::test]
async fn nothing_is_done_twice() {
    for (code, fate) in [
        (1021, Fate::Applied),
        (1021, Fate::Lost),
        (1031, Fate::Applied),
        (1039, Fate::Late(0)),
        (1039, Fate::Late(3)),
        (1039, Fate::Late(9)),
    ] {
        let double = Double::new();
        let (storage, a, epoch) = ready(&double).await;
        double.fail_next([(code, fate)]);
        assert_eq!(
            storage.renew_node(&cluster(), NODE).await.unwrap(),
            Renewal::Renewed(2),
            "{code} {fate:?}"
        );
        double.fail_next([(code, fate)]);
        assert_eq!(claim(&storage, &a).await, epoch.next(), "{code} {fate:?}");
        double.fail_next([(code, fate)]);
        let deleted = storage.delete(&a, epoch.next(), Timestamp(9)).await;
        assert!(
            matches!(deleted, AppendOutcome::Committed(Revision(1))),
            "{deleted:?}"
        );
        double.fail_next([(code, fate)]);
        assert!(
            storage
                .declare_dead(&cluster(), NODE, Some(2))
                .await
                .unwrap()
        );
    }
}

#[tokio::test]
async fn a_commit_goes_on_when_nobody_waits() {
    let double = Double::new();
    let (storage, a, epoch) = ready(&double).await;
    {
        let append = storage.append(note(&a, epoch, 0, 10));
        let mut append = std::pin::pin!(append);
        let waker = std::task::Waker::noop();
        let mut context = std::task::Context::from_waker(waker);
        assert!(append.as_mut().poll(&mut context).is_pending());
    }
    // The next commit is behind it, or conflicts with it.
    loop {
        if revision(&storage, &a).await == 1 {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn without_a_runtime_nothing_is_written() {
    let double = Double::new();
    let (storage, a, epoch) = ready(&double).await;
    let outcome = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let append = storage.append(note(&a, epoch, 0, 10));
            let mut append = std::pin::pin!(append);
            let waker = std::task::Waker::noop();
            let mut context = std::task::Context::from_waker(waker);
            append.as_mut().poll(&mut context)
        });
        thread.join().unwrap()
    });
    assert!(matches!(
        outcome,
        std::task::Poll::Ready(AppendOutcome::Failed(_))
    ));
    assert_eq!(revision(&storage, &a).await, 0);
}

#[tokio::test]
async fn conflicts_beyond_the_retries_are_definite() {
    let double = Double::faulty(
        1,
        Faults {
            refused: 1000,
            ..Faults::default()
        },
    );
    let database = Arc::new(Handle(double.clone()));
    let opened = FoundationDbStorage::over(database, PREFIX.to_vec(), 1, 1_000).await;
    let kind = opened.unwrap_err().kind();
    assert!(matches!(
        kind,
        ErrorKind::Overloaded | ErrorKind::Unavailable
    ));
    assert!(double.everything().is_empty());
}
