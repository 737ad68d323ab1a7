//! Connections that break, servers that stop: what is certain is told, what is not is
//! `Unknown`, and all works again once the server does.

use std::time::Duration;

use jido_storage::{AppendOutcome, ErrorKind, PostgresStorage, Renewal, Storage};
use jido_testkit::postgres::{Shutdown, TemporaryPostgres};

use crate::fixture::*;

#[track_caller]
fn unknown(outcome: &AppendOutcome) -> String {
    match outcome {
        AppendOutcome::Unknown(error) => error.to_string(),
        other => panic!("expected Unknown, got {other:?}"),
    }
}

/// Claims until the server is there again, which settles what is unknown, and gives
/// the epoch and the revision.
async fn settled(storage: &PostgresStorage, key: &str) -> (jido_core::Epoch, u64) {
    let claim = async {
        loop {
            match try_claim(storage, key).await {
                Ok(jido_storage::ClaimOutcome::Claimed(epoch)) => return epoch,
                Ok(other) => panic!("{other:?}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
            }
        }
    };
    let epoch = tokio::time::timeout(LIMIT, claim).await.unwrap();
    let head = storage.head(&id(key)).await.unwrap().unwrap();
    (epoch, head.revision.0)
}

#[tokio::test]
async fn a_connection_that_is_ended_under_a_commit_leaves_it_unknown() {
    let server = own_server().await;
    let (storage, epochs) = claimed(options(server.url()), &["a"]).await;
    let mut session = Session::open(server.url()).await;
    session.hold("a").await;
    let appending = append(&storage, note("a", epochs[0], 0));
    let pid = session.waiting(1).await;
    session
        .ask(format!("select pg_terminate_backend({pid})::text"))
        .await;
    let message = unknown(&appending.await.unwrap());
    assert!(message.contains("57P01"), "{message}");
    session.let_go().await;
    let (epoch, revision) = settled(&storage, "a").await;
    assert_eq!(revision, 0);
    assert_eq!(committed(&storage.append(note("a", epoch, 0)).await), 1);
}

#[tokio::test]
async fn an_error_that_leaves_open_how_a_statement_ended_leaves_commits_unknown() {
    let server = server().await;
    for code in ["40003", "08006", "08007"] {
        let url = server.fresh_database().await.unwrap();
        let (storage, epochs) = claimed(options(&url), &["a", "b"]).await;
        let mut session = Session::open(&url).await;
        // A sequence counts on through what is rolled back.
        session.run("create sequence jido.tries").await;
        session
            .on_entry(&format!(
                "perform nextval('jido.tries'); \
                 raise exception 'who knows' using errcode = '{code}';"
            ))
            .await;
        let batch = vec![note("a", epochs[0], 0), note("b", epochs[1], 0)];
        for outcome in storage.append_many(batch).await {
            let message = unknown(&outcome);
            assert!(message.contains(code), "{message}");
        }
        // Once more might be twice.
        let tries = session.ask("select last_value::text from jido.tries").await;
        assert_eq!(tries, "1", "{code}");
    }
}

#[tokio::test]
async fn stops_of_the_server_are_survived() {
    for how in [Shutdown::Immediate, Shutdown::Fast] {
        let server = TemporaryPostgres::builder().own();
        let server = server.setting("max_prepared_transactions", "1");
        let mut server = server.start().await.unwrap();
        claimed(options(server.url()), &["a", "b"]).await;
        let storage = connect_impatient(impatient(server.url())).await;
        // From here on it has a connection.
        let (a, _) = settled(&storage, "a").await;
        let (b, _) = settled(&storage, "b").await;
        assert_eq!(committed(&storage.append(note("b", b, 0)).await), 1);
        let mut session = Session::open(server.url()).await;
        session.hold("a").await;
        // What holds the row is then no process that the server may stop before that one which
        // waits for it.
        session.run("prepare transaction 'held'").await;
        let appending = append(&storage, note("a", a, 0));
        session.waiting(1).await;
        server.stop(how).await.unwrap();
        unknown(&appending.await.unwrap());

        // Connections that lay idle are found dead one by one; then it is certain that
        // nothing is sent.
        let refused = async {
            loop {
                match storage.append(note("b", b, 1)).await {
                    AppendOutcome::Unknown(_) => {}
                    outcome => return failed(&outcome, ErrorKind::Unavailable),
                }
            }
        };
        tokio::time::timeout(LIMIT, refused).await.unwrap();
        assert_eq!(
            storage.head(&id("a")).await.unwrap_err().kind(),
            ErrorKind::Unavailable
        );

        server.start_again().await.unwrap();
        let mut session = Session::open(server.url()).await;
        session.run("rollback prepared 'held'").await;
        let (epoch, revision) = settled(&storage, "a").await;
        assert_eq!(revision, 0, "it waited for the row when the server stopped");
        assert_eq!(committed(&storage.append(note("a", epoch, 0)).await), 1);
        let (epoch, revision) = settled(&storage, "b").await;
        assert_eq!(revision, 1, "what was acknowledged is there, and no more");
        assert_eq!(committed(&storage.append(note("b", epoch, 1)).await), 2);
    }
}

#[tokio::test]
async fn a_restart_while_all_is_quiet_costs_no_commit_after_a_while() {
    let mut server = own_server().await;
    let (storage, epochs) = claimed(options(server.url()), &["a"]).await;
    server.stop(Shutdown::Fast).await.unwrap();
    server.start_again().await.unwrap();
    // Longer than a connection may be idle without being asked.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(committed(&storage.append(note("a", epochs[0], 0)).await), 1);
}

#[tokio::test]
async fn a_server_that_stands_still_leaves_a_commit_unknown_in_time() {
    let server = own_server().await;
    let (patient, _) = claimed(options(server.url()), &["a"]).await;
    // Long enough to stop the server while a statement waits.
    let short = impatient(server.url()).statement_timeout(Duration::from_secs(3));
    let storage = connect_impatient(short).await;
    let (before, _) = settled(&storage, "a").await;
    // The commit waits for a row, so that it is under way for certain when the server stops.
    let mut session = Session::open(server.url()).await;
    session.hold("a").await;
    let appending = append(&storage, note("a", before, 0));
    session.waiting(1).await;
    server.pause().unwrap();
    let outcome = tokio::time::timeout(LIMIT, appending).await.unwrap();
    unknown(&outcome.unwrap());
    // No connection can be opened, so this is certain.
    let outcome = storage.append(note("a", before, 0)).await;
    failed(&outcome, ErrorKind::Unavailable);

    server.resume().unwrap();
    session.let_go().await;
    let (epoch, revision) = settled(&storage, "a").await;
    let next = patient.append(note("a", epoch, revision)).await;
    assert_eq!(committed(&next), revision + 1);
    let stale = patient.append(note("a", before, revision + 1)).await;
    assert!(matches!(stale, AppendOutcome::Fenced { .. }), "{stale:?}");
}

#[tokio::test]
async fn a_commit_goes_on_when_nobody_waits_for_it() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let (storage, epochs) = claimed(options(&url), &["a"]).await;
    let mut session = Session::open(&url).await;
    session.hold("a").await;
    let both = vec![note("a", epochs[0], 0), note("a", epochs[0], 1)];
    let other = storage.clone();
    let appending = tokio::spawn(async move { other.append_many(both).await });
    session.waiting(1).await;
    appending.abort();
    assert!(appending.await.unwrap_err().is_cancelled());
    session.let_go().await;
    let written = async {
        while storage.head(&id("a")).await.unwrap().unwrap().revision.0 < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, written).await.unwrap();
}

#[tokio::test]
async fn renewals_wait_for_no_commit_and_an_abandoned_one_for_nobody() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let one = options(&url).max_connections(1);
    let (storage, epochs) = claimed(one, &["a"]).await;
    let mut session = Session::open(&url).await;
    session.hold("a").await;
    let appending = append(&storage, note("a", epochs[0], 0));
    session.waiting(1).await;
    let name = cluster();
    let renew = || storage.renew_node(&name, NODE);
    assert_eq!(renew().await.unwrap(), Renewal::Renewed(2));

    // More of them than there are connections for leases.
    session.run("select from node for update").await;
    for _ in 0..5 {
        let renewal = tokio::time::timeout(Duration::from_millis(100), renew()).await;
        assert!(renewal.is_err(), "{renewal:?}");
    }
    assert_eq!(storage.nodes(&name).await.unwrap().len(), 1);
    session.let_go().await;
    assert_eq!(committed(&appending.await.unwrap()), 1);
    // The abandoned ones may count too, if the server came to them.
    assert!(matches!(renew().await.unwrap(), Renewal::Renewed(3..)));
}
