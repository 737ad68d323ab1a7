//! The records of many agents at once.

use jido_core::Timestamp;
use jido_storage::Storage;

use crate::fixture::*;

#[tokio::test]
async fn records_of_many_agents_are_those_of_each_in_the_order_asked_for() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let (storage, epochs) = claimed(options(&url), &["a", "b", "gone"]).await;
    assert_eq!(committed(&storage.append(note("b", epochs[1], 0)).await), 1);
    let deleted = storage.delete(&id("gone"), epochs[2], Timestamp(9)).await;
    assert_eq!(committed(&deleted), 1);
    assert!(storage.heads(&[]).await.unwrap().is_empty());

    // More than one statement takes, with some twice and some that are not there.
    let keys = ["b", "never", "a", "gone", "b"];
    let asked: Vec<_> = keys.iter().cycle().take(3_000).map(|key| id(key)).collect();
    let heads = storage.heads(&asked).await.unwrap();
    assert_eq!(heads.len(), asked.len());
    let mut alone = Vec::new();
    for key in keys {
        alone.push(storage.head(&id(key)).await.unwrap());
    }
    assert_eq!(alone.iter().flatten().count(), 3);
    for (at, head) in heads.iter().enumerate() {
        assert_eq!(*head, alone[at % keys.len()], "at place {at}");
    }
}
