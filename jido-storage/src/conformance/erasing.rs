//! What a commit erases, and what a thread says about itself: rule 2.

use std::collections::BTreeMap;

use jido_core::{Revision, Seq, Timestamp};

use super::fixture::{
    World, checkpoint, commit, committed, conflict, entry, failed, fenced, id, note, request,
};
use crate::{Commit, ErrorKind, Loaded, RequestWindow};

super::cases![
    Append: [
        a_checkpoint_is_erased_alone,
        a_thread_is_erased_alone_and_begins_again,
        erasing_comes_before_writing,
        a_refused_commit_erases_nothing,
        metadata_is_kept_from_the_commit_that_begins_the_thread,
    ],
    Delete: [deletion_takes_metadata_and_window_along],
    Limit: [text_with_a_nul_is_refused],
];

async fn loaded(world: &World, key: &str) -> Loaded {
    let loaded = world.storage.load(&id(key)).await.expect("load answers");
    loaded.expect("the agent has a record")
}

fn titled(mut commit: Commit, title: &str) -> Commit {
    commit.thread_metadata = BTreeMap::from([("title".to_owned(), title.to_owned())]);
    commit
}

/// Two entries, a checkpoint that covers both, and a title.
async fn filled(world: &World, key: &str) -> jido_core::Epoch {
    let one = world.node(1).await;
    let epoch = world.claim(&id(key), one).await;
    let mut first = titled(note(&id(key), epoch, 0), "first");
    first.entries.push(entry("second"));
    first.checkpoint = Some(checkpoint("state", 2));
    assert_eq!(committed(world.append(first).await), 1);
    epoch
}

async fn a_checkpoint_is_erased_alone(world: World) {
    let epoch = filled(&world, "a").await;
    let mut erasing = commit(&id("a"), epoch, 1);
    erasing.erase.checkpoint = true;
    assert_eq!(
        committed(world.append(erasing.clone()).await),
        2,
        "an erasure counts a revision"
    );
    let after = loaded(&world, "a").await;
    assert_eq!(after.checkpoint, None);
    assert_eq!(after.record.thread_len, Seq(2));
    assert_eq!(after.thread_metadata["title"], "first");
    assert_eq!(world.thread(&id("a")).await.len(), 2);
    erasing.expected = Revision(2);
    assert_eq!(
        committed(world.append(erasing).await),
        3,
        "erasing nothing is no error"
    );
}

async fn a_thread_is_erased_alone_and_begins_again(world: World) {
    let epoch = filled(&world, "a").await;
    let mut erasing = commit(&id("a"), epoch, 1);
    erasing.erase.thread = true;
    assert_eq!(committed(world.append(erasing).await), 2);
    let after = loaded(&world, "a").await;
    assert_eq!(
        after.checkpoint,
        Some(checkpoint("state", 0)),
        "a checkpoint that stays covers none of the next thread"
    );
    assert_eq!(after.record.thread_len, Seq(0));
    assert!(after.thread_metadata.is_empty());
    assert!(world.thread(&id("a")).await.is_empty());

    assert_eq!(
        committed(
            world
                .append(titled(note(&id("a"), epoch, 2), "second"))
                .await
        ),
        3
    );
    let thread = world.thread(&id("a")).await;
    assert_eq!((thread.len(), thread[0].seq), (1, Seq(0)));
    assert_eq!(loaded(&world, "a").await.thread_metadata["title"], "second");
}

async fn erasing_comes_before_writing(world: World) {
    let epoch = filled(&world, "a").await;
    let mut replacing = titled(note(&id("a"), epoch, 1), "again");
    replacing.erase.thread = true;
    replacing.erase.checkpoint = true;
    replacing.checkpoint = Some(checkpoint("new", 2));
    let why = failed(
        world.append(replacing.clone()).await,
        ErrorKind::InvalidInput,
    );
    assert!(why.contains("covers 2") && why.contains("has 1"), "{why}");
    replacing.checkpoint = Some(checkpoint("new", 1));
    assert_eq!(committed(world.append(replacing).await), 2);
    let after = loaded(&world, "a").await;
    assert_eq!(after.checkpoint, Some(checkpoint("new", 1)));
    assert_eq!(after.thread_metadata["title"], "again");
    let thread = world.thread(&id("a")).await;
    assert_eq!((thread.len(), thread[0].revision), (1, Revision(2)));
}

async fn a_refused_commit_erases_nothing(world: World) {
    let epoch = filled(&world, "a").await;
    let before = loaded(&world, "a").await;
    let mut erasing = commit(&id("a"), epoch, 0);
    erasing.erase.thread = true;
    erasing.erase.checkpoint = true;
    erasing.forget_before = Some(Timestamp(9));
    assert_eq!(conflict(world.append(erasing.clone()).await), 1);
    erasing.epoch = epoch.next();
    let _ = fenced(world.append(erasing).await);
    assert_eq!(loaded(&world, "a").await, before);
    assert_eq!(world.thread(&id("a")).await.len(), 2);
}

async fn metadata_is_kept_from_the_commit_that_begins_the_thread(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    assert!(loaded(&world, "a").await.thread_metadata.is_empty());
    let mut state = titled(commit(&a, epoch, 0), "no entries, no thread");
    state.checkpoint = Some(checkpoint("state", 0));
    committed(world.append(state).await);
    assert!(loaded(&world, "a").await.thread_metadata.is_empty());
    committed(
        world
            .append(titled(note(&a, epoch, 1), "kept \u{1} é \""))
            .await,
    );
    committed(world.append(titled(note(&a, epoch, 2), "late")).await);
    let after = loaded(&world, "a").await;
    assert_eq!(after.thread_metadata["title"], "kept \u{1} é \"");
    assert_eq!(after.thread_metadata.len(), 1);
}

async fn deletion_takes_metadata_and_window_along(world: World) {
    let epoch = filled(&world, "a").await;
    let mut more = commit(&id("a"), epoch, 1);
    more.requests = vec![request(1, 1, "r")];
    more.forget_before = Some(Timestamp(3));
    committed(world.append(more).await);
    committed(world.storage.delete(&id("a"), epoch, Timestamp(9)).await);
    let again = world.claim(&id("a"), jido_core::Incarnation(1)).await;
    assert!(again > epoch);
    let after = loaded(&world, "a").await;
    assert_eq!(after.requests, RequestWindow::default());
    assert!(after.thread_metadata.is_empty() && after.checkpoint.is_none());
}

async fn text_with_a_nul_is_refused(world: World) {
    let epoch = filled(&world, "a").await;
    let nul = "a\0b".to_owned();
    let mut kind = note(&id("a"), epoch, 1);
    kind.entries[0].kind.clone_from(&nul);
    let mut refs = note(&id("a"), epoch, 1);
    refs.entries[0].refs.push(("name".into(), nul.clone()));
    let metadata = titled(note(&id("a"), epoch, 1), &nul);
    for refused in [kind, refs, metadata] {
        let why = failed(world.append(refused).await, ErrorKind::InvalidInput);
        assert!(why.contains("NUL"), "{why}");
    }
    let mut node = super::fixture::registration("n7", 7);
    node.metadata.insert("zone".into(), nul);
    let error = world.storage.register_node(node).await.expect_err("a NUL");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(world.head(&id("a")).await.revision, Revision(1));
}
