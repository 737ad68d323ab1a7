//! Deletion.

use jido_core::{Epoch, Revision, Seq, Timestamp};

use super::fixture::{World, checkpoint, committed, fenced, id, note, request};
use crate::ClaimOutcome;

super::cases![Delete: [
    nothing_is_left,
    only_the_owner_deletes,
    what_comes_after_starts_empty,
    neighbours_stay,
    a_dead_owners_delete_is_followed,
]];

async fn nothing_is_left(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    let mut whole = note(&a, epoch, 0);
    whole.checkpoint = Some(checkpoint("state", 1));
    whole.requests = vec![request(1, 1, "reply")];
    committed(world.append(whole).await);
    committed(world.append(note(&a, epoch, 1)).await);
    assert_eq!(
        committed(world.storage.delete(&a, epoch, Timestamp(70)).await),
        3
    );
    assert!(world.storage.load(&a).await.unwrap().is_none());
    assert!(world.storage.head(&a).await.unwrap().is_none());
    assert!(
        world
            .storage
            .read_thread(&a, Seq(0), 10)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(world.reply(&a, 1, 1).await, None);
    assert!(world.keys("agents", 10).await.is_empty());
}

async fn only_the_owner_deletes(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    assert_eq!(
        fenced(world.storage.delete(&a, Epoch(1), Timestamp(1)).await),
        Epoch::ZERO
    );
    let old = world.claim(&a, one).await;
    let epoch = world.claim(&a, one).await;
    committed(world.append(note(&a, epoch, 0)).await);
    for wrong in [old, epoch.next(), Epoch::ZERO] {
        assert_eq!(
            fenced(world.storage.delete(&a, wrong, Timestamp(1)).await),
            epoch
        );
    }
    assert_eq!(world.thread(&a).await.len(), 1);
    committed(world.storage.delete(&a, epoch, Timestamp(1)).await);
    // Once.
    assert_eq!(
        fenced(world.storage.delete(&a, epoch, Timestamp(1)).await),
        epoch
    );
}

async fn what_comes_after_starts_empty(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    let first = world.claim(&a, one).await;
    let mut whole = note(&a, first, 0);
    whole.checkpoint = Some(checkpoint("state", 1));
    whole.requests = vec![request(1, 1, "reply")];
    committed(world.append(whole).await);
    let revision = committed(world.storage.delete(&a, first, Timestamp(70)).await);
    assert_eq!(fenced(world.append(note(&a, first, revision)).await), first);
    let claim = crate::ClaimRequest {
        id: a.clone(),
        claimant: one,
        take_from: None,
        at: Timestamp(80),
    };
    let ClaimOutcome::Claimed(second) = world.storage.claim(claim).await.unwrap() else {
        panic!("it is free");
    };
    assert!(second > first);
    let loaded = world.storage.load(&a).await.unwrap().unwrap();
    assert_eq!(loaded.checkpoint, None);
    assert_eq!(loaded.record.thread_len, Seq::ZERO);
    assert_eq!(
        loaded.record.revision,
        Revision(revision),
        "its revision goes on counting"
    );
    assert_eq!(loaded.record.created_at, Timestamp(80));
    assert!(world.thread(&a).await.is_empty());
    assert_eq!(world.reply(&a, 1, 1).await, None);
    assert_eq!(
        fenced(world.append(note(&a, first, revision)).await),
        second
    );
    assert_eq!(
        committed(world.append(note(&a, second, revision)).await),
        revision + 1
    );
    assert_eq!(world.thread(&a).await[0].seq, Seq(0));
}

async fn neighbours_stay(world: World) {
    let one = world.node(1).await;
    let keys = ["a", "b", "ba", "b/", "c", "B"];
    let mut epochs = Vec::new();
    for key in keys {
        let id = id(key);
        let epoch = world.claim(&id, one).await;
        let mut whole = note(&id, epoch, 0);
        whole.checkpoint = Some(checkpoint(key, 1));
        whole.requests = vec![request(1, 1, key)];
        committed(world.append(whole).await);
        epochs.push(epoch);
    }
    committed(
        world
            .storage
            .delete(&id("b"), epochs[1], Timestamp(70))
            .await,
    );
    for key in keys.into_iter().filter(|key| *key != "b") {
        let loaded = world
            .storage
            .load(&id(key))
            .await
            .unwrap()
            .expect("a neighbour");
        assert_eq!(loaded.checkpoint, Some(checkpoint(key, 1)));
        assert_eq!(world.thread(&id(key)).await.len(), 1);
        assert_eq!(
            world.reply(&id(key), 1, 1).await.as_deref(),
            Some(key.as_bytes())
        );
    }
    assert_eq!(world.keys("agents", 2).await, ["B", "a", "b/", "ba", "c"]);
}

async fn a_dead_owners_delete_is_followed(world: World) {
    let (one, two) = (world.node(1).await, world.node(2).await);
    let a = id("a");
    let first = world.claim(&a, one).await;
    committed(world.append(note(&a, first, 0)).await);
    world.bury(one).await;
    let second = world.claim(&a, two).await;
    assert_eq!(
        fenced(world.storage.delete(&a, first, Timestamp(70)).await),
        second
    );
    assert_eq!(world.thread(&a).await.len(), 1);
}
