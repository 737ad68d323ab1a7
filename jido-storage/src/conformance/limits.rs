//! Sizes and clocks at their limits: rule 6.

use jido_core::{Revision, Timestamp};

use super::fixture::{
    Draw, World, checkpoint, commit, committed, entry, failed, id, note, registration, request,
};
use crate::{ClaimOutcome, ClaimRequest, ErrorKind, Registration};

super::cases![Limit: [
    payloads_of_every_size,
    exactly_the_limit_and_just_over_it,
    what_is_too_large_leaves_nothing_half_written,
    clocks_may_go_backwards,
    clocks_of_nodes_decide_nothing,
    a_clock_far_ahead_takes_nothing,
    capabilities_never_change,
]];

async fn payloads_of_every_size(world: World) {
    let one = world.node(1).await;
    let limit = world.storage.capabilities().max_commit_bytes;
    let mut draw = Draw::new(3);
    for len in [0, 1, 100_000, 1_000_000] {
        let a = id(format!("size-{len}"));
        let epoch = world.claim(&a, one).await;
        let bytes = draw.bytes(len);
        let mut in_entry = commit(&a, epoch, 0);
        in_entry.entries.push(entry(bytes.clone()));
        // Which all adapters take in one commit, and large ones part by part.
        if in_entry.payload_len() > limit {
            failed(world.append(in_entry).await, ErrorKind::TooLarge);
            assert!(world.thread(&a).await.is_empty());
            continue;
        }
        let mut in_checkpoint = commit(&a, epoch, 1);
        in_checkpoint.checkpoint = Some(checkpoint(bytes.clone(), 1));
        let mut in_reply = commit(&a, epoch, 2);
        in_reply.requests.push(request(1, 1, bytes.clone()));
        let mut whole = commit(&a, epoch, 3);
        whole.entries.clone_from(&in_entry.entries);
        whole.checkpoint.clone_from(&in_checkpoint.checkpoint);
        whole.requests.push(request(1, 2, bytes.clone()));
        let fits = whole.payload_len() <= limit;
        for part in [in_entry, in_checkpoint, in_reply] {
            committed(world.append(part).await);
        }
        if fits {
            assert_eq!(committed(world.append(whole).await), 4);
            assert!(world.reply(&a, 1, 2).await.unwrap() == bytes);
        } else {
            failed(world.append(whole).await, ErrorKind::TooLarge);
        }
        assert!(
            world.thread(&a).await[0].payload == bytes,
            "an entry of {len} bytes differs"
        );
        let loaded = world.storage.load(&a).await.unwrap().unwrap();
        assert!(
            loaded.checkpoint.unwrap().state == bytes,
            "a state of {len} bytes differs"
        );
        assert!(
            world.reply(&a, 1, 1).await.unwrap() == bytes,
            "a reply of {len} bytes differs"
        );
    }
}

async fn exactly_the_limit_and_just_over_it(world: World) {
    let one = world.node(1).await;
    let limit = world.storage.capabilities().max_commit_bytes;
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    // In an entry, whose kind counts, in a checkpoint and in a reply.
    for part in 0..3 {
        let with = |revision: u64, len: usize| {
            let mut with = commit(&a, epoch, revision);
            let bytes = vec![part; len];
            match part {
                0 => with.entries.push(entry(vec![part; len - "noted".len()])),
                1 => with.checkpoint = Some(checkpoint(bytes, 0)),
                _ => with.requests.push(request(1, 1, bytes)),
            }
            with
        };
        let revision = u64::from(part);
        let message = failed(
            world.append(with(revision, limit + 1)).await,
            ErrorKind::TooLarge,
        );
        for number in [limit, limit + 1] {
            assert!(
                message.contains(&number.to_string()),
                "{number} is not in {message:?}"
            );
        }
        assert_eq!(
            world.head(&a).await.revision,
            Revision(revision),
            "something was written"
        );
        assert_eq!(
            committed(world.append(with(revision, limit)).await),
            revision + 1
        );
    }
    assert_eq!(
        world.thread(&a).await[0].payload.len(),
        limit - "noted".len()
    );
    let loaded = world.storage.load(&a).await.unwrap().unwrap();
    assert_eq!(loaded.checkpoint.unwrap().state.len(), limit);
    assert_eq!(world.reply(&a, 1, 1).await.unwrap().len(), limit);
}

/// Whichever part is too large: no other part of the commit is there.
async fn what_is_too_large_leaves_nothing_half_written(world: World) {
    let one = world.node(1).await;
    let limit = world.storage.capabilities().max_commit_bytes;
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    let mut first = note(&a, epoch, 0);
    first.checkpoint = Some(checkpoint("state", 1));
    first.requests = vec![request(1, 1, "reply")];
    committed(world.append(first).await);
    let before = world.storage.load(&a).await.unwrap();
    let thread = world.thread(&a).await;

    let mut small = note(&a, epoch, 1);
    small.entries.push(entry("one more"));
    small.checkpoint = Some(checkpoint("other", 1));
    small.requests = vec![request(1, 2, "late")];
    small.forget = vec![request(1, 1, "").request];
    small.forget_before = Some(Timestamp(9));
    small.release = true;
    let large = bytes::Bytes::from(vec![7; limit]);
    let mut in_entry = small.clone();
    in_entry.entries[1] = entry(large.clone());
    let mut in_checkpoint = small.clone();
    in_checkpoint.checkpoint = Some(checkpoint(large.clone(), 1));
    let mut in_reply = small.clone();
    in_reply.requests.push(request(1, 3, large));
    let mut erasing = in_checkpoint.clone();
    erasing.erase.thread = true;
    for too_large in [in_entry, in_checkpoint, in_reply, erasing] {
        failed(world.append(too_large).await, ErrorKind::TooLarge);
        assert_eq!(world.storage.load(&a).await.unwrap(), before);
        assert_eq!(world.thread(&a).await, thread);
        assert_eq!(world.reply(&a, 1, 2).await, None);
    }
    assert_eq!(world.reply(&a, 1, 1).await.as_deref(), Some(&b"reply"[..]));
    assert_eq!(committed(world.append(small).await), 2);
}

async fn clocks_may_go_backwards(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    let mut last = jido_core::Epoch::ZERO;
    for (round, at) in [1_000_000, 5, 0, 700].into_iter().enumerate() {
        let at = Timestamp(at);
        let claim = ClaimRequest {
            id: a.clone(),
            claimant: one,
            take_from: None,
            at,
        };
        let ClaimOutcome::Claimed(epoch) = world.storage.claim(claim).await.unwrap() else {
            panic!("a clock decided a claim");
        };
        assert!(epoch > last);
        last = epoch;
        let mut noted = note(&a, epoch, round as u64);
        noted.at = at;
        noted.entries[0].at = at;
        committed(world.append(noted).await);
        let head = world.head(&a).await;
        assert_eq!(
            (head.created_at, head.updated_at),
            (Timestamp(1_000_000), at)
        );
        assert_eq!(world.thread(&a).await[round].at, at);
    }
}

async fn clocks_of_nodes_decide_nothing(world: World) {
    let times = [1_000_000, 0, 5];
    for (at, life) in times.into_iter().zip(1..) {
        let mut node = registration("n1", life);
        node.at = Timestamp(at);
        let seen = world.storage.register_node(node).await.unwrap();
        let Registration::Registered(record) = seen else {
            panic!("a clock decided: {seen:?}")
        };
        assert_eq!(record.registered_at, Timestamp(at));
        world.bury(record.incarnation).await;
    }
    let one = world.node(10).await;
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    committed(world.append(note(&a, epoch, 0)).await);
    // A deletion and a claim long before all that.
    let deleted = world.storage.delete(&a, epoch, Timestamp(1)).await;
    assert_eq!(committed(deleted), 2);
    let claim = ClaimRequest {
        id: a.clone(),
        claimant: one,
        take_from: None,
        at: Timestamp(0),
    };
    let again = world.storage.claim(claim).await.unwrap();
    assert!(
        matches!(again, ClaimOutcome::Claimed(now) if now > epoch),
        "{again:?}"
    );
    assert_eq!(world.head(&a).await.created_at, Timestamp(0));
}

/// An owner that has been quiet for ages, by another's clock, is still the owner.
async fn a_clock_far_ahead_takes_nothing(world: World) {
    let (one, two) = (world.node(1).await, world.node(2).await);
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    committed(world.append(note(&a, epoch, 0)).await);
    for at in [0, 1 << 40, u64::MAX / 2] {
        let claim = ClaimRequest {
            id: a.clone(),
            claimant: two,
            take_from: None,
            at: Timestamp(at),
        };
        assert_eq!(
            world.storage.claim(claim).await.unwrap(),
            ClaimOutcome::Held { owner: one, epoch },
            "at {at}"
        );
    }
    assert_eq!(committed(world.append(note(&a, epoch, 1)).await), 2);
}

async fn capabilities_never_change(world: World) {
    let before = world.storage.capabilities();
    assert!(before.max_commit_bytes >= 100_000, "{before:?}");
    let one = world.node(1).await;
    let epoch = world.claim(&id("a"), one).await;
    committed(world.append(note(&id("a"), epoch, 0)).await);
    assert_eq!(world.storage.capabilities(), before);
}
