//! Requests: their replies, and the window in which they are kept: rule 2.

use bytes::Bytes;
use jido_core::{RequestId, Revision, Timestamp};

use super::fixture::{World, commit, committed, conflict, fenced, id, note, request};
use crate::{Commit, RequestMark, RequestWindow};

super::cases![Request: [
    replies_are_kept,
    the_first_reply_stands,
    the_first_reply_stands_also_within_a_commit_and_a_batch,
    what_is_forgotten_may_come_again,
    a_refused_commit_records_nothing,
    the_window_of_requests_moves_on,
]];

async fn window(world: &World, key: &str) -> RequestWindow {
    let loaded = world.storage.load(&id(key)).await.expect("load answers");
    loaded.expect("the agent has a record").requests
}

async fn replies_are_kept(world: World) {
    let (one, two) = (world.node(1).await, world.node(2).await);
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    let mut first = commit(&a, epoch, 0);
    first.requests = vec![
        request(1, 1, "one"),
        request(u128::MAX, u64::MAX, ""),
        request(0, 0, vec![0; 100]),
    ];
    committed(world.append(first).await);
    world.bury(one).await;
    let epoch = world.claim(&a, two).await;
    committed(world.append(note(&a, epoch, 1)).await);
    assert_eq!(
        world.reply(&a, 1, 1).await,
        Some(Bytes::from_static(b"one"))
    );
    assert_eq!(
        world.reply(&a, u128::MAX, u64::MAX).await,
        Some(Bytes::new())
    );
    assert_eq!(world.reply(&a, 0, 0).await, Some(Bytes::from(vec![0; 100])));
    for (client, seq) in [(1, 2), (2, 1), (0, 1)] {
        assert_eq!(world.reply(&a, client, seq).await, None);
    }
    assert_eq!(world.reply(&id("b"), 1, 1).await, None);
}

async fn the_first_reply_stands(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    let mut first = commit(&a, epoch, 0);
    first.requests = vec![request(1, 7, "first")];
    committed(world.append(first).await);
    let mut again = note(&a, epoch, 1);
    again.requests = vec![request(1, 7, "second"), request(1, 8, "x")];
    committed(world.append(again).await);
    let kept = world
        .storage
        .reply_of(&a, RequestId::new(1, 7))
        .await
        .expect("a reply is read")
        .expect("it is kept");
    assert_eq!(kept.reply, "first");
    assert_eq!((kept.issued_at, kept.revision), (Timestamp(7), Revision(1)));
}

async fn the_first_reply_stands_also_within_a_commit_and_a_batch(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    let with = |revision: u64, replies: &[&'static str]| Commit {
        requests: replies
            .iter()
            .map(|reply| request(1, revision / 2, *reply))
            .collect(),
        ..commit(&a, epoch, revision)
    };
    committed(world.append(with(0, &["first", "second"])).await);
    assert_eq!(world.reply(&a, 1, 0).await.as_deref(), Some(&b"first"[..]));
    committed(world.append(note(&a, epoch, 1)).await);
    for outcome in world
        .storage
        .append_many(vec![with(2, &["third"]), with(3, &["fourth"])])
        .await
    {
        committed(outcome);
    }
    assert_eq!(world.reply(&a, 1, 1).await.as_deref(), Some(&b"third"[..]));
    let marks = window(&world, "a").await.marks;
    let revisions: Vec<u64> = marks.iter().map(|mark| mark.revision.0).collect();
    assert_eq!(revisions, [1, 3]);
}

async fn what_is_forgotten_may_come_again(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    let mut first = commit(&a, epoch, 0);
    first.requests = vec![request(1, 7, "first"), request(1, 8, "other")];
    committed(world.append(first).await);
    // Dropped first, then recorded anew, in one commit.
    let mut again = commit(&a, epoch, 1);
    again.forget = vec![RequestId::new(1, 7)];
    again.requests = vec![request(1, 7, "again")];
    committed(world.append(again).await);
    assert_eq!(world.reply(&a, 1, 7).await.as_deref(), Some(&b"again"[..]));
    assert_eq!(world.reply(&a, 1, 8).await.as_deref(), Some(&b"other"[..]));
}

async fn a_refused_commit_records_nothing(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    let old = world.claim(&a, one).await;
    let mut first = commit(&a, old, 0);
    first.requests = vec![request(1, 1, "kept")];
    first.forget_before = Some(Timestamp(1));
    committed(world.append(first).await);
    let epoch = world.claim(&a, one).await;
    let before = window(&world, "a").await;
    let mut refused = note(&a, old, 1);
    refused.requests = vec![request(1, 2, "late")];
    refused.forget = vec![RequestId::new(1, 1)];
    refused.forget_before = Some(Timestamp(9));
    assert_eq!(fenced(world.append(refused.clone()).await), epoch);
    refused.epoch = epoch;
    refused.expected = Revision(5);
    assert_eq!(conflict(world.append(refused).await), 1);
    assert_eq!(window(&world, "a").await, before);
    assert_eq!(world.reply(&a, 1, 1).await.as_deref(), Some(&b"kept"[..]));
    assert_eq!(world.reply(&a, 1, 2).await, None);
}

async fn the_window_of_requests_moves_on(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    let mut first = commit(&a, epoch, 0);
    // Issued in another order than their identities have.
    first.requests = vec![request(2, 5, ""), request(9, 1, "r"), request(1, 5, "")];
    committed(world.append(first).await);
    let mark = |client, seq, revision| RequestMark {
        request: RequestId::new(client, seq),
        issued_at: Timestamp(seq),
        revision: Revision(revision),
    };
    assert_eq!(
        window(&world, "a").await,
        RequestWindow {
            floor: Timestamp(0),
            marks: vec![mark(9, 1, 1), mark(1, 5, 1), mark(2, 5, 1)],
        }
    );
    let mut moving = commit(&a, epoch, 1);
    moving.forget = vec![RequestId::new(9, 1), RequestId::new(77, 7)];
    moving.forget_before = Some(Timestamp(2));
    assert_eq!(
        committed(world.append(moving.clone()).await),
        1,
        "moving the window alone is no revision"
    );
    moving.forget_before = Some(Timestamp(1));
    moving.requests = vec![request(4, 9, "")];
    assert_eq!(committed(world.append(moving).await), 2);
    let after = window(&world, "a").await;
    assert_eq!(
        after,
        RequestWindow {
            floor: Timestamp(2),
            marks: vec![mark(1, 5, 1), mark(2, 5, 1), mark(4, 9, 2)],
        },
        "a floor never sinks, and what was forgotten is gone"
    );
    assert_eq!(world.reply(&a, 9, 1).await, None);
}
