//! Connections are opened as they are needed, used again, and closed.

use std::time::Duration;

use jido_core::Epoch;
use jido_storage::{ErrorKind, PostgresStorage, Storage};
use jido_testkit::postgres::TemporaryPostgres;

use crate::fixture::*;

/// The server processes of the storage's connections, in order.
const PROCESSES: &str = "select string_agg(pid::text, ' ' order by pid) from pg_stat_activity \
                         where application_name = 'jido' and datname = current_database()";

async fn fresh() -> (TemporaryPostgres, String) {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    (server, url)
}

/// A storage with one agent, its epoch, and a session beside it.
async fn one_agent() -> (TemporaryPostgres, PostgresStorage, Epoch, Session) {
    let (server, url) = fresh().await;
    let (storage, epochs) = claimed(options(&url), &["a"]).await;
    let session = Session::open(&url).await;
    (server, storage, epochs[0], session)
}

/// Waits until the storage's connections are so many.
async fn until_open(session: &mut Session, count: usize) {
    let wait = async {
        while session.ask(PROCESSES).await.split_whitespace().count() != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap();
}

#[tokio::test]
async fn who_asks_for_one_thing_after_the_other_uses_one_connection() {
    let (_server, storage, epoch, mut session) = one_agent().await;
    // One for statements, and one for leases, by which the node was registered.
    until_open(&mut session, 2).await;
    let before = session.ask(PROCESSES).await;
    for revision in 0..100 {
        committed(&storage.append(note("a", epoch, revision)).await);
        storage.head(&id("a")).await.unwrap();
    }
    assert_eq!(session.ask(PROCESSES).await, before);
}

#[tokio::test]
async fn no_more_connections_are_opened_than_there_may_be_and_who_finds_none_waits() {
    let (_server, url) = fresh().await;
    let keys: Vec<String> = (0..12).map(|n| format!("agent-{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let patient = options(&url).max_connections(3);
    let (storage, epochs) = claimed(patient, &keys).await;
    let mut session = Session::open(&url).await;
    session.hold(keys[0]).await;
    let held = append(&storage, note(keys[0], epochs[0], 0));
    session.waiting(1).await;
    let others = keys.iter().zip(&epochs).skip(1);
    let others: Vec<_> = others
        .map(|(key, epoch)| append(&storage, note(key, *epoch, 0)))
        .collect();
    for other in others {
        committed(&other.await.unwrap());
    }
    session.run("select pg_stat_clear_snapshot()").await;
    let open = session.ask(PROCESSES).await;
    // Three, and one for leases.
    assert!((3..=4).contains(&open.split_whitespace().count()), "{open}");
    session.let_go().await;
    committed(&held.await.unwrap());
}

#[tokio::test]
async fn closing_waits_for_what_is_under_way_and_nothing_is_taken_after_it() {
    let (_server, storage, epoch, mut session) = one_agent().await;
    session.hold("a").await;
    let appending = append(&storage, note("a", epoch, 0));
    session.waiting(1).await;
    let closing = tokio::spawn({
        let storage = storage.clone();
        async move { storage.close().await }
    });
    let refused = async {
        loop {
            match storage.head(&id("a")).await {
                Err(error) if error.to_string().contains("closed") => return error,
                Err(error) => panic!("{error}"),
                // It has not come to it yet.
                Ok(_) => tokio::task::yield_now().await,
            }
        }
    };
    let error = tokio::time::timeout(LIMIT, refused).await.unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(!closing.is_finished());
    session.let_go().await;
    assert_eq!(committed(&appending.await.unwrap()), 1);
    tokio::time::timeout(LIMIT, closing).await.unwrap().unwrap();
    until_open(&mut session, 0).await;
}

#[tokio::test]
async fn a_storage_that_is_dropped_leaves_no_connection() {
    let (_server, storage, _, mut session) = one_agent().await;
    until_open(&mut session, 2).await;
    drop(storage);
    until_open(&mut session, 0).await;
}
