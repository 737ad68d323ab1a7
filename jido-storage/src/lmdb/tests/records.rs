//! Records that are not what was written.

use super::*;
use crate::lmdb::tables::due_key;

#[tokio::test]
async fn every_changed_byte_of_a_record_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let storage = LmdbStorage::open(folder.path()).unwrap();
    register(&storage).await;
    let id = id("a");
    let epoch = claim(&storage, &id).await;
    let request = RequestId::new(3, 4);
    let mut first = commit(&id, epoch, 0, 10);
    first.checkpoint = Some(Checkpoint {
        state: Bytes::from_static(b"state"),
        covers: Seq(1),
    });
    first
        .thread_metadata
        .insert("title".into(), "of the thread".into());
    first.reminders = Some(Reminders {
        wake_at: Some(Timestamp(7)),
        list: Bytes::from_static(b"list"),
    });
    first.requests.push(RequestRecord {
        request,
        issued_at: Timestamp(1),
        reply: Bytes::from_static(b"reply"),
    });
    assert!(matches!(
        storage.append(first).await,
        AppendOutcome::Committed(_)
    ));

    let tables = *storage.handle.env.tables();
    let records = [
        (
            tables.agents,
            agent_key(&id),
            "the record of agent test/agents/a",
        ),
        (
            tables.checkpoints,
            slot_key(0).to_vec(),
            "the checkpoint of agent test/agents/a",
        ),
        (
            tables.entries,
            entry_key(0, Seq(0)).to_vec(),
            "entry 0 of agent test/agents/a",
        ),
        (
            tables.requests,
            request_key(0, request).to_vec(),
            "the record of request",
        ),
        (
            tables.threads,
            slot_key(0).to_vec(),
            "the thread metadata of agent test/agents/a",
        ),
        (
            tables.reminders,
            slot_key(0).to_vec(),
            "the reminders of agent test/agents/a",
        ),
        (
            tables.due,
            due_key(&id, Timestamp(7)),
            "one that is due of test/agents",
        ),
        (tables.nodes, node_key(&cluster(), NODE), "node"),
    ];
    for (table, key, name) in records {
        let whole = storage
            .handle
            .env
            .read(|_, txn| Ok(table.get(txn, &key)?.unwrap().to_vec()))
            .unwrap();
        let mut broken: Vec<Vec<u8>> = (0..whole.len())
            .map(|at| {
                let mut bytes = whole.clone();
                bytes[at] ^= 0x41;
                bytes
            })
            .collect();
        broken.extend((0..whole.len()).map(|len| whole[..len].to_vec()));
        // Every third is enough here: a commit each is a sync each.
        for bytes in broken.iter().step_by(3).chain([&broken[0], &broken[1]]) {
            tamper(&storage, |_, txn| table.put(txn, &key, bytes).unwrap());
            let errors = [
                storage.load(&id).await.err(),
                storage.read_thread(&id, Seq(0), 10).await.err(),
                storage.reply_of(&id, request).await.err(),
                storage.nodes(&cluster()).await.err(),
                storage.due(due_by(7)).await.err(),
            ];
            let error = errors.into_iter().flatten().next().expect("an error");
            let expected =
                if bytes.get(1).is_some_and(|version| *version != whole[1]) && bytes.len() >= 10 {
                    ErrorKind::Schema
                } else {
                    ErrorKind::Corrupt
                };
            assert_eq!(error.kind(), expected, "{error}");
            assert!(error.to_string().contains(name), "{error}");
        }
        tamper(&storage, |_, txn| table.put(txn, &key, &whole).unwrap());
    }

    // A commit over a corrupt record is refused and leaves it as it is; others go on.
    tamper(&storage, |tables, txn| {
        tables.agents.put(txn, &agent_key(&id), b"x").unwrap()
    });
    let outcome = storage.append(commit(&id, epoch, 1, 1)).await;
    assert!(
        matches!(&outcome, AppendOutcome::Failed(e) if e.kind() == ErrorKind::Corrupt),
        "{outcome:?}"
    );
    let stored = storage
        .handle
        .env
        .read(|tables, txn| Ok(tables.agents.get(txn, &agent_key(&id))?.unwrap().to_vec()))
        .unwrap();
    assert_eq!(stored, b"x");
}

#[tokio::test]
async fn a_hole_in_a_thread_is_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    let storage = LmdbStorage::open(folder.path()).unwrap();
    register(&storage).await;
    let id = id("a");
    let epoch = claim(&storage, &id).await;
    for revision in 0..3 {
        assert!(matches!(
            storage.append(commit(&id, epoch, revision, 1)).await,
            AppendOutcome::Committed(_)
        ));
    }
    tamper(&storage, |tables, txn| {
        assert!(tables.entries.delete(txn, &entry_key(0, Seq(1))).unwrap());
    });
    assert_eq!(storage.read_thread(&id, Seq(0), 1).await.unwrap().len(), 1);
    let error = storage.read_thread(&id, Seq(0), 3).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        error.to_string().contains("entry 1 of agent test/agents/a"),
        "{error}"
    );
}

#[tokio::test]
async fn two_keys_of_one_hash_are_never_taken_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let storage = LmdbStorage::open(folder.path()).unwrap();
    register(&storage).await;
    let (mine, other) = (id(&"x".repeat(1000)), id(&"y".repeat(1000)));
    claim(&storage, &other).await;
    // The other's record where mine would stand is what a collision looks like.
    tamper(&storage, |tables, txn| {
        let record = tables.agents.get(txn, &agent_key(&other)).unwrap();
        let record = record.unwrap().to_vec();
        tables.agents.put(txn, &agent_key(&mine), &record).unwrap();
    });
    let error = storage.load(&mine).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("same hash"), "{error}");
    let claimed = ClaimRequest {
        id: mine.clone(),
        claimant: NODE,
        take_from: None,
        at: Timestamp(1),
    };
    assert!(storage.claim(claimed).await.is_err());
    let outcome = storage.append(commit(&mine, Epoch(1), 0, 1)).await;
    assert!(matches!(outcome, AppendOutcome::Failed(_)), "{outcome:?}");
    assert!(storage.load(&other).await.unwrap().is_some());
}

#[tokio::test]
async fn another_schema_is_refused_and_both_versions_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let storage = LmdbStorage::open(folder.path()).unwrap();
    tamper(&storage, |tables, txn| {
        tables.meta.put(txn, b"schema", b"jido\x09\0\0\0").unwrap();
    });
    drop(storage);
    let error = LmdbStorage::open(folder.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    assert!(
        error.to_string().contains("version 9") && error.to_string().contains("has 4"),
        "{error}"
    );
    // It can be looked at again: nothing of the folder was held back or changed.
    assert_eq!(
        LmdbStorage::open(folder.path()).unwrap_err().kind(),
        ErrorKind::Schema
    );
}

#[tokio::test]
async fn files_of_others_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("data.mdb"), vec![3; 10_000]).unwrap();
    let error = LmdbStorage::open(folder.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert_eq!(
        LmdbStorage::open(&file).unwrap_err().kind(),
        ErrorKind::Unavailable
    );
}
