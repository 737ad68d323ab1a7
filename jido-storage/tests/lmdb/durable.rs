//! What was acknowledged is there after everybody closed the folder.

use jido_storage::{AppendOutcome, LmdbStorage, Storage};

use super::child::{check, id, register, take, whole};

#[tokio::test]
async fn what_was_acknowledged_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..5u64 {
        let storage = LmdbStorage::open(folder.path()).unwrap();
        let me = register(&storage, round).await;
        for n in 0..10 {
            let id = id(&format!("a{n}"));
            let epoch = take(&storage, &id, me).await;
            for step in 1..=3 {
                let outcome = storage.append(whole(&id, epoch, round * 3 + step)).await;
                assert!(
                    matches!(outcome, AppendOutcome::Committed(_)),
                    "{outcome:?}"
                );
            }
        }
        drop(storage);
        let storage = LmdbStorage::open(folder.path()).unwrap();
        for n in 0..10 {
            let epochs = check(&storage, &id(&format!("a{n}"))).await;
            assert_eq!(epochs.len() as u64, round * 3 + 3);
        }
        assert_eq!(
            storage.nodes(&super::child::cluster()).await.unwrap().len() as u64,
            round + 1
        );
    }
}
