//! Tests that need to see inside: raw records, hashes, the queue, the map's bound.

mod capacity;
#[cfg(target_os = "linux")]
mod disk;
mod first;
mod fuzz;
mod records;
mod refused;

use std::sync::Arc;

use bytes::Bytes;
use heed::RwTxn;
use jido_core::{
    AgentId, AgentKey, Checkpoint, ClusterName, Epoch, Incarnation, ManagerName, NewEntry,
    NodeName, RequestId, Revision, Seq, Timestamp,
};

use super::codec::encode;
use super::tables::{AgentRow, Tables, agent_key, entry_key, node_key, request_key, slot_key};
use super::*;
use crate::{ClaimOutcome, Reminders, RequestRecord};

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

async fn register(storage: &dyn Storage) {
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

async fn claim(storage: &dyn Storage, id: &AgentId) -> Epoch {
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

fn ready(commit: Commit) -> Append {
    Append::new(commit, MAX_COMMIT_BYTES).unwrap()
}

fn due_by(until: u64) -> DueQuery {
    DueQuery {
        cluster: cluster(),
        manager: ManagerName::new("agents").unwrap(),
        until: Timestamp(until),
        after: None,
        limit: 10,
    }
}

/// Writes past the storage, as a fault of the disk would.
fn tamper(storage: &LmdbStorage, work: impl FnOnce(&Tables, &mut RwTxn<'_>)) {
    let env = &storage.handle.env;
    let mut txn = env.begin().unwrap();
    work(env.tables(), &mut txn.txn);
    env.commit(txn).unwrap();
}

#[tokio::test]
async fn what_is_written_is_read_also_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let request = RequestId::new(3, 4);
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
            issued_at: Timestamp(1),
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
            storage
                .reply_of(&id("a"), request)
                .await
                .unwrap()
                .unwrap()
                .reply,
            "reply"
        );
    }
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

/// One that drops its last handle isn't waited for by one that it waits for.
#[test]
fn a_folder_is_opened_again_while_its_last_handle_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..50 {
                    drop(LmdbStorage::open(folder.path()).unwrap());
                }
            });
        }
    });
}

#[tokio::test]
async fn what_is_queued_is_finished_when_the_storage_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let storage = LmdbStorage::open(folder.path()).unwrap();
    register(&storage).await;
    let id = id("a");
    let epoch = claim(&storage, &id).await;
    let waiting: Vec<_> = (0..500)
        .map(|revision| storage.submit(ready(commit(&id, epoch, revision, 100))))
        .collect();
    drop(storage);
    for (at, outcome) in waiting.into_iter().enumerate() {
        let outcome = outcome_of::<Append>(outcome).await;
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
