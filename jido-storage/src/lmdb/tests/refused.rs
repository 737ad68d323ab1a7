//! An append that is refused leaves everything as it was, whatever it would have erased,
//! and its neighbours in the transaction go on.

use super::*;
use crate::{Erase, MemoryStorage};

/// An agent with three entries, a checkpoint that covers two, and a title.
async fn filled(storage: &dyn Storage) -> Epoch {
    register(storage).await;
    let epoch = claim(storage, &id("a")).await;
    let mut first = commit(&id("a"), epoch, 0, 10);
    first.entries.extend([entry(20), entry(30)]);
    first.thread_metadata.insert("title".into(), "first".into());
    first.checkpoint = Some(checkpoint(2));
    let outcome = storage.append(first).await;
    assert!(
        matches!(outcome, AppendOutcome::Committed(_)),
        "{outcome:?}"
    );
    epoch
}

fn checkpoint(covers: u64) -> Checkpoint {
    Checkpoint {
        state: Bytes::from_static(b"state"),
        covers: Seq(covers),
    }
}

fn erasing(epoch: Epoch, expected: u64, checkpoint: bool) -> Commit {
    let mut erasing = commit(&id("a"), epoch, expected, 5);
    erasing.erase = Erase {
        checkpoint,
        thread: true,
    };
    erasing
}

#[tokio::test]
async fn an_erasure_over_a_corrupt_checkpoint_leaves_the_thread_whole() {
    let folder = tempfile::tempdir().unwrap();
    let storage = LmdbStorage::open(folder.path()).unwrap();
    let epoch = filled(&storage).await;
    let other = claim(&storage, &id("b")).await;
    let tables = *storage.handle.env.tables();
    let record = storage
        .handle
        .env
        .read(|tables, txn| Ok(tables.checkpoints.get(txn, &slot_key(0))?.unwrap().to_vec()));
    tamper(&storage, |tables, txn| {
        tables.checkpoints.put(txn, &slot_key(0), b"x").unwrap();
    });
    let head = storage.head(&id("a")).await.unwrap();
    let thread = storage.read_thread(&id("a"), Seq(0), 10).await.unwrap();
    assert_eq!(thread.len(), 3);

    // In one transaction with another, which commits.
    let outcomes = storage
        .append_many(vec![
            erasing(epoch, 1, false),
            commit(&id("b"), other, 0, 5),
        ])
        .await;
    assert!(
        matches!(&outcomes[0], AppendOutcome::Failed(e) if e.kind() == ErrorKind::Corrupt),
        "{outcomes:?}"
    );
    assert!(
        matches!(outcomes[1], AppendOutcome::Committed(_)),
        "{outcomes:?}"
    );
    assert_eq!(storage.head(&id("a")).await.unwrap(), head);
    let after = storage.read_thread(&id("a"), Seq(0), 10).await.unwrap();
    assert_eq!(after, thread);

    tamper(&storage, |_, txn| {
        let record = record.unwrap();
        tables.checkpoints.put(txn, &slot_key(0), &record).unwrap();
    });
    let loaded = storage.load(&id("a")).await.unwrap().unwrap();
    assert_eq!(loaded.checkpoint, Some(checkpoint(2)));
    assert_eq!(loaded.thread_metadata["title"], "first");
    // One that takes the checkpoint along does not have to read it.
    tamper(&storage, |tables, txn| {
        tables.checkpoints.put(txn, &slot_key(0), b"x").unwrap();
    });
    let outcome = storage.append(erasing(epoch, 1, true)).await;
    assert!(
        matches!(outcome, AppendOutcome::Committed(_)),
        "{outcome:?}"
    );
    let thread = storage.read_thread(&id("a"), Seq(0), 10).await.unwrap();
    assert_eq!(thread.len(), 1);
}

/// What an outcome says, without the words of its error.
fn told(outcome: &AppendOutcome) -> String {
    match outcome {
        AppendOutcome::Failed(error) => format!("failed: {:?}", error.kind()),
        AppendOutcome::Unknown(error) => format!("unknown: {:?}", error.kind()),
        other => format!("{other:?}"),
    }
}

/// Batches of erasures, most of them refused, for every reason there is.
fn batches(epoch: Epoch) -> Vec<Vec<Commit>> {
    let changed = |change: fn(&mut Commit)| {
        let mut commit = erasing(epoch, 1, false);
        commit.forget_before = Some(Timestamp(9));
        change(&mut commit);
        commit
    };
    let conflict = changed(|commit| commit.expected = Revision(0));
    let fenced = changed(|commit| commit.epoch = Epoch(99));
    let large = changed(|commit| commit.entries.push(entry(MAX_COMMIT_BYTES)));
    let covers = changed(|commit| commit.checkpoint = Some(checkpoint(2)));
    let nul = changed(|commit| commit.entries[0].kind = "a\0b".into());
    let stranger = changed(|commit| commit.id = id("nobody"));
    let refused = vec![conflict, fenced, large, covers, nul, stranger];
    let mut mixed = refused.clone();
    mixed.insert(3, erasing(epoch, 1, false));
    let mut twice = vec![erasing(epoch, 2, true), erasing(epoch, 2, true)];
    twice[1].entries.clear();
    vec![refused, mixed, twice]
}

#[tokio::test]
async fn a_refused_erasure_leaves_what_it_leaves_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let lmdb = LmdbStorage::open(folder.path()).unwrap();
    let memory = MemoryStorage::new();
    let epoch = filled(&lmdb).await;
    assert_eq!(filled(&memory).await, epoch);
    let before = lmdb.load(&id("a")).await.unwrap();
    for (at, batch) in batches(epoch).into_iter().enumerate() {
        let ours = lmdb.append_many(batch.clone()).await;
        let reference = memory.append_many(batch).await;
        let ours: Vec<String> = ours.iter().map(told).collect();
        let reference: Vec<String> = reference.iter().map(told).collect();
        assert_eq!(ours, reference, "batch {at}");
        let loaded = lmdb.load(&id("a")).await.unwrap();
        if at == 0 {
            assert!(ours.iter().all(|outcome| !outcome.contains("Committed")));
            assert_eq!(loaded, before);
        }
        assert_eq!(loaded, memory.load(&id("a")).await.unwrap(), "batch {at}");
        assert_eq!(
            lmdb.read_thread(&id("a"), Seq(0), 10).await.unwrap(),
            memory.read_thread(&id("a"), Seq(0), 10).await.unwrap(),
            "batch {at}"
        );
    }
}
