//! The map grows under the load of several processes.

use std::path::Path;

use jido_core::{AgentId, Epoch, Incarnation, Revision, Timestamp};
use jido_storage::{AppendOutcome, Commit, LmdbOptions, LmdbStorage, Storage};

use super::child::{Process, id, register, take, tell};

const COMMITS: u64 = 100;
const BYTES: usize = 150_000;

fn open(folder: &Path) -> LmdbStorage {
    LmdbOptions::new()
        .map_size(1 << 20)
        .max_map_size(1 << 30)
        .open(folder)
        .unwrap()
}

fn large(id: &AgentId, epoch: Epoch, revision: u64) -> Commit {
    let mut commit = Commit::new(id.clone(), epoch, Revision(revision), Timestamp(1));
    let payload = vec![revision as u8; BYTES].into();
    commit
        .entries
        .push(jido_core::NewEntry::new("large", Timestamp(1), payload).unwrap());
    commit
}

async fn fill(storage: &LmdbStorage, key: &str, me: Incarnation) {
    let id = id(key);
    let epoch = take(storage, &id, me).await;
    for revision in 0..COMMITS {
        let outcome = storage.append(large(&id, epoch, revision)).await;
        assert!(
            matches!(outcome, AppendOutcome::Committed(now) if now.0 == revision + 1),
            "{outcome:?}"
        );
    }
}

pub(crate) async fn child(folder: &Path, number: u64) {
    let storage = open(folder);
    let me = register(&storage, number).await;
    fill(&storage, &format!("a{number}"), me).await;
    tell("done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_grow_the_map_while_a_third_reads() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path());
    let me = register(&storage, 2).await;
    let others: Vec<_> = (0..2)
        .map(|number| {
            let mut process = Process::start("grow", folder.path(), number);
            tokio::task::spawn_blocking(move || {
                assert_eq!(process.line().as_deref(), Some("done"));
                process.succeed();
            })
        })
        .collect();
    // Reads all the while; its own map is the small one until it has to follow.
    let mut reads = 0u64;
    while !others.iter().all(|other| other.is_finished()) {
        for number in 0..2 {
            let id = id(&format!("a{number}"));
            if let Some(head) = storage.head(&id).await.unwrap()
                && let Some(last) = head.revision.0.checked_sub(1)
            {
                let page = storage
                    .read_thread(&id, jido_core::Seq(last), 1)
                    .await
                    .unwrap();
                assert_eq!(page[0].payload, vec![last as u8; BYTES]);
                reads += 1;
            }
        }
        tokio::task::yield_now().await;
    }
    for other in others {
        other.await.unwrap();
    }
    assert!(reads > 0);
    // And then writes, in a map that others have left it.
    fill(&storage, "a2", me).await;
    for number in 0..3 {
        let head = storage
            .head(&id(&format!("a{number}")))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(head.thread_len.0, COMMITS);
    }
    let size = std::fs::metadata(folder.path().join("data.mdb"))
        .unwrap()
        .len();
    assert!(size > 3 * COMMITS * BYTES as u64, "{size} bytes on disk");
}
