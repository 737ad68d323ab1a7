//! Rows that somebody else wrote: an error that names which, and they are left as they are.

use bytes::Bytes;
use jido_core::{RequestId, Seq, Timestamp};
use jido_storage::{DirectoryQuery, Error, ErrorKind, PostgresStorage, RequestRecord, Storage};

use crate::fixture::*;

/// Everything that is read, and every way in which that was refused.
async fn refusals(storage: &PostgresStorage) -> Vec<String> {
    let query = DirectoryQuery {
        cluster: cluster(),
        manager: id("a").manager,
        after: None,
        limit: 10,
    };
    let a = id("a");
    let answers: [Option<Error>; 7] = [
        storage.load(&a).await.err(),
        storage.heads(std::slice::from_ref(&a)).await.err(),
        storage.read_thread(&a, Seq(0), 10).await.err(),
        storage.read_thread(&a, Seq(1), 10).await.err(),
        storage.reply_of(&a, RequestId::new(1, 1)).await.err(),
        storage.directory(query).await.err(),
        storage.nodes(&cluster()).await.err(),
    ];
    let errors = answers.into_iter().flatten();
    errors
        .map(|error| {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            error.to_string()
        })
        .collect()
}

#[tokio::test]
async fn each_row_that_can_not_be_read_is_named_and_left() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let (storage, epochs) = claimed(options(&url), &["a"]).await;
    let mut whole = note("a", epochs[0], 0);
    whole.entries.push(whole.entries[0].clone());
    whole.entries[1].refs.push(("name".into(), "value".into()));
    whole.thread_metadata.insert("title".into(), "text".into());
    whole.requests.push(RequestRecord {
        request: RequestId::new(1, 1),
        issued_at: Timestamp(1),
        reply: Bytes::from_static(b"reply"),
    });
    assert_eq!(committed(&storage.append(whole).await), 1);
    assert_eq!(refusals(&storage).await, Vec::<String>::new());

    let mut session = Session::open(&url).await;
    // What the schema itself refuses is tried without it.
    session
        .run(
            "do $$ declare one record; begin for one in select conrelid::regclass as of, conname \
             from pg_constraint where contype = 'c' and connamespace = 'jido'::regnamespace loop \
             execute format('alter table %s drop constraint %I', one.of, one.conname); \
             end loop; end $$",
        )
        .await;
    for (table, change, named) in [
        (
            "entry",
            "refs = '{\"a\": 1}' where seq = 1",
            "entry 1 of agent",
        ),
        ("entry", "refs = '[[\"a\"]]' where seq = 1", "column refs"),
        ("entry", "epoch = -1 where seq = 0", "entry 0 of agent"),
        ("entry", "seq = 7 where seq = 1", "entry 1 of agent"),
        ("agent", "thread_metadata = '[1]'", "column thread_metadata"),
        (
            "agent",
            "thread_metadata = '{\"a\": null}'",
            "thread_metadata",
        ),
        ("agent", "epoch = -1", "column epoch"),
        ("agent", "revision = -1", "column revision"),
        ("agent", "thread_len = -1", "column thread_len"),
        ("agent", "floor = -1", "column floor"),
        ("agent", "updated_at = -1", "column updated_at"),
        ("agent", "key = repeat('x', 2000)", "column key"),
        ("request", "issued_at = -1", "column issued"),
        ("request", "revision = -1", "column revision"),
        ("node", "name = ''", "column name"),
        ("node", "beat = -1", "column beat"),
        ("node", "state = 'half'", "column state"),
        ("node", "metadata = '{\"a\": {}}'", "column metadata"),
    ] {
        let rows = format!("select jsonb_agg(t order by t::text)::text from {table} t");
        let before = session.ask(&*rows).await;
        session
            .run(format!("create table saved as table {table}"))
            .await;
        session.run(format!("update {table} set {change}")).await;
        let bad = session.ask(&*rows).await;
        assert_ne!(bad, before);
        let told = refusals(&storage).await;
        assert!(
            told.iter().any(|error| error.contains(named)),
            "{table} {change}: {told:?}"
        );
        assert_eq!(session.ask(&*rows).await, bad, "it was written over");
        session.run(format!("delete from {table}")).await;
        let restore = match table {
            // Its id is the row's own to give.
            "agent" => "overriding system value",
            _ => "",
        };
        session
            .run(format!(
                "insert into {table} {restore} table saved; drop table saved"
            ))
            .await;
        assert_eq!(session.ask(&*rows).await, before);
    }
    assert_eq!(refusals(&storage).await, Vec::<String>::new());
}
