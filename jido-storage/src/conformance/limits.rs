//! Sizes, keys and clocks at their limits: rule 6.

use jido_core::{AgentKey, MAX_KEY_LEN, Revision, Timestamp};

use super::fixture::{
    Draw, World, checkpoint, commit, committed, entry, failed, id, id_of, note, request,
};
use crate::{ClaimOutcome, ClaimRequest, ErrorKind};

super::cases![
    payloads_of_every_size,
    exactly_the_limit_and_just_over_it,
    keys_of_every_form,
    long_keys_and_names_at_once,
    clocks_may_go_backwards,
];

/// Keys that are allowed and that an adapter may trip over.
pub(super) const ODD_KEYS: &[&str] = &[
    " ",
    "/",
    "//",
    "%",
    "%00",
    "\\",
    "'",
    "\"",
    "''; drop table agents; --",
    "\n",
    "\r\n",
    "\t",
    "\u{1}",
    "\u{7f}",
    "\u{80}",
    "é",
    "e\u{301}",
    "ß",
    "SS",
    "ss",
    "İ",
    "i\u{307}",
    "日本語",
    "\u{200b}",
    "\u{feff}",
    "\u{202e}x",
    "\u{ffff}",
    "\u{10ffff}",
    "🦀",
    "..",
    ".",
    "*",
    "?",
    "a b",
    "a",
    "A",
    "NULL",
    "null",
    "0",
    "00",
    "{}",
    "$1",
    ":x",
    "a\u{1}b",
    "a/b",
    "a%2Fb",
];

async fn payloads_of_every_size(world: World) {
    let one = world.node(1).await;
    let mut draw = Draw::new(3);
    let limit = world.storage.capabilities().max_commit_bytes;
    // An adapter of small transactions is given what fits into one commit, three times over.
    let most = (limit - "noted".len()) / 3;
    for len in [0, 1, 100_000, 1_000_000.min(most)] {
        let a = id(format!("size-{len}"));
        let epoch = world.claim(&a, one).await;
        let bytes = draw.bytes(len);
        let mut whole = commit(&a, epoch, 0);
        whole.entries.push(entry(bytes.clone()));
        whole.checkpoint = Some(checkpoint(bytes.clone(), 1));
        whole.requests.push(request(1, 1, bytes.clone()));
        committed(world.append(whole).await);
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

async fn keys_of_every_form(world: World) {
    let one = world.node(1).await;
    let long = "k".repeat(MAX_KEY_LEN - 1);
    let wide = "é".repeat(MAX_KEY_LEN / 2);
    let mut keys: Vec<String> = ODD_KEYS.iter().map(|key| (*key).to_owned()).collect();
    keys.extend([format!("{long}a"), format!("{long}b"), long, wide]);
    // Around the length at which an adapter may turn to a hash.
    keys.extend((200..520).step_by(16).map(|len| "m".repeat(len)));
    for key in &keys {
        let epoch = world.claim(&id(key), one).await;
        let mut whole = note(&id(key), epoch, 0);
        whole.checkpoint = Some(checkpoint(key.clone(), 1));
        committed(world.append(whole).await);
    }
    for key in &keys {
        let loaded = world
            .storage
            .load(&id(key))
            .await
            .unwrap()
            .expect("it was written");
        assert_eq!(loaded.record.id, id(key));
        assert!(
            loaded.checkpoint == Some(checkpoint(key.clone(), 1)),
            "{key:?} has another's state"
        );
        assert_eq!(world.thread(&id(key)).await.len(), 1);
        assert_eq!(
            loaded.record.revision,
            Revision(1),
            "{key:?} shares a record"
        );
    }
}

async fn long_keys_and_names_at_once(world: World) {
    let one = world.node(1).await;
    let manager = "m".repeat(128);
    let key = "k".repeat(MAX_KEY_LEN);
    assert!(AgentKey::new(&key).is_ok());
    let a = id_of(&manager, &key);
    let epoch = world.claim(&a, one).await;
    committed(world.append(note(&a, epoch, 0)).await);
    assert_eq!(world.keys(&manager, 1).await, [key]);
    assert_eq!(world.head(&a).await.id, a);
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
