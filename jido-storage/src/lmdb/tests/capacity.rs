//! What queues, what shares a transaction, and what no longer fits.

use super::*;

#[tokio::test]
async fn beyond_the_queue_callers_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let storage = LmdbStorage::open(folder.path()).unwrap();
    register(&storage).await;
    let id = id("a");
    let epoch = claim(&storage, &id).await;
    let room = queue::MAX_QUEUED as u64;
    let commits = (0..room + 5)
        .map(|revision| commit(&id, epoch, revision, 1))
        .collect();
    let outcomes = storage.append_many(commits).await;
    let committed = outcomes
        .iter()
        .take_while(|o| matches!(o, AppendOutcome::Committed(_)))
        .count() as u64;
    assert_eq!(committed, room);
    assert!(
        outcomes[committed as usize..]
            .iter()
            .all(|o| matches!(o, AppendOutcome::Failed(e) if e.kind() == ErrorKind::Overloaded))
    );
    assert_eq!(
        storage.head(&id).await.unwrap().unwrap().revision,
        Revision(room)
    );
}

#[tokio::test]
async fn appends_that_wait_share_a_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let storage = LmdbStorage::open(folder.path()).unwrap();
    register(&storage).await;
    let mut commits = Vec::new();
    for n in 0..1000 {
        let id = id(&format!("agent-{n}"));
        let waits = storage.submit(Claim::new(ClaimRequest {
            id: id.clone(),
            claimant: NODE,
            take_from: None,
            at: Timestamp(1),
        }));
        commits.push((id, waits));
    }
    let mut appends = Vec::new();
    for (id, waits) in commits {
        let ClaimOutcome::Claimed(epoch) = outcome_of::<Claim>(waits).await.unwrap() else {
            panic!("not claimed")
        };
        appends.push(commit(&id, epoch, 0, 200));
    }
    let before = storage.transactions();
    let waiting: Vec<_> = appends
        .into_iter()
        .map(|commit| storage.submit(ready(commit)))
        .collect();
    for outcome in waiting {
        assert!(matches!(
            outcome_of::<Append>(outcome).await,
            AppendOutcome::Committed(_)
        ));
    }
    let transactions = storage.transactions() - before;
    assert!(
        (1..=50).contains(&transactions),
        "{transactions} transactions for 1,000 appends"
    );
}

#[test]
fn threads_that_have_read_leave_room_for_many_more() {
    const THREADS: usize = 1_500;
    let folder = tempfile::tempdir().unwrap();
    let storage = LmdbStorage::open(folder.path()).unwrap();
    let env = &storage.handle.env;
    // Each has read, and goes on, so that it keeps its slot.
    let all_have_read = std::sync::Barrier::new(THREADS);
    let all_have_read = &all_have_read;
    std::thread::scope(|scope| {
        let reading = |_| {
            let thread = std::thread::Builder::new().stack_size(256 * 1024);
            let read = move || {
                let read = env.read(|_, _| Ok(()));
                all_have_read.wait();
                read
            };
            thread.spawn_scoped(scope, read).unwrap()
        };
        let threads: Vec<_> = (0..THREADS).map(reading).collect();
        for thread in threads {
            thread.join().unwrap().unwrap();
        }
    });
}

#[tokio::test]
async fn a_full_map_loses_nothing_and_a_delete_heals_it() {
    let folder = tempfile::tempdir().unwrap();
    let bound = 4 << 20;
    let options = LmdbOptions::new().map_size(1 << 20).max_map_size(bound);
    let storage = options.clone().open(folder.path()).unwrap();
    register(&storage).await;
    let (full, other) = (id("full"), id("other"));
    let (epoch, other_epoch) = (claim(&storage, &full).await, claim(&storage, &other).await);
    assert!(matches!(
        storage.append(commit(&other, other_epoch, 0, 10)).await,
        AppendOutcome::Committed(_)
    ));

    let mut revision = 0;
    let error = loop {
        match storage.append(commit(&full, epoch, revision, 50_000)).await {
            AppendOutcome::Committed(now) => revision = now.0,
            AppendOutcome::Failed(error) => break error,
            other => panic!("{other:?}"),
        }
        assert!(revision < 1000, "the bound doesn't hold");
    };
    assert_eq!(error.kind(), ErrorKind::Full);
    let text = error.to_string();
    assert!(
        text.contains(&bound.to_string()) && text.contains("max_map_size"),
        "{text}"
    );
    assert!(revision > 20, "the map did not grow: {revision}");

    // Nothing is lost, leases are still renewed, and a small neighbour of a batch
    // isn't taken down by a large one.
    assert_eq!(
        storage.head(&full).await.unwrap().unwrap().revision,
        Revision(revision)
    );
    assert!(matches!(
        storage.renew_node(&cluster(), NODE).await,
        Ok(Renewal::Renewed(2))
    ));
    let outcomes = storage
        .append_many(vec![
            commit(&full, epoch, revision, 1 << 20),
            commit(&full, Epoch(99), revision, 10),
        ])
        .await;
    assert!(
        matches!(&outcomes[0], AppendOutcome::Failed(e) if e.kind() == ErrorKind::Full),
        "{outcomes:?}"
    );
    assert!(
        matches!(&outcomes[1], AppendOutcome::Fenced { .. }),
        "{outcomes:?}"
    );

    // A delete makes room, at the latest once the lease is renewed again.
    let deleted = storage.delete(&full, epoch, Timestamp(2)).await;
    assert!(
        matches!(deleted, AppendOutcome::Committed(_)),
        "{deleted:?}"
    );
    storage.renew_node(&cluster(), NODE).await.unwrap();
    let outcome = storage
        .append(commit(&other, other_epoch, 1, 1 << 20))
        .await;
    assert!(
        matches!(outcome, AppendOutcome::Committed(Revision(2))),
        "{outcome:?}"
    );
    // The second entry is too large to stand on a page with the first.
    for seq in 0..2 {
        assert_eq!(
            storage
                .read_thread(&other, Seq(seq), 10)
                .await
                .unwrap()
                .len(),
            1
        );
    }

    // So does a larger bound.
    drop(storage);
    let storage = options.max_map_size(64 << 20).open(folder.path()).unwrap();
    let outcome = storage
        .append(commit(&other, other_epoch, 2, 7 << 20))
        .await;
    assert!(
        matches!(outcome, AppendOutcome::Committed(Revision(3))),
        "{outcome:?}"
    );
}

#[test]
fn sizes_out_of_range_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (options, word) in [
        (LmdbOptions::new().map_size(1000), "map_size is 0 bytes"),
        (
            LmdbOptions::new().map_size(2 << 20).max_map_size(1 << 20),
            "max_map_size is 1048576",
        ),
    ] {
        let error = options.open(folder.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(word), "{error}");
    }
}
