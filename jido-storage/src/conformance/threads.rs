//! Threads: order, pages, content.

use jido_core::{NewEntry, Seq, Timestamp};

use super::fixture::{Draw, World, commit, committed, entry, id, note};

super::cases![Thread: [
    a_page_begins_and_ends_where_asked,
    a_page_begins_at_every_place,
    ten_thousand_entries_are_read_by_pages,
    large_entries_come_one_by_one_if_they_must,
    entries_come_back_as_given,
    threads_of_neighbours_do_not_mix,
]];

async fn a_page_begins_and_ends_where_asked(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    assert!(
        world
            .storage
            .read_thread(&a, Seq(0), 10)
            .await
            .unwrap()
            .is_empty()
    );
    let epoch = world.claim(&a, one).await;
    assert!(
        world
            .storage
            .read_thread(&a, Seq(0), 10)
            .await
            .unwrap()
            .is_empty()
    );
    for revision in 0..10 {
        committed(world.append(note(&a, epoch, revision)).await);
    }
    for (from, limit, expected) in [
        (0, 3, 0..3),
        (0, 10, 0..10),
        (0, usize::MAX, 0..10),
        (4, 1, 4..5),
        (9, 5, 9..10),
        (3, 0, 3..3),
        (10, 5, 10..10),
        (11, 5, 11..11),
        (u64::MAX, 5, 0..0),
    ] {
        let page = world
            .storage
            .read_thread(&a, Seq(from), limit)
            .await
            .unwrap();
        let seqs: Vec<u64> = page.iter().map(|entry| entry.seq.0).collect();
        assert_eq!(
            seqs,
            expected.collect::<Vec<_>>(),
            "from {from}, limit {limit}"
        );
    }
}

/// An adapter may keep entries in blocks: no place is another's edge.
async fn a_page_begins_at_every_place(world: World) {
    const LEN: u64 = 1_030;
    let one = world.node(1).await;
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    let mut whole = commit(&a, epoch, 0);
    whole.entries = (0..LEN).map(|n| entry(n.to_string())).collect();
    committed(world.append(whole).await);
    for from in 0..=LEN {
        let page = world.storage.read_thread(&a, Seq(from), 2).await.unwrap();
        let seqs: Vec<u64> = page.iter().map(|entry| entry.seq.0).collect();
        let expected: Vec<u64> = (from..LEN.min(from + 2)).collect();
        assert_eq!(seqs, expected, "two entries from {from} on");
        let right = page.iter().all(|e| e.payload == e.seq.0.to_string());
        assert!(right, "another's payload at {from}");
    }
}

async fn ten_thousand_entries_are_read_by_pages(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    for revision in 0..10 {
        let mut thousand = commit(&a, epoch, revision);
        let from = revision * 1000;
        thousand.entries = (from..from + 1000).map(|n| entry(n.to_string())).collect();
        assert_eq!(committed(world.append(thousand).await), revision + 1);
    }
    for page in [333, 10_000] {
        let thread = world.thread_by(&a, page).await;
        assert_eq!(thread.len(), 10_000);
        for (n, entry) in thread.iter().enumerate() {
            assert_eq!(entry.payload, n.to_string().as_bytes(), "entry {n}");
            assert_eq!(entry.revision.0, n as u64 / 1000 + 1);
            assert_eq!(entry.epoch, epoch);
        }
    }
}

async fn large_entries_come_one_by_one_if_they_must(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    // As large as a commit may be, up to 3 MB, with the entry's kind.
    let limit = world.storage.capabilities().max_commit_bytes - "noted".len();
    let mut draw = Draw::new(7);
    let mut payloads = Vec::new();
    let most = world.storage.capabilities().max_commit_bytes - "noted".len();
    for (revision, len) in [10, 3_000_000, 0, 1_000_000, 1_000_000, 5]
        .into_iter()
        .map(|len| limit.min(len))
        .enumerate()
    {
        let payload = draw.bytes(len.min(most));
        let mut large = commit(&a, epoch, revision as u64);
        large.entries.push(entry(payload.clone()));
        committed(world.append(large).await);
        payloads.push(payload);
    }
    let thread = world.thread(&a).await;
    let read: Vec<_> = thread.into_iter().map(|entry| entry.payload).collect();
    assert!(read == payloads, "payloads differ");
    // At least one comes, however large.
    assert_eq!(
        world
            .storage
            .read_thread(&a, Seq(1), 1)
            .await
            .unwrap()
            .len(),
        1
    );
}

async fn entries_come_back_as_given(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    let kinds = [
        "k".to_owned(),
        "x".repeat(128),
        "é/%' \"\\\u{1}\u{10ffff}".to_owned(),
    ];
    let mut given = commit(&a, epoch, 0);
    for (at, kind) in kinds.iter().enumerate() {
        let at = [Timestamp(0), Timestamp(u64::MAX / 2), Timestamp(1)][at];
        let mut entry = NewEntry::new(kind, at, vec![0, 255, b'J', 1].into()).unwrap();
        entry.refs = vec![("a".into(), String::new()), ("a".into(), "twice".into())];
        given.entries.push(entry);
    }
    committed(world.append(given.clone()).await);
    for (given, read) in given.entries.iter().zip(world.thread(&a).await) {
        assert_eq!(
            (&given.kind, given.at, &given.payload, &given.refs),
            (&read.kind, read.at, &read.payload, &read.refs)
        );
    }
}

async fn threads_of_neighbours_do_not_mix(world: World) {
    let one = world.node(1).await;
    let ids = [
        id("a"),
        id("aa"),
        id("a/0"),
        super::fixture::id_of("agents.a", "a"),
    ];
    for id in &ids {
        let epoch = world.claim(id, one).await;
        let mut given = commit(id, epoch, 0);
        given.entries = (0..5).map(|n| entry(format!("{id} {n}"))).collect();
        committed(world.append(given).await);
    }
    for id in &ids {
        let thread = world.thread_by(id, 2).await;
        assert_eq!(thread.len(), 5);
        for (n, entry) in thread.iter().enumerate() {
            assert_eq!(entry.payload, format!("{id} {n}"));
        }
    }
}
