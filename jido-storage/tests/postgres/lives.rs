//! Records of lives that are over are removed as `docs/postgres.md` says: its SQL is what
//! runs here.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use jido_core::{Epoch, Incarnation, NodeName, Timestamp};
use jido_storage::{
    ClaimOutcome, ClaimRequest, NodeRegistration, PostgresStorage, Registration, Renewal, Storage,
};

use crate::fixture::*;
use crate::roles::blocks;

/// Removes what may go.
async fn remove(session: &mut Session) {
    let mut blocks = blocks().into_iter();
    let sql = blocks.find(|block| block.starts_with("delete from jido.node"));
    session.run(sql.unwrap()).await;
}

async fn lives(storage: &PostgresStorage) -> Vec<u128> {
    let nodes = storage.nodes(&cluster()).await.unwrap();
    nodes.iter().map(|node| node.incarnation.0).collect()
}

async fn bury(storage: &PostgresStorage, life: u128) -> bool {
    let cluster = cluster();
    let dead = storage.declare_dead(&cluster, Incarnation(life), None);
    dead.await.unwrap()
}

async fn claim_for(storage: &PostgresStorage, key: &str, life: u128) -> ClaimOutcome {
    let claim = ClaimRequest {
        id: id(key),
        claimant: Incarnation(life),
        take_from: None,
        at: Timestamp(5),
    };
    storage.claim(claim).await.unwrap()
}

#[tokio::test]
async fn the_dead_that_own_nothing_are_removed_and_stay_dead() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let (storage, epochs) = claimed(options(&url), &["a"]).await;
    // Each of a time long ago, but for the last.
    for life in 2..=3 {
        register(&storage, Incarnation(life)).await;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let young = NodeRegistration {
        cluster: cluster(),
        name: NodeName::new("young").unwrap(),
        incarnation: Incarnation(4),
        address: String::new(),
        metadata: BTreeMap::new(),
        at: Timestamp(now.as_millis() as u64),
    };
    let registered = storage.register_node(young).await.unwrap();
    assert!(matches!(registered, Registration::Registered(_)));
    for life in [1, 2, 4] {
        assert!(bury(&storage, life).await);
    }
    let mut session = Session::open(&url).await;
    remove(&mut session).await;
    assert_eq!(lives(&storage).await, [1, 3, 4]);

    let two = Incarnation(2);
    let renewed = storage.renew_node(&cluster(), two).await.unwrap();
    assert_eq!(renewed, Renewal::Dead);
    assert!(bury(&storage, 2).await);
    let outcome = claim_for(&storage, "b", 2).await;
    assert_eq!(outcome, ClaimOutcome::ClaimantDead);

    // What the first owned is claimed, and then it owns nothing either.
    let outcome = claim_for(&storage, "a", 3).await;
    assert_eq!(outcome, ClaimOutcome::Claimed(Epoch(epochs[0].0 + 1)));
    remove(&mut session).await;
    assert_eq!(lives(&storage).await, [3, 4]);
    let late = storage.append(note("a", epochs[0], 0)).await;
    assert!(
        matches!(late, jido_storage::AppendOutcome::Fenced { .. }),
        "{late:?}"
    );
}

#[tokio::test]
async fn an_owner_without_a_record_is_followed_like_a_dead_one() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let (storage, epochs) = claimed(options(&url), &["a"]).await;
    register(&storage, Incarnation(2)).await;
    let mut session = Session::open(&url).await;
    session.run("delete from jido.node where name = 'n1'").await;
    let outcome = claim_for(&storage, "a", 2).await;
    assert_eq!(outcome, ClaimOutcome::Claimed(Epoch(epochs[0].0 + 1)));
}
