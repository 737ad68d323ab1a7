//! Processes that die while they hold something of LMDB's.

use std::path::Path;

use bytes::Bytes;
use heed::EnvOpenOptions;
use jido_core::{Checkpoint, Revision, Seq, Timestamp};
use jido_storage::{AppendOutcome, Commit, LmdbOptions, LmdbStorage, Storage};

use super::child::{PATIENCE, Process, id, register, take, tell};
use super::ledger::whole;

const WRITER: u64 = 0;
const READER: u64 = 1;

/// Holds a transaction of LMDB's own until it is killed.
pub(crate) fn child(folder: &Path, what: u64) {
    #[allow(
        unsafe_code,
        reason = "heed asks that nothing but LMDB changes the files: the folder is the test's own"
    )]
    let env = unsafe {
        EnvOpenOptions::new()
            .max_readers(1024)
            .max_dbs(8)
            .open(folder)
    }
    .unwrap();
    if what == WRITER {
        let _held = env.write_txn().unwrap();
        tell("held");
        loop {
            std::thread::park();
        }
    }
    let _held = env.read_txn().unwrap();
    tell("held");
    loop {
        std::thread::park();
    }
}

#[tokio::test]
async fn the_lock_of_a_writer_that_was_killed_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let storage = LmdbStorage::open(folder.path()).unwrap();
    let me = register(&storage, 0).await;
    let a = id("a");
    let epoch = take(&storage, &a, me).await;
    for round in 1..=5 {
        let mut process = Process::start("hold", folder.path(), WRITER);
        assert_eq!(process.line().as_deref(), Some("held"));
        let storage = storage.clone();
        let append = whole(&a, epoch, round);
        let appended = tokio::spawn(async move { storage.append(append).await });
        tokio::task::yield_now().await;
        assert!(!appended.is_finished(), "two write at once");
        process.kill();
        let outcome = tokio::time::timeout(PATIENCE, appended)
            .await
            .expect("the lock is free");
        let outcome = outcome.unwrap();
        assert!(
            matches!(outcome, AppendOutcome::Committed(now) if now.0 == round),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn a_reader_that_was_killed_does_not_fill_the_map() {
    let folder = tempfile::tempdir().unwrap();
    let options = LmdbOptions::new().map_size(16 << 20).max_map_size(16 << 20);
    let storage = options.open(folder.path()).unwrap();
    let me = register(&storage, 0).await;
    let a = id("a");
    let epoch = take(&storage, &a, me).await;
    let mut process = Process::start("hold", folder.path(), READER);
    assert_eq!(process.line().as_deref(), Some("held"));
    process.kill();
    process.rest();
    drop(process);
    // Every state takes the place of an older one, which the reader would still see.
    for revision in 0..60 {
        let mut commit = Commit::new(a.clone(), epoch, Revision(revision), Timestamp(1));
        let state = Bytes::from(vec![revision as u8; 1 << 20]);
        commit.checkpoint = Some(Checkpoint {
            state,
            covers: Seq(0),
        });
        let outcome = storage.append(commit).await;
        assert!(
            matches!(outcome, AppendOutcome::Committed(_)),
            "{revision}: {outcome:?}"
        );
    }
}
