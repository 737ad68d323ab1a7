//! What the server refuses: nothing was written, and the error says why.

use std::time::Duration;

use jido_storage::{AppendOutcome, ErrorKind, PostgresStorage, Storage};
use jido_testkit::postgres::TemporaryPostgres;
use sqlx::{Connection, PgConnection};

use crate::fixture::*;

#[tokio::test]
async fn one_bad_commit_fails_alone() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let keys = ["a", "b", "c", "d"];
    let (storage, epochs) = claimed(options(&url), &keys).await;
    let mut session = Session::open(&url).await;
    session
        .on_entry("if new.kind = 'bad' then raise exception 'no bad ones'; end if;")
        .await;
    let batch = keys.iter().zip(&epochs).map(|(key, epoch)| {
        let kind = if *key == "c" { "bad" } else { "good" };
        note_of(kind, key, *epoch, 0)
    });
    let outcomes = storage.append_many(batch.collect()).await;
    for (key, outcome) in keys.iter().zip(&outcomes) {
        if *key == "c" {
            let message = failed(outcome, ErrorKind::Unavailable);
            assert!(message.contains("no bad ones"), "{message}");
        } else {
            assert_eq!(committed(outcome), 1, "{key}");
        }
    }
    let count = "select string_agg(key, '' order by key) from entry \
                 join agent on agent.id = entry.agent";
    assert_eq!(session.ask(count).await, "abd");
    assert_eq!(storage.head(&id("c")).await.unwrap().unwrap().revision.0, 0);
}

#[tokio::test]
async fn a_row_that_is_held_fails_its_commit_alone() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let short = options(&url).lock_timeout(Duration::from_millis(200));
    let (storage, epochs) = claimed(short, &["a", "b", "c"]).await;
    let mut session = Session::open(&url).await;
    session.hold("b").await;
    let batch = ["a", "b", "c"].iter().zip(&epochs);
    let batch = batch.map(|(key, epoch)| note(key, *epoch, 0)).collect();
    let outcomes = storage.append_many(batch).await;
    assert_eq!(committed(&outcomes[0]), 1);
    let message = failed(&outcomes[1], ErrorKind::Unavailable);
    assert!(message.contains("55P03"), "{message}");
    assert_eq!(committed(&outcomes[2]), 1);
    let claim = try_claim(&storage, "b").await.unwrap_err();
    assert_eq!(claim.kind(), ErrorKind::Unavailable);

    session.let_go().await;
    assert_eq!(committed(&storage.append(note("b", epochs[1], 0)).await), 1);
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_undone() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let (storage, epochs) = claimed(options(&url), &["a"]).await;
    let short = options(&url).statement_timeout(Duration::from_millis(200));
    let short = connect_impatient(short).await;
    let mut session = Session::open(&url).await;
    session.hold("a").await;
    // Nothing else is asked of it: what has to succeed may take longer on a busy machine.
    let outcome = short.append(note("a", epochs[0], 0)).await;
    let message = failed(&outcome, ErrorKind::Unavailable);
    assert!(message.contains("57014"), "{message}");
    session.let_go().await;
    assert_eq!(committed(&storage.append(note("a", epochs[0], 0)).await), 1);
}

#[tokio::test]
async fn what_others_were_in_the_way_of_is_tried_again() {
    for code in ["40001", "40P01"] {
        let server = server().await;
        let url = server.fresh_database().await.unwrap();
        let (storage, epochs) = claimed(options(&url), &["a", "b"]).await;
        let mut session = Session::open(&url).await;
        // A sequence counts on through what is rolled back.
        session.run("create sequence jido.tries").await;
        session
            .on_entry(&format!(
                "if nextval('jido.tries') <= 3 then \
                 raise exception 'in the way' using errcode = '{code}'; end if;"
            ))
            .await;
        let batch = vec![note("a", epochs[0], 0), note("b", epochs[1], 0)];
        for outcome in storage.append_many(batch).await {
            assert_eq!(committed(&outcome), 1, "{code}");
        }
        session.run("alter sequence jido.tries restart").await;
        session
            .run(
                "create or replace function jido.on_entry() returns trigger language plpgsql as \
                  $$ begin raise exception 'in the way' using errcode = '40001'; end $$",
            )
            .await;
        let outcome = storage.append(note("a", epochs[0], 1)).await;
        let message = failed(&outcome, ErrorKind::Unavailable);
        assert!(message.contains("40001"), "{message}");
    }
}

#[tokio::test]
async fn a_full_disk_is_told_as_such() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let (storage, epochs) = claimed(options(&url), &["a", "b"]).await;
    let mut session = Session::open(&url).await;
    session
        .on_entry("raise exception 'could not extend file' using errcode = '53100';")
        .await;
    let batch = vec![note("a", epochs[0], 0), note("b", epochs[1], 0)];
    for outcome in storage.append_many(batch).await {
        let message = failed(&outcome, ErrorKind::Full);
        assert!(message.contains("53100"), "{message}");
    }
    assert_eq!(storage.head(&id("a")).await.unwrap().unwrap().revision.0, 0);
}

#[tokio::test]
async fn a_read_only_standby_is_read_and_refuses_writes() {
    let server = own_server().await;
    let (storage, epochs) = claimed(options(server.url()), &["a"]).await;
    assert_eq!(committed(&storage.append(note("a", epochs[0], 0)).await), 1);
    let standby = server.standby().await.unwrap();
    // It was copied with all that was there, and may not migrate.
    let refused = PostgresStorage::connect(options(standby.url()).schema("other").unwrap()).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unavailable);
    let storage = PostgresStorage::connect(options(standby.url()).migrate(false))
        .await
        .unwrap();
    assert_eq!(storage.head(&id("a")).await.unwrap().unwrap().revision.0, 1);
    let outcome = storage.append(note("a", epochs[0], 1)).await;
    let message = failed(&outcome, ErrorKind::Unavailable);
    assert!(
        message.contains("25006") && message.contains("standby"),
        "{message}"
    );
    let claim = try_claim(&storage, "a").await.unwrap_err();
    assert_eq!(claim.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_database_that_is_set_read_only_refuses_writes() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let (storage, epochs) = claimed(options(&url), &["a"]).await;
    storage.close().await;
    let database = url.rsplit('/').next().unwrap();
    let mut session = Session::open(&url).await;
    session
        .run(format!(
            "alter database {database} set default_transaction_read_only = on"
        ))
        .await;
    let storage = PostgresStorage::connect(options(&url).migrate(false))
        .await
        .unwrap();
    let outcome = storage.append(note("a", epochs[0], 0)).await;
    let message = failed(&outcome, ErrorKind::Unavailable);
    assert!(message.contains("25006"), "{message}");
}

#[tokio::test]
async fn a_server_without_a_connection_left_is_told_as_such() {
    const MOST: usize = 6;
    let server = TemporaryPostgres::builder()
        .own()
        .setting("max_connections", MOST.to_string())
        .setting("superuser_reserved_connections", "0")
        .start()
        .await
        .unwrap();
    let (storage, epochs) = claimed(options(server.url()), &["a"]).await;
    storage.close().await;
    // It opens connections when they are needed, and has none yet.
    let storage = connect_impatient(impatient(server.url())).await;
    // One that is still about to end counts too, and its place is free a little later.
    let take_all = async {
        let mut held = Vec::new();
        while held.len() < MOST {
            held.extend(PgConnection::connect(server.url()).await);
        }
        held
    };
    let held = tokio::time::timeout(LIMIT, take_all).await.unwrap();
    let outcome = storage.append(note("a", epochs[0], 0)).await;
    failed(&outcome, ErrorKind::Unavailable);
    let refused = PostgresStorage::connect(options(server.url())).await;
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("53300"), "{message}");

    drop(held);
    // The server notices the ends of connections in its own time.
    let again = async {
        loop {
            match storage.append(note("a", epochs[0], 0)).await {
                AppendOutcome::Failed(error) => assert!(error.is_retryable()),
                outcome => return committed(&outcome),
            }
        }
    };
    assert_eq!(tokio::time::timeout(LIMIT, again).await.unwrap(), 1);
}

#[tokio::test]
async fn a_wrong_user_password_or_database_is_the_callers_to_mend() {
    let server = own_server().await;
    let url = server.url();
    let (_, rest) = url.split_once('@').unwrap();
    let wrong = [
        format!("postgres://postgres:hunter2@{rest}"),
        format!("postgres://nobody:hunter2@{rest}"),
    ];
    for url in &wrong {
        let error = PostgresStorage::connect(options(url)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
    let error = PostgresStorage::connect(options(&format!("{url}_missing")))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    let stopped = PostgresStorage::connect(impatient("postgres://u:hunter2@127.0.0.1:1/d")).await;
    let error = stopped.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
}
