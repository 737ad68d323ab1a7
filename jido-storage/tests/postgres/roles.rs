//! The roles of `docs/postgres.md`: its SQL is what runs here.

use jido_storage::{ErrorKind, PostgresStorage, Storage};
use jido_testkit::postgres::TemporaryPostgres;

use crate::fixture::*;

/// The SQL in the document, block by block.
pub(crate) fn blocks() -> Vec<&'static str> {
    let document = include_str!("../../../docs/postgres.md");
    let parts = document.split("```sql\n").skip(1);
    parts
        .map(|part| part.split("```").next().unwrap())
        .collect()
}

/// The URL of a database as another role.
async fn url_as(server: &TemporaryPostgres, url: &str, role: &str) -> String {
    let sql = format!("alter role {role} password 'of-{role}'");
    server.execute(url, &sql).await.unwrap();
    let (_, rest) = url.split_once('@').unwrap();
    format!("postgres://{role}:of-{role}@{rest}")
}

#[tokio::test]
async fn the_runtime_role_reads_and_writes_records_and_nothing_else() {
    let server = own_server().await;
    let url = server.fresh_database().await.unwrap();
    let blocks = blocks();
    server.execute(&url, blocks[0]).await.unwrap();
    let owner = url_as(&server, &url, "jido_owner").await;
    let runtime = url_as(&server, &url, "jido_runtime").await;

    // Nothing is there to run on, and the runtime role may not make it.
    let refused = PostgresStorage::connect(options(&runtime).migrate(false)).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Schema);
    let refused = PostgresStorage::connect(options(&runtime)).await;
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(error.to_string().contains("42501"), "{error}");

    connect(&owner).await.close().await;
    server.execute(&owner, blocks[1]).await.unwrap();

    let (storage, epochs) = claimed(options(&runtime).migrate(false), &["a", "b"]).await;
    let mut whole = note("a", epochs[0], 0);
    let request = jido_core::RequestId::new(1, 1);
    whole.requests.push(jido_storage::RequestRecord {
        request,
        issued_at: jido_core::Timestamp(1),
        reply: bytes::Bytes::from_static(b"reply"),
    });
    assert_eq!(committed(&storage.append(whole).await), 1);
    let mut erasing = note("a", epochs[0], 1);
    erasing.erase.thread = true;
    erasing.forget.push(request);
    assert_eq!(committed(&storage.append(erasing).await), 2);
    assert!(storage.load(&id("a")).await.unwrap().is_some());
    assert!(storage.reply_of(&id("a"), request).await.unwrap().is_none());
    let thread = storage.read_thread(&id("a"), jido_core::Seq(0), 9).await;
    assert_eq!(thread.unwrap().len(), 1);
    let deleted = storage
        .delete(&id("b"), epochs[1], jido_core::Timestamp(9))
        .await;
    assert_eq!(committed(&deleted), 1);
    assert_eq!(storage.nodes(&cluster()).await.unwrap().len(), 1);
    storage.renew_node(&cluster(), NODE).await.unwrap();
    assert!(storage.declare_dead(&cluster(), NODE, None).await.unwrap());

    for ddl in [
        "drop table jido.entry",
        "alter table jido.agent add column more int",
        "truncate jido.entry",
        "create table jido.more (i int)",
        "create index on jido.entry (kind)",
        "delete from jido.agent",
        "update jido.entry set kind = 'other'",
        "delete from jido._sqlx_migrations",
    ] {
        let refused = server.execute(&runtime, ddl).await.unwrap_err().to_string();
        let told = refused.contains("permission denied") || refused.contains("must be owner");
        assert!(told, "{ddl}: {refused}");
    }
}

#[tokio::test]
async fn the_documents_queries_run() {
    #[derive(serde::Serialize)]
    struct Deposited {
        amount: u32,
    }
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let (storage, _) = claimed(options(&url).json_entries(true), &[]).await;
    let id = jido_core::AgentId::new(
        cluster(),
        jido_core::ManagerName::new("accounts").unwrap(),
        jido_core::AgentKey::new("alice").unwrap(),
    );
    let claim = jido_storage::ClaimRequest {
        id: id.clone(),
        claimant: NODE,
        take_from: None,
        at: jido_core::Timestamp(1),
    };
    let claimed = storage.claim(claim).await.unwrap();
    let jido_storage::ClaimOutcome::Claimed(epoch) = claimed else {
        panic!("{claimed:?}");
    };
    let mut commit = note("a", epoch, 0);
    commit.id = id.clone();
    commit.entries.clear();
    for amount in [40, 2] {
        let payload = jido_core::encode_payload(&Deposited { amount }).unwrap();
        let at = jido_core::Timestamp(1_700_000_000_000);
        let entry = jido_core::NewEntry::new("deposited", at, payload).unwrap();
        commit.entries.push(entry);
    }
    // One that JSON can't hold is stored all the same.
    let binary = bytes::Bytes::from_static(&[0xc4, 1, 7]);
    let at = jido_core::Timestamp(1_700_000_000_000);
    let entry = jido_core::NewEntry::new("binary", at, binary.clone()).unwrap();
    commit.entries.push(entry);
    assert_eq!(committed(&storage.append(commit).await), 1);
    let thread = storage
        .read_thread(&id, jido_core::Seq(0), 9)
        .await
        .unwrap();
    assert_eq!(thread[2].payload, binary);

    let queries: Vec<&str> = blocks()
        .into_iter()
        .filter(|block| block.starts_with("select"))
        .collect();
    assert_eq!(queries.len(), 2);
    let last = queries[0].replace("'demo'", "'main'");
    assert_eq!(
        server.execute(&url, &last).await.unwrap(),
        "2|binary|2023-11-14 22:13:20+00|\n\
         1|deposited|2023-11-14 22:13:20+00|{\"amount\": 2}\n\
         0|deposited|2023-11-14 22:13:20+00|{\"amount\": 40}"
    );
    assert_eq!(server.execute(&url, queries[1]).await.unwrap(), "alice|42");
}
