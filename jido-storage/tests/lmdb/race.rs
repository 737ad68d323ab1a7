//! Several processes claim and append on one folder.

use std::collections::BTreeMap;
use std::path::Path;

use jido_core::Epoch;
use jido_storage::{AppendOutcome, LmdbStorage, Storage};

use super::child::{Process, check, id, register, take, tell, whole};

const AGENTS: u64 = 3;
const ROUNDS: u64 = 60;

pub(crate) async fn child(folder: &Path, number: u64) {
    let storage = LmdbStorage::open(folder).unwrap();
    let me = register(&storage, number).await;
    for round in 0..ROUNDS {
        let key = format!("a{}", (round + number) % AGENTS);
        let id = id(&key);
        let epoch = take(&storage, &id, me).await;
        tell(&format!("claimed {key} {epoch}"));
        let mut revision = storage.head(&id).await.unwrap().unwrap().revision.0;
        for _ in 0..4 {
            match storage.append(whole(&id, epoch, revision + 1)).await {
                AppendOutcome::Committed(now) => {
                    revision = now.0;
                    tell(&format!("committed {key} {epoch} {revision}"));
                }
                // Taken, or committed to, by another meanwhile.
                AppendOutcome::Fenced { epoch: now } => {
                    assert!(now > epoch, "fenced by {now}, with {epoch}");
                    break;
                }
                AppendOutcome::Conflict { actual } => revision = actual.0,
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn processes_race_and_every_revision_has_one_writer() {
    let folder = tempfile::tempdir().unwrap();
    let storage = LmdbStorage::open(folder.path()).unwrap();
    let readers: Vec<_> = (0..4)
        .map(|number| {
            let mut process = Process::start("race", folder.path(), number);
            std::thread::spawn(move || {
                let told = process.rest();
                process.succeed();
                told
            })
        })
        .collect();
    let mut claims: BTreeMap<(String, u64), usize> = BTreeMap::new();
    let mut commits: BTreeMap<(String, u64), Epoch> = BTreeMap::new();
    for (number, reader) in readers.into_iter().enumerate() {
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        for line in reader.join().unwrap() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["claimed", key, epoch] => {
                    let epoch: u64 = epoch.parse().unwrap();
                    let before = last.insert(key.into(), epoch).unwrap_or(0);
                    assert!(epoch > before, "epoch {epoch} after {before}");
                    let twice = claims.insert((key.into(), epoch), number);
                    assert!(twice.is_none(), "epoch {epoch} of {key} was given twice");
                }
                ["committed", key, epoch, revision] => {
                    let place = (key.to_owned(), revision.parse().unwrap());
                    let epoch = Epoch(epoch.parse().unwrap());
                    assert!(
                        commits.insert(place, epoch).is_none(),
                        "committed twice: {line}"
                    );
                }
                _ => panic!("a child told {line:?}"),
            }
        }
    }
    assert_eq!(claims.len() as u64, 4 * ROUNDS);
    let mut found = 0;
    for n in 0..AGENTS {
        let key = format!("a{n}");
        let epochs = check(&storage, &id(&key)).await;
        for (at, epoch) in epochs.iter().enumerate() {
            assert_eq!(
                commits.get(&(key.clone(), at as u64 + 1)),
                Some(epoch),
                "{key} at {at}"
            );
            found += 1;
        }
    }
    assert_eq!(found, commits.len(), "acknowledged and found differ");
    assert!(found > 50, "hardly anything was committed: {found}");
}
