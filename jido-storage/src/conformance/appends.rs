//! Appends: rule 2.

use bytes::Bytes;
use jido_core::{Entry, Epoch, Revision, Seq, Timestamp};

use super::fixture::{
    World, checkpoint, commit, committed, conflict, entry, failed, fenced, id, note, request,
};
use crate::ErrorKind;

super::cases![Append: [
    without_a_claim_nothing_is_appended,
    an_older_and_a_newer_epoch_are_fenced,
    the_epoch_is_checked_before_the_revision,
    another_revision_is_a_conflict,
    every_part_counts_one_revision,
    an_empty_commit_leaves_the_revision,
    all_parts_take_effect_together,
    a_checkpoint_replaces_the_one_before,
    a_checkpoint_covers_no_more_than_there_is,
]];

async fn without_a_claim_nothing_is_appended(world: World) {
    let a = id("a");
    assert_eq!(
        fenced(world.append(note(&a, Epoch::ZERO, 0)).await),
        Epoch::ZERO
    );
    assert_eq!(
        fenced(world.append(note(&a, Epoch(1), 0)).await),
        Epoch::ZERO
    );
    assert!(world.storage.head(&a).await.unwrap().is_none());
}

async fn an_older_and_a_newer_epoch_are_fenced(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    let old = world.claim(&a, one).await;
    let epoch = world.claim(&a, one).await;
    for wrong in [Epoch::ZERO, old, epoch.next(), Epoch(u64::MAX)] {
        assert_eq!(fenced(world.append(note(&a, wrong, 0)).await), epoch);
    }
    assert!(world.thread(&a).await.is_empty());
    assert_eq!(world.head(&a).await.revision, Revision::ZERO);
}

async fn the_epoch_is_checked_before_the_revision(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    let old = world.claim(&a, one).await;
    let epoch = world.claim(&a, one).await;
    committed(world.append(note(&a, epoch, 0)).await);
    assert_eq!(fenced(world.append(note(&a, old, 0)).await), epoch);
}

async fn another_revision_is_a_conflict(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    committed(world.append(note(&a, epoch, 0)).await);
    for wrong in [0, 2, u64::MAX] {
        assert_eq!(conflict(world.append(note(&a, epoch, wrong)).await), 1);
    }
    let mut empty = commit(&a, epoch, 7);
    empty.release = true;
    assert_eq!(conflict(world.append(empty).await), 1);
    assert_eq!(world.thread(&a).await.len(), 1);
    assert_eq!(world.head(&a).await.owner, Some(one));
}

async fn every_part_counts_one_revision(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    let mut entries = commit(&a, epoch, 0);
    entries.entries = vec![entry("x"), entry("y"), entry("z")];
    assert_eq!(committed(world.append(entries).await), 1);
    let mut state = commit(&a, epoch, 1);
    state.checkpoint = Some(checkpoint("s", 3));
    assert_eq!(committed(world.append(state).await), 2);
    let mut replies = commit(&a, epoch, 2);
    replies.requests = vec![request(1, 1, "r"), request(1, 2, "r")];
    assert_eq!(committed(world.append(replies).await), 3);
    let head = world.head(&a).await;
    assert_eq!((head.revision, head.thread_len), (Revision(3), Seq(3)));
}

async fn an_empty_commit_leaves_the_revision(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    assert_eq!(committed(world.append(commit(&a, epoch, 0)).await), 0);
    assert_eq!(committed(world.append(note(&a, epoch, 0)).await), 1);
    assert_eq!(committed(world.append(commit(&a, epoch, 1)).await), 1);
}

async fn all_parts_take_effect_together(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    committed(world.append(note(&a, epoch, 0)).await);
    let mut whole = commit(&a, epoch, 1);
    let mut second = entry("second");
    second.refs = vec![
        ("thread".into(), "t-1".into()),
        (String::new(), "é\n".into()),
    ];
    whole.entries = vec![second.clone(), entry("third")];
    whole.checkpoint = Some(checkpoint("state", 3));
    whole.requests = vec![request(9, 1, "reply")];
    assert_eq!(committed(world.append(whole).await), 2);

    let loaded = world.storage.load(&a).await.unwrap().unwrap();
    assert_eq!(loaded.checkpoint, Some(checkpoint("state", 3)));
    assert_eq!(loaded.record.updated_at, Timestamp(101));
    let thread = world.thread(&a).await;
    assert_eq!(thread.len(), 3);
    assert_eq!(
        thread[1],
        Entry::committed(&second, Seq(1), Revision(2), epoch)
    );
    assert_eq!(thread[0].revision, Revision(1));
    assert_eq!(
        world.reply(&a, 9, 1).await,
        Some(Bytes::from_static(b"reply"))
    );
}

async fn a_checkpoint_replaces_the_one_before(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    for (revision, state) in ["one", "a much longer one", "", "x"]
        .into_iter()
        .enumerate()
    {
        let mut state_only = commit(&a, epoch, revision as u64);
        state_only.checkpoint = Some(checkpoint(state, 0));
        committed(world.append(state_only).await);
        let loaded = world.storage.load(&a).await.unwrap().unwrap();
        assert_eq!(loaded.checkpoint, Some(checkpoint(state, 0)));
    }
    // A commit without one leaves it.
    committed(world.append(note(&a, epoch, 4)).await);
    let loaded = world.storage.load(&a).await.unwrap().unwrap();
    assert_eq!(loaded.checkpoint, Some(checkpoint("x", 0)));
}

async fn a_checkpoint_covers_no_more_than_there_is(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    committed(world.append(note(&a, epoch, 0)).await);
    let mut beyond = note(&a, epoch, 1);
    beyond.checkpoint = Some(checkpoint("state", 3));
    beyond.requests = vec![request(9, 1, "reply")];
    beyond.release = true;
    failed(world.append(beyond.clone()).await, ErrorKind::InvalidInput);
    let loaded = world.storage.load(&a).await.unwrap().unwrap();
    assert_eq!(
        (loaded.record.revision, loaded.checkpoint),
        (Revision(1), None)
    );
    assert_eq!(loaded.record.owner, Some(one));
    assert_eq!(world.thread(&a).await.len(), 1);
    assert_eq!(world.reply(&a, 9, 1).await, None);
    // Its own entries count.
    beyond.checkpoint = Some(checkpoint("state", 2));
    assert_eq!(committed(world.append(beyond).await), 2);
}
