//! The schema: its name, its versions, and what is set on connections to it.

use std::time::Duration;

use jido_storage::{ErrorKind, PostgresStorage, Storage};

use crate::fixture::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_start_at_once_migrate_once() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let starting: Vec<_> = (0..12)
        .map(|_| {
            let options = options(&url);
            tokio::spawn(PostgresStorage::connect(options))
        })
        .collect();
    for started in starting {
        started.await.unwrap().unwrap();
    }
    let mut session = Session::open(&url).await;
    let versions = "select string_agg(version::text, ',') from _sqlx_migrations";
    assert_eq!(session.ask(versions).await, "1,2,3");
}

#[tokio::test]
async fn another_version_of_the_schema_is_refused() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let none = PostgresStorage::connect(options(&url).migrate(false)).await;
    let error = none.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    assert!(error.to_string().contains("migrate"), "{error}");

    connect(&url).await.close().await;
    let mut session = Session::open(&url).await;
    session
        .run("insert into _sqlx_migrations values (9999, 'newer', now(), true, '\\x00', 1)")
        .await;
    for migrate in [true, false] {
        let newer = PostgresStorage::connect(options(&url).migrate(migrate)).await;
        let error = newer.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Schema);
        let message = error.to_string();
        assert!(
            message.contains("9999") && message.contains("newer build"),
            "{message}"
        );
    }
    session.run("delete from _sqlx_migrations").await;
    let older = PostgresStorage::connect(options(&url).migrate(false)).await;
    let error = older.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    assert!(error.to_string().contains("migrate"), "{error}");
}

#[tokio::test]
async fn schemas_of_any_allowed_name_are_apart() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let longest = "x".repeat(63);
    let names = [
        "Mixed-Case",
        "mixed-case",
        "select",
        "_",
        "public",
        &longest,
    ];
    for name in names {
        let options = options(&url).schema(name).unwrap();
        let (storage, epochs) = claimed(options.clone(), &["a"]).await;
        assert_eq!(epochs[0].0, 1, "{name} has another's agents");
        assert_eq!(committed(&storage.append(note("a", epochs[0], 0)).await), 1);
        storage.close().await;
        PostgresStorage::connect(options.migrate(false))
            .await
            .unwrap();
    }
    let mut session = Session::open(&url).await;
    for name in names {
        let count = format!("select count(*)::text from \"{name}\".entry");
        assert_eq!(session.ask(count).await, "1");
    }
}

#[tokio::test]
async fn a_database_of_another_encoding_is_refused() {
    // Its locale allows for it, which another's may not.
    let server = own_server().await;
    let sql = "create database latin encoding 'LATIN1' template template0";
    server.execute(server.url(), sql).await.unwrap();
    let url = server
        .url()
        .replace("/postgres", "/latin")
        .replacen("/latin:", "/postgres:", 1);
    let error = PostgresStorage::connect(options(&url)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("LATIN1"), "{error}");
}

#[tokio::test]
async fn connections_are_set_against_the_defaults_of_the_database() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let database = url.rsplit('/').next().unwrap();
    let mut session = Session::open(&url).await;
    for weaker in [
        "synchronous_commit = off",
        "default_transaction_isolation = serializable",
        "search_path = public",
        "lock_timeout = 0",
        "statement_timeout = 0",
    ] {
        session
            .run(format!("alter database {database} set {weaker}"))
            .await;
    }
    let (storage, epochs) = claimed(options(&url), &["a"]).await;
    session
        .run("create table public.seen (settings text)")
        .await;
    session
        .on_entry(
            "insert into public.seen select string_agg(name || '=' || setting, ' ' order by name) \
             from pg_settings where name in ('synchronous_commit', 'transaction_isolation', \
             'lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout', \
             'application_name');",
        )
        .await;
    assert_eq!(committed(&storage.append(note("a", epochs[0], 0)).await), 1);
    assert_eq!(
        session.ask("select settings from public.seen").await,
        "application_name=jido idle_in_transaction_session_timeout=10000 lock_timeout=5000 \
         statement_timeout=10000 synchronous_commit=on transaction_isolation=read committed"
    );
}

/// A plan is made once for a connection, while tables may be empty: it has to go by
/// indexes all the same.
#[tokio::test]
async fn no_statement_of_an_agent_reads_a_whole_table() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let (storage, epochs) = claimed(options(&url), &["a", "b"]).await;
    for revision in 0..5 {
        let batch = vec![
            note("a", epochs[0], revision),
            note("b", epochs[1], revision),
        ];
        for outcome in storage.append_many(batch).await {
            assert_eq!(committed(&outcome), revision + 1);
        }
        storage.load(&id("a")).await.unwrap().unwrap();
        let from = jido_core::Seq(0);
        storage.read_thread(&id("a"), from, 10).await.unwrap();
        let request = jido_core::RequestId::new(1, 1);
        storage.reply_of(&id("a"), request).await.unwrap();
    }
    let deleted = storage
        .delete(&id("a"), epochs[0], jido_core::Timestamp(1))
        .await;
    assert_eq!(committed(&deleted), 6);
    storage.close().await;
    let mut session = Session::open(&url).await;
    // A connection counts what it did when it ends, at the latest.
    let counted = "select sum(n_tup_upd)::text from pg_stat_user_tables where relname = 'agent'";
    let wait = async {
        while session.ask(counted).await != "11" {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap();
    let scans = "select coalesce(string_agg(relname, ' '), 'none') from pg_stat_user_tables \
                 where seq_tup_read > 0 and relname in ('agent', 'entry', 'request')";
    assert_eq!(session.ask(scans).await, "none");
}

/// Neither another's migration that hangs is waited for without end, nor one's own.
#[tokio::test]
async fn a_migration_that_hangs_is_told_as_such() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let other = || options(&url).schema("other").unwrap();
    connect(&url).await.close().await;
    // Whoever makes the same schema waits for the end of this.
    let mut session = Session::open(&url).await;
    session.run("begin; create schema other").await;
    let hangs = tokio::spawn(PostgresStorage::connect(other()));
    let mut watcher = Session::open(&url).await;
    watcher.waiting(1).await;
    let short = Duration::from_millis(200);
    let refused = PostgresStorage::connect(options(&url).migration_timeout(short)).await;
    let error = refused.unwrap_err();
    assert!(error.is_retryable());
    let message = error.to_string();
    let told = message.contains("another migration") && message.contains("200ms");
    assert!(told, "{message}");
    // Who only looks waits for nobody.
    let looked = PostgresStorage::connect(options(&url).migrate(false)).await;
    looked.unwrap();
    session.run("rollback").await;
    hangs.await.unwrap().unwrap();

    let another = || options(&url).schema("another").unwrap();
    session.run("begin; create schema another").await;
    let refused = PostgresStorage::connect(another().migration_timeout(short)).await;
    let error = refused.unwrap_err();
    assert!(error.is_retryable());
    let message = error.to_string();
    assert!(message.contains("migration of schema another"), "{message}");
    session.run("rollback").await;
    PostgresStorage::connect(another()).await.unwrap();
}
