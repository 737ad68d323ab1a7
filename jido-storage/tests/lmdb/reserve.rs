//! The room beyond the bound is for what makes room, whichever process has gone there.

use std::collections::BTreeMap;
use std::path::Path;

use jido_core::{AgentId, Epoch, Incarnation, NewEntry, NodeName, Revision, Timestamp};
use jido_storage::{
    AppendOutcome, Commit, ErrorKind, LmdbOptions, LmdbStorage, NodeRegistration, Renewal, Storage,
};

use super::child::{Process, cluster, id, register, take, tell};

const BOUND: usize = 4 << 20;
const BYTES: usize = 50_000;

fn open(folder: &Path) -> LmdbStorage {
    LmdbOptions::new()
        .map_size(1 << 20)
        .max_map_size(BOUND)
        .open(folder)
        .unwrap()
}

fn note(id: &AgentId, epoch: Epoch, revision: u64) -> Commit {
    let mut commit = Commit::new(id.clone(), epoch, Revision(revision), Timestamp(1));
    let entry = NewEntry::new("noted", Timestamp(1), vec![7; BYTES].into());
    commit.entries.push(entry.unwrap());
    commit
}

fn is_full(outcome: &AppendOutcome) -> bool {
    matches!(outcome, AppendOutcome::Failed(error) if error.kind() == ErrorKind::Full)
}

/// Fills the map to its bound, and a part of the reserve with records of nodes.
pub(crate) async fn child(folder: &Path, number: u64) {
    let storage = open(folder);
    let me = register(&storage, number).await;
    let id = id(&format!("a{number}"));
    let epoch = take(&storage, &id, me).await;
    for revision in 0.. {
        let outcome = storage.append(note(&id, epoch, revision)).await;
        if is_full(&outcome) {
            break;
        }
        assert!(
            matches!(outcome, AppendOutcome::Committed(_)),
            "{outcome:?}"
        );
    }
    let data = folder.join("data.mdb");
    for node in 1000.. {
        if std::fs::metadata(&data).unwrap().len() > (BOUND + (1 << 20)) as u64 {
            break;
        }
        let node = NodeRegistration {
            cluster: cluster(),
            name: NodeName::new(format!("n{node}")).unwrap(),
            incarnation: Incarnation(node),
            address: "x".repeat(2 * BYTES),
            metadata: BTreeMap::new(),
            at: Timestamp(1),
        };
        storage.register_node(node).await.unwrap();
    }
    tell("done");
}

#[tokio::test]
async fn one_that_follows_into_the_reserve_has_no_more_room_than_before() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path());
    let me = register(&storage, 0).await;
    let a = id("a0");
    let epoch = take(&storage, &a, me).await;
    let mut process = Process::start("reserve", folder.path(), 1);
    assert_eq!(process.line().as_deref(), Some("done"));
    // Its map has been the small one until here.
    let outcome = storage.append(note(&a, epoch, 0)).await;
    assert!(is_full(&outcome), "{outcome:?}");
    // The reserve is still there for its lease.
    for beat in 2..5 {
        assert_eq!(
            storage.renew_node(&cluster(), me).await.unwrap(),
            Renewal::Renewed(beat)
        );
        let outcome = storage.append(note(&a, epoch, 0)).await;
        assert!(is_full(&outcome), "{outcome:?}");
    }
    process.succeed();
}
