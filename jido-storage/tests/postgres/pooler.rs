//! A pooler in between that leaves out what a connection is opened with: it is refused
//! unless the server's own settings are as they have to be.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jido_storage::{Error, ErrorKind, PostgresOptions, PostgresStorage, Storage};
use jido_testkit::postgres::TemporaryPostgres;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::fixture::*;
use crate::roles::blocks;

/// Passes connections on to a server, and forgets their `options` while it is told to.
struct Pooler {
    address: SocketAddr,
    forgets: Arc<AtomicBool>,
}

impl Pooler {
    async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let forgets = Arc::new(AtomicBool::new(true));
        let told = forgets.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // One that ends early is the client's to tell.
                tokio::spawn(pass(client, server, told.load(Ordering::Relaxed)));
            }
        });
        Self { address, forgets }
    }

    /// The way through it to what a URL names.
    fn url(&self, url: &str) -> String {
        let server = address(url).to_string();
        let through = url.replacen(&server, &self.address.to_string(), 1);
        format!("{through}?sslmode=disable")
    }
}

/// The server that a URL names.
fn address(url: &str) -> SocketAddr {
    let (_, rest) = url.split_once('@').unwrap();
    rest.split_once('/').unwrap().0.parse().unwrap()
}

/// Passes one connection on, to its end.
async fn pass(mut client: TcpStream, server: SocketAddr, forgets: bool) -> io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    let len = client.read_u32().await?;
    let version = client.read_u32().await?;
    let mut rest = vec![0; len as usize - 8];
    client.read_exact(&mut rest).await?;
    let mut words: Vec<&[u8]> = rest.split_inclusive(|byte| *byte == 0).collect();
    let at = words.iter().position(|word| *word == b"options\0");
    let at = at.expect("the startup message has options");
    if forgets {
        words.drain(at..at + 2);
    }
    let rest = words.concat();
    server.write_u32(rest.len() as u32 + 8).await?;
    server.write_u32(version).await?;
    server.write_all(&rest).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// A database behind a pooler, with settings of its own.
async fn behind(settings: &[(&str, &str)]) -> (TemporaryPostgres, Pooler, String, String) {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let database = url.rsplit('/').next().unwrap();
    for (setting, value) in settings {
        let set = format!("alter database {database} set {setting} = {value}");
        server.execute(&url, &set).await.unwrap();
    }
    let pooler = Pooler::before(address(&url)).await;
    let through = pooler.url(&url);
    (server, pooler, url, through)
}

async fn refused(options: PostgresOptions) -> Error {
    let error = PostgresStorage::connect(options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    error
}

#[tokio::test]
async fn a_server_that_acknowledges_early_is_refused_where_it_is_not_told_otherwise() {
    let (_server, pooler, url, through) = behind(&[("synchronous_commit", "off")]).await;
    // The path of the server's own leads there, so nothing else would tell.
    let message = refused(options(&through).schema("public").unwrap()).await;
    let message = message.to_string();
    for part in [
        "synchronous_commit is \"off\"",
        "has to be \"on\"",
        "startup parameter",
        "pooler",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let mut session = Session::open(&url).await;
    let tables = "select count(*)::text from pg_tables where tablename in ('agent', 'node')";
    assert_eq!(session.ask(tables).await, "0", "it has migrated");

    // One that passes on what it is given is as good as none.
    pooler.forgets.store(false, Ordering::Relaxed);
    let storage = PostgresStorage::connect(options(&through)).await.unwrap();
    register(&storage, NODE).await;
    let epoch = claim(&storage, "a").await;
    assert_eq!(committed(&storage.append(note("a", epoch, 0)).await), 1);
}

#[tokio::test]
async fn connections_that_are_opened_later_are_asked_too() {
    let (_server, pooler, _url, through) = behind(&[("synchronous_commit", "off")]).await;
    pooler.forgets.store(false, Ordering::Relaxed);
    let (storage, epochs) = claimed(options(&through), &["a"]).await;
    storage.close().await;
    let storage = PostgresStorage::connect(options(&through)).await.unwrap();
    pooler.forgets.store(true, Ordering::Relaxed);
    let outcome = storage.append(note("a", epochs[0], 0)).await;
    let message = failed(&outcome, ErrorKind::InvalidInput);
    assert!(message.contains("synchronous_commit"), "{message}");
    pooler.forgets.store(false, Ordering::Relaxed);
    assert_eq!(committed(&storage.append(note("a", epochs[0], 0)).await), 1);
}

#[tokio::test]
async fn another_isolation_and_another_path_are_refused() {
    let isolation = [("default_transaction_isolation", "'serializable'")];
    let (_server, _pooler, _url, through) = behind(&isolation).await;
    let message = refused(options(&through).schema("public").unwrap()).await;
    let message = message.to_string();
    assert!(
        message.contains("transaction_isolation is \"serializable\""),
        "{message}"
    );

    let (_server, _pooler, _url, through) = behind(&[]).await;
    let message = refused(options(&through)).await.to_string();
    assert!(
        message.contains("search_path is") && message.contains("has to be \"jido\""),
        "{message}"
    );
}

#[tokio::test]
async fn a_role_that_is_set_as_the_document_says_is_served_through_a_pooler() {
    let (server, _pooler, url, through) = behind(&[("synchronous_commit", "off")]).await;
    let sql = blocks()
        .into_iter()
        .find(|block| block.contains("synchronous_commit"));
    let database = url.rsplit('/').next().unwrap();
    let sql = sql.unwrap().replace(
        "role jido_runtime in database app",
        &format!("role postgres in database {database}"),
    );
    server.execute(&url, &sql).await.unwrap();
    let (storage, epochs) = claimed(options(&through), &["a"]).await;
    assert_eq!(committed(&storage.append(note("a", epochs[0], 0)).await), 1);
    let head = storage.head(&id("a")).await.unwrap().unwrap();
    assert_eq!(head.revision.0, 1);
}

#[tokio::test]
async fn another_setting_that_waits_for_the_disk_is_taken() {
    let settings = [
        ("search_path", "jido, pg_temp"),
        ("synchronous_commit", "remote_apply"),
    ];
    let (_server, _pooler, _url, through) = behind(&settings).await;
    let (storage, epochs) = claimed(options(&through), &["a"]).await;
    assert_eq!(committed(&storage.append(note("a", epochs[0], 0)).await), 1);
}
