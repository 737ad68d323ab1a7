//! The directory: who is in it, and its pages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use jido_core::{AgentId, ClusterName, ManagerName, Timestamp};

use super::fixture::{World, cluster, commit, committed, id, id_of, note, registration};
use crate::{ClaimOutcome, ClaimRequest, Cursor, DirectoryQuery, ErrorKind};

super::cases![Directory: [
    owned_and_dormant_agents_are_in_it,
    it_ends_and_says_so,
    a_page_without_a_bound_is_a_page,
    managers_and_clusters_do_not_meet,
    long_and_odd_keys_are_paged_too,
    pages_go_on_while_agents_come_and_go,
    a_thousand_are_paged_while_others_come_and_go,
    a_foreign_cursor_is_refused,
]];

async fn owned_and_dormant_agents_are_in_it(world: World) {
    let one = world.node(1).await;
    let mut epochs = Vec::new();
    for key in ["owned", "dormant", "deleted", "untouched"] {
        epochs.push(world.claim(&id(key), one).await);
    }
    let mut dormant = note(&id("dormant"), epochs[1], 0);
    dormant.release = true;
    committed(world.append(dormant).await);
    committed(world.append(note(&id("deleted"), epochs[2], 0)).await);
    committed(
        world
            .storage
            .delete(&id("deleted"), epochs[2], Timestamp(9))
            .await,
    );
    // Claimed and given back without a commit: there is nothing to find.
    let mut untouched = commit(&id("untouched"), epochs[3], 0);
    untouched.release = true;
    committed(world.append(untouched).await);
    assert_eq!(world.keys("agents", 10).await, ["dormant", "owned"]);
    for record in world.page("agents", None, 10).await.agents {
        assert_eq!(record, world.head(&record.id).await);
    }
}

async fn it_ends_and_says_so(world: World) {
    let one = world.node(1).await;
    assert!(world.page("agents", None, 5).await.next.is_none());
    for n in 0..10 {
        world.claim(&id(format!("k{n}")), one).await;
    }
    let whole = world.keys("agents", 1000).await;
    assert_eq!(whole.len(), 10);
    for limit in [0, 1, 3, 5, 9, 10, 11] {
        assert_eq!(world.keys("agents", limit).await, whole, "limit {limit}");
    }
    let page = world.page("agents", None, 10).await;
    assert!(
        page.agents.len() < 10 || page.next.is_none(),
        "a next page would be empty"
    );
    assert_eq!(world.page("agents", None, 0).await.agents.len(), 1);
}

async fn a_page_without_a_bound_is_a_page(world: World) {
    let one = world.node(1).await;
    assert!(world.keys("agents", usize::MAX).await.is_empty());
    for n in 0..10 {
        world.claim(&id(format!("k{n}")), one).await;
    }
    let whole = world.keys("agents", 1000).await;
    assert_eq!(whole.len(), 10);
    for limit in [usize::MAX, usize::MAX - 1, i64::MAX as usize] {
        assert_eq!(world.keys("agents", limit).await, whole, "limit {limit}");
    }
}

async fn managers_and_clusters_do_not_meet(world: World) {
    let one = world.node(1).await;
    let managers = ["a", "a.b", "a-b", "aa", "b", "A", "a.", "_"];
    for manager in managers {
        for key in ["x", "y", manager] {
            let id = id_of(manager, key);
            let epoch = world.claim(&id, one).await;
            committed(world.append(note(&id, epoch, 0)).await);
        }
    }
    let other = ClusterName::new("main.a").unwrap();
    let mut node = registration("n1", 1);
    node.cluster = other.clone();
    world.storage.register_node(node).await.unwrap();
    let abroad = AgentId {
        cluster: other.clone(),
        ..id_of("a", "abroad")
    };
    let claim = ClaimRequest {
        id: abroad,
        claimant: one,
        take_from: None,
        at: Timestamp(1),
    };
    assert!(matches!(
        world.storage.claim(claim).await,
        Ok(ClaimOutcome::Claimed(_))
    ));
    for manager in managers {
        let mut expected = vec!["x".to_owned(), "y".into(), manager.into()];
        expected.sort();
        for limit in [1, 2, 100] {
            assert_eq!(
                world.keys(manager, limit).await,
                expected,
                "manager {manager}"
            );
        }
    }
    let query = DirectoryQuery {
        cluster: other,
        manager: ManagerName::new("a").unwrap(),
        after: None,
        limit: 10,
    };
    let page = world.storage.directory(query).await.unwrap();
    assert_eq!(
        page.keys().map(|key| key.as_str()).collect::<Vec<_>>(),
        ["abroad"]
    );
    assert!(world.keys("nobody", 10).await.is_empty());
}

async fn long_and_odd_keys_are_paged_too(world: World) {
    let one = world.node(1).await;
    let mut keys: Vec<String> = (0..20)
        .map(|n| format!("{}{n:04}", "k".repeat(1020)))
        .chain((0..10).map(|n| format!("{n:03}{}", "é".repeat(400))))
        .chain((0..10).map(|n| format!("short-{n}")))
        .chain(super::keys::ODD_KEYS.iter().map(|key| (*key).to_owned()))
        .collect();
    for key in &keys {
        let epoch = world.claim(&id(key), one).await;
        committed(world.append(note(&id(key), epoch, 0)).await);
    }
    keys.sort();
    for limit in [1, 7, 1000] {
        assert_eq!(world.keys("agents", limit).await, keys, "limit {limit}");
    }
}

async fn pages_go_on_while_agents_come_and_go(world: World) {
    let one = world.node(1).await;
    let mut epochs = BTreeMap::new();
    for n in 0..30 {
        let key = format!("k{n:02}");
        let epoch = world.claim(&id(&key), one).await;
        committed(world.append(note(&id(&key), epoch, 0)).await);
        epochs.insert(key, epoch);
    }
    let mut seen = Vec::new();
    let mut after = None;
    let mut deleted = Vec::new();
    loop {
        let page = world.page("agents", after, 4).await;
        seen.extend(page.keys().map(|key| key.as_str().to_owned()));
        let Some(next) = page.next else { break };
        // The places where the page began and ended go away, and one other agent comes.
        let first = page.agents[0].id.key.as_str().to_owned();
        let last = page.agents.last().unwrap().id.key.as_str().to_owned();
        for gone in BTreeSet::from([&first, &last]) {
            if let Some(epoch) = epochs.get(gone) {
                committed(world.storage.delete(&id(gone), *epoch, Timestamp(9)).await);
                deleted.push(gone.clone());
            }
        }
        world.claim(&id(format!("{last}-new")), one).await;
        after = Some(next);
        assert!(seen.len() < 200, "the directory has no end");
    }
    for key in epochs.keys() {
        assert_eq!(
            seen.iter().filter(|other| *other == key).count(),
            1,
            "{key} in {seen:?}"
        );
    }
    assert!(!deleted.is_empty());
}

async fn a_foreign_cursor_is_refused(world: World) {
    let one = world.node(1).await;
    world.claim(&id("a"), one).await;
    for bytes in [
        Bytes::new(),
        Bytes::from(vec![255; 3000]),
        Bytes::from_static(b"\0"),
    ] {
        let query = DirectoryQuery {
            cluster: cluster(),
            manager: ManagerName::new("agents").unwrap(),
            after: Some(Cursor(bytes.clone())),
            limit: 10,
        };
        let error = world
            .storage
            .directory(query)
            .await
            .expect_err("a foreign cursor");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bytes:?}");
    }
}

/// Tells a task to end, however the case ends.
struct Raise(Arc<AtomicBool>);

impl Drop for Raise {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn a_thousand_are_paged_while_others_come_and_go(world: World) {
    const STAY: usize = 1_000;
    let one = world.node(1).await;
    let stay: Vec<String> = (0..STAY).map(|n| format!("k{n:04}")).collect();
    for keys in stay.chunks(250) {
        let claims: Vec<_> = keys
            .iter()
            .map(|key| {
                let (world, key) = (world.clone(), key.clone());
                tokio::spawn(async move { world.claim(&id(key), one).await })
            })
            .collect();
        let mut batch = Vec::new();
        for (key, claim) in keys.iter().zip(claims) {
            let mut append = note(&id(key), claim.await.unwrap(), 0);
            append.release = true;
            batch.push(append);
        }
        for outcome in world.storage.append_many(batch).await {
            committed(outcome);
        }
    }
    // They come and go for as long as pages are read, and this case goes on.
    let over = Arc::new(AtomicBool::new(false));
    let _at_the_end = Raise(over.clone());
    let passed = Arc::new(AtomicUsize::new(0));
    let passing = {
        let (world, over, passed) = (world.clone(), over.clone(), passed.clone());
        tokio::spawn(async move {
            let mut n = 0;
            while !over.load(Ordering::Relaxed) {
                let id = id(format!("k{:04}-passing", n * 37 % STAY));
                let epoch = world.claim(&id, one).await;
                let revision = world.head(&id).await.revision.0;
                committed(world.append(note(&id, epoch, revision)).await);
                tokio::task::yield_now().await;
                committed(world.storage.delete(&id, epoch, Timestamp(9)).await);
                n = passed.fetch_add(1, Ordering::Relaxed) + 1;
                tokio::task::yield_now().await;
            }
        })
    };
    while passed.load(Ordering::Relaxed) == 0 {
        assert!(!passing.is_finished(), "who comes can not go");
        tokio::task::yield_now().await;
    }
    for limit in [1_000, 64] {
        // No agent twice, says `keys` itself.
        let mut seen = world.keys("agents", limit).await;
        seen.retain(|key| !key.ends_with("-passing"));
        assert!(
            seen == stay,
            "of {STAY} agents that stay {} are listed",
            seen.len()
        );
    }
    over.store(true, Ordering::Relaxed);
    passing.await.unwrap();
    assert!(
        world.keys("agents", 500).await == stay,
        "who went is still listed"
    );
}
