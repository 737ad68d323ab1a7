//! Keys of every form that is allowed: rule 6.

use jido_core::{AgentKey, MAX_KEY_LEN, Revision};

use super::fixture::{World, checkpoint, committed, id, id_of, note};

super::cases![Limit: [
    keys_of_every_form,
    keys_are_made_of_every_byte_that_is_allowed,
    long_keys_and_names_at_once,
]];

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

async fn keys_are_made_of_every_byte_that_is_allowed(world: World) {
    let one = world.node(1).await;
    // Every byte of UTF-8 is in one of them: the plain ones, and first and last of each lead.
    let leads = (0x80..0x800).step_by(0x40).chain([0x7ff, 0x800, 0xfff]);
    let wide = (0x1000..0x1_0000)
        .step_by(0x1000)
        .chain((0x1_0000..0x11_0000).step_by(0x4_0000));
    let code_points = (1..0x80).chain(leads).chain(wide).chain(0x80..0xc0);
    let texts: Vec<String> = code_points
        .filter_map(char::from_u32)
        .map(String::from)
        .collect();
    let mut keys: Vec<String> = texts.iter().map(|text| format!("k{text}")).collect();
    keys.sort();
    keys.dedup();
    for keys in keys.chunks(64) {
        let mut batch = Vec::new();
        for key in keys {
            let epoch = world.claim(&id(key), one).await;
            let mut append = note(&id(key), epoch, 0);
            append.checkpoint = Some(checkpoint(key.clone(), 1));
            batch.push(append);
        }
        for outcome in world.storage.append_many(batch).await {
            assert_eq!(committed(outcome), 1, "two keys share a record");
        }
    }
    for key in &keys {
        let loaded = world.storage.load(&id(key)).await.unwrap().unwrap();
        assert_eq!(loaded.record.id.key.as_str(), key);
        assert!(
            loaded.checkpoint == Some(checkpoint(key.clone(), 1)),
            "{key:?} has another's state"
        );
    }
    assert_eq!(world.keys("agents", 100).await, keys);
}
