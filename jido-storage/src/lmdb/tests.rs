//! Tests that need to see inside: raw records, hashes, the queue, the map's bound.

use std::sync::Arc;

use bytes::Bytes;
use heed::RwTxn;
use jido_core::{
    AgentId, AgentKey, Checkpoint, ClusterName, Epoch, Incarnation, ManagerName, NewEntry,
    NodeName, RequestId, Revision, Seq, Timestamp,
};

use super::tables::{
    AgentRow, Tables, agent_key, checkpoint_key, encode, entry_key, node_key, request_key,
};
use super::*;
use crate::{ClaimOutcome, RequestRecord};

const NODE: Incarnation = Incarnation(7);

fn cluster() -> ClusterName {
    ClusterName::new("test").unwrap()
}

fn id(key: &str) -> AgentId {
    AgentId::new(
        cluster(),
        ManagerName::new("agents").unwrap(),
        AgentKey::new(key).unwrap(),
    )
}

fn entry(len: usize) -> NewEntry {
    NewEntry::new("noted", Timestamp(1), Bytes::from(vec![7; len])).unwrap()
}

async fn register(storage: &LmdbStorage) {
    let node = NodeRegistration {
        cluster: cluster(),
        name: NodeName::new("n1").unwrap(),
        incarnation: NODE,
        address: "here".into(),
        metadata: BTreeMap::new(),
        at: Timestamp(1),
    };
    storage.register_node(node).await.unwrap();
}

async fn claim(storage: &LmdbStorage, id: &AgentId) -> Epoch {
    let claim = ClaimRequest {
        id: id.clone(),
        claimant: NODE,
        take_from: None,
        at: Timestamp(1),
    };
    match storage.claim(claim).await.unwrap() {
        ClaimOutcome::Claimed(epoch) => epoch,
        other => panic!("not claimed: {other:?}"),
    }
}

fn commit(id: &AgentId, epoch: Epoch, expected: u64, len: usize) -> Commit {
    let mut commit = Commit::new(id.clone(), epoch, Revision(expected), Timestamp(1));
    commit.entries.push(entry(len));
    commit
}

/// Writes past the storage, as a fault of the disk would.
fn tamper(storage: &LmdbStorage, work: impl FnOnce(&Tables, &mut RwTxn<'_>)) {
    let env = &storage.handle.env;
    let mut txn = env.begin().unwrap();
    work(env.tables(), &mut txn);
    env.commit(txn).unwrap();
}

#[tokio::test]
async fn what_is_written_is_read_also_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let request = RequestId { client: 3, seq: 4 };
    for round in 1..=2u64 {
        let storage = LmdbStorage::open(folder.path()).unwrap();
        register(&storage).await;
        let epoch = claim(&storage, &id("a")).await;
        assert_eq!(epoch, Epoch(round));
        let mut commit = commit(&id("a"), epoch, round - 1, 200);
        commit.checkpoint = Some(Checkpoint {
            state: Bytes::from_static(b"state"),
            covers: Seq(round),
        });
        commit.requests.push(RequestRecord {
            request,
            reply: Bytes::from_static(b"reply"),
        });
        let outcome = storage.append(commit).await;
        assert!(
            matches!(outcome, AppendOutcome::Committed(r) if r == Revision(round)),
            "{outcome:?}"
        );
        let loaded = storage.load(&id("a")).await.unwrap().unwrap();
        assert_eq!(loaded.record.thread_len, Seq(round));
        assert_eq!(loaded.checkpoint.unwrap().covers, Seq(round));
        assert_eq!(
            storage
                .read_thread(&id("a"), Seq(0), 10)
                .await
                .unwrap()
                .len() as u64,
            round
        );
        assert_eq!(
            storage.reply_of(&id("a"), request).await.unwrap().unwrap(),
            "reply"
        );
    }
}

#[tokio::test]
async fn every_changed_byte_of_a_record_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let storage = LmdbStorage::open(folder.path()).unwrap();
    register(&storage).await;
    let id = id("a");
    let epoch = claim(&storage, &id).await;
    let request = RequestId { client: 3, seq: 4 };
    let mut first = commit(&id, epoch, 0, 10);
    first.checkpoint = Some(Checkpoint {
        state: Bytes::from_static(b"state"),
        covers: Seq(1),
    });
    first.requests.push(RequestRecord {
        request,
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
            checkpoint_key(0).to_vec(),
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
            "the reply of request",
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
        let row: AgentRow = tables.agent(txn, &other).unwrap().unwrap();
        tables
            .agents
            .put(txn, &agent_key(&mine), &encode(&row).unwrap())
            .unwrap();
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
        error.to_string().contains("version 9") && error.to_string().contains("has 1"),
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

#[tokio::test]
async fn a_folder_is_shared_within_a_process() {
    let folder = tempfile::tempdir().unwrap();
    let one = LmdbStorage::open(folder.path()).unwrap();
    let two = LmdbStorage::open(folder.path().join(".")).unwrap();
    assert!(Arc::ptr_eq(&one.handle, &two.handle));
    let error = LmdbOptions::new()
        .map_size(1 << 20)
        .open(folder.path())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    drop(one);
    register(&two).await;
    drop(two);
    let again = LmdbOptions::new()
        .map_size(1 << 20)
        .open(folder.path())
        .unwrap();
    assert_eq!(again.nodes(&cluster()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_queued_is_finished_when_the_storage_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let storage = LmdbStorage::open(folder.path()).unwrap();
    register(&storage).await;
    let id = id("a");
    let epoch = claim(&storage, &id).await;
    let waiting: Vec<_> = (0..500)
        .map(|revision| storage.submit(commit(&id, epoch, revision, 100)))
        .collect();
    drop(storage);
    for (at, outcome) in waiting.into_iter().enumerate() {
        let outcome = outcome_of::<Commit>(outcome).await;
        assert!(
            matches!(outcome, AppendOutcome::Committed(r) if r.0 == at as u64 + 1),
            "{outcome:?}"
        );
    }
    let storage = LmdbStorage::open(folder.path()).unwrap();
    assert_eq!(
        storage.head(&id).await.unwrap().unwrap().revision,
        Revision(500)
    );
}

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
        let waits = storage.submit(ClaimRequest {
            id: id.clone(),
            claimant: NODE,
            take_from: None,
            at: Timestamp(1),
        });
        commits.push((id, waits));
    }
    let mut appends = Vec::new();
    for (id, waits) in commits {
        let ClaimOutcome::Claimed(epoch) = outcome_of::<ClaimRequest>(waits).await.unwrap() else {
            panic!("not claimed")
        };
        appends.push(commit(&id, epoch, 0, 200));
    }
    let before = storage.transactions();
    let waiting: Vec<_> = appends
        .into_iter()
        .map(|commit| storage.submit(commit))
        .collect();
    for outcome in waiting {
        assert!(matches!(
            outcome_of::<Commit>(outcome).await,
            AppendOutcome::Committed(_)
        ));
    }
    let transactions = storage.transactions() - before;
    assert!(
        (1..=50).contains(&transactions),
        "{transactions} transactions for 1,000 appends"
    );
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
