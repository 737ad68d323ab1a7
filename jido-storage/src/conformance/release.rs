//! Release: rule 5.

use jido_core::{Revision, Seq};

use super::fixture::{World, checkpoint, commit, committed, conflict, fenced, id, note};

super::cases![Release: [
    a_release_is_one_with_the_last_checkpoint,
    a_release_is_never_seen_without_its_checkpoint,
    a_release_alone_leaves_the_revision,
    a_release_that_is_refused_keeps_the_claim,
    after_a_release_anybody_may_claim,
]];

async fn a_release_is_one_with_the_last_checkpoint(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    let mut last = note(&a, epoch, 0);
    last.checkpoint = Some(checkpoint("last", 1));
    last.release = true;
    assert_eq!(committed(world.append(last).await), 1);
    let loaded = world.storage.load(&a).await.unwrap().unwrap();
    assert_eq!(loaded.record.owner, None);
    assert_eq!(
        (loaded.record.epoch, loaded.record.revision),
        (epoch, Revision(1))
    );
    assert_eq!(loaded.checkpoint, Some(checkpoint("last", 1)));
    // Nobody owns it: its own epoch is fenced too, also for a second release.
    assert_eq!(fenced(world.append(note(&a, epoch, 1)).await), epoch);
    let mut again = commit(&a, epoch, 1);
    again.release = true;
    assert_eq!(fenced(world.append(again).await), epoch);
}

/// Whoever looks while an owner leaves sees it there with the state before, or gone with its last.
async fn a_release_is_never_seen_without_its_checkpoint(world: World) {
    let one = world.node(1).await;
    for round in 0..25 {
        let a = id(format!("a{round}"));
        let epoch = world.claim(&a, one).await;
        committed(world.append(note(&a, epoch, 0)).await);
        let mut last = note(&a, epoch, 1);
        last.checkpoint = Some(checkpoint("last", 2));
        last.release = true;
        let leaving = {
            let world = world.clone();
            tokio::spawn(async move { world.append(last).await })
        };
        loop {
            let left = leaving.is_finished();
            let head = world.head(&a).await;
            let seen = (head.owner, head.revision, head.thread_len);
            let before = (Some(one), Revision(1), Seq(1));
            let after = (None, Revision(2), Seq(2));
            assert!(
                seen == after || (seen == before && !left),
                "round {round}: seen {seen:?} of {before:?} and {after:?}"
            );
            if left {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(committed(leaving.await.unwrap()), 2);
    }
}

async fn a_release_alone_leaves_the_revision(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    committed(world.append(note(&a, epoch, 0)).await);
    let mut release = commit(&a, epoch, 1);
    release.release = true;
    assert_eq!(committed(world.append(release).await), 1);
    let head = world.head(&a).await;
    assert_eq!((head.owner, head.revision), (None, Revision(1)));
}

async fn a_release_that_is_refused_keeps_the_claim(world: World) {
    let (one, two) = (world.node(1).await, world.node(2).await);
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    let mut release = note(&a, epoch, 4);
    release.release = true;
    assert_eq!(conflict(world.append(release).await), 0);
    assert_eq!(world.head(&a).await.owner, Some(one));
    // One of an epoch before frees nothing of its successor's.
    world.bury(one).await;
    let second = world.claim(&a, two).await;
    let mut late = commit(&a, epoch, 0);
    late.release = true;
    assert_eq!(fenced(world.append(late).await), second);
    assert_eq!(world.head(&a).await.owner, Some(two));
}

async fn after_a_release_anybody_may_claim(world: World) {
    let (one, two) = (world.node(1).await, world.node(2).await);
    let a = id("a");
    let mut last = world.claim(&a, one).await;
    for node in [two, one, one, two] {
        let mut release = commit(&a, last, 0);
        release.release = true;
        committed(world.append(release).await);
        let epoch = world.claim(&a, node).await;
        assert!(epoch > last);
        last = epoch;
    }
}
