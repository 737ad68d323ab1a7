//! A process is killed in the middle of its appends, again and again.

use std::collections::BTreeMap;
use std::path::Path;

use jido_core::{Epoch, Incarnation};
use jido_storage::{AppendOutcome, LmdbStorage, Storage};

use super::child::{Process, check, id, register, take, tell, whole};

const AGENTS: u64 = 4;
const ROUNDS: u64 = 30;

/// Appends to one agent, for as long as the process lives.
async fn append(storage: LmdbStorage, key: String, me: Incarnation) {
    let id = id(&key);
    let epoch = take(&storage, &id, me).await;
    let mut revision = storage.head(&id).await.unwrap().unwrap().revision.0;
    loop {
        match storage.append(whole(&id, epoch, revision + 1)).await {
            AppendOutcome::Committed(now) => revision = now.0,
            other => panic!("{other:?}"),
        }
        tell(&format!("{key} {epoch} {revision}"));
    }
}

/// Appends to all agents at once.
pub(crate) async fn child(folder: &Path, number: u64) {
    let storage = LmdbStorage::open(folder).unwrap();
    let me = register(&storage, number).await;
    let tasks: Vec<_> = (0..AGENTS)
        .map(|n| tokio::spawn(append(storage.clone(), format!("a{n}"), me)))
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn what_was_acknowledged_before_a_kill_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: BTreeMap<(String, u64), Epoch> = BTreeMap::new();
    // In every other round this process has the folder open while the other dies.
    let mut mine = None;
    for round in 0..ROUNDS {
        mine = match mine {
            None => Some(LmdbStorage::open(folder.path()).unwrap()),
            Some(_) => None,
        };
        let mut process = Process::start("append", folder.path(), round);
        let mut told = Vec::new();
        // Not always at the same place of a commit: after a number of lines that varies.
        for _ in 0..5 + round * 37 % 60 {
            told.push(process.line().expect("it appends until it is killed"));
        }
        process.kill();
        told.extend(process.rest());
        for line in told {
            let words: Vec<&str> = line.split(' ').collect();
            let [key, epoch, revision] = words[..] else {
                panic!("a child told {line:?}")
            };
            let place = (key.to_owned(), revision.parse().unwrap());
            let twice = acknowledged.insert(place, Epoch(epoch.parse().unwrap()));
            assert!(twice.is_none(), "acknowledged twice: {line}");
        }
        let storage = match &mine {
            Some(storage) => storage.clone(),
            None => LmdbStorage::open(folder.path()).unwrap(),
        };
        let mut stored: BTreeMap<String, Vec<Epoch>> = BTreeMap::new();
        for n in 0..AGENTS {
            let key = format!("a{n}");
            let epochs = check(&storage, &id(&key)).await;
            stored.insert(key, epochs);
        }
        for ((key, revision), epoch) in &acknowledged {
            let found = stored[key].get(*revision as usize - 1);
            assert_eq!(
                found,
                Some(epoch),
                "round {round}: {key} at revision {revision}"
            );
        }
    }
    assert!(acknowledged.len() as u64 > ROUNDS * 10);
}
