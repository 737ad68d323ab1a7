//! No secret leaves: neither the URL nor what is stored is in a log, a `Debug` or an
//! error, at any level and whatever goes wrong.

use std::io::Write;
use std::sync::{Arc, Mutex};

use jido_storage::{PostgresStorage, Storage};
use jido_testkit::postgres::Shutdown;

use crate::fixture::*;

#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Vec<u8>>>);

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn neither_the_url_nor_what_is_stored_is_shown() {
    let logs = Logs::default();
    let writer = logs.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let mut shown = Vec::new();
    let mut server = own_server().await;
    let password = server.url().split([':', '@']).nth(2).unwrap().to_owned();
    assert_eq!(password.len(), 32);
    let (storage, epochs) = claimed(options(server.url()), &["a"]).await;
    shown.push(format!("{storage:?} {:?}", options(server.url())));

    let secret = |revision| {
        let mut commit = note("a", epochs[0], revision);
        commit.entries[0].payload = b"hunter2-entry".as_slice().into();
        commit.entries[0]
            .refs
            .push(("name".into(), "hunter2-ref".into()));
        commit
            .thread_metadata
            .insert("name".into(), "hunter2-metadata".into());
        commit.checkpoint = Some(jido_core::Checkpoint {
            state: b"hunter2-state".as_slice().into(),
            covers: jido_core::Seq(0),
        });
        commit
    };
    assert_eq!(committed(&storage.append(secret(0)).await), 1);
    // Refused with a detail that shows the row.
    let mut session = Session::open(server.url()).await;
    session
        .run("alter table entry add check (revision < 2 or kind <> 'noted')")
        .await;
    let refused = storage.append(secret(1)).await;
    shown.push(format!("{refused:?}"));
    session.hold("a").await;
    // What finds nobody from here on is told soon. It has a connection once it has answered.
    let storage = connect_impatient(impatient(server.url())).await;
    while storage.head(&id("a")).await.is_err() {}
    let appending = {
        let (storage, commit) = (storage.clone(), secret(1));
        tokio::spawn(async move { storage.append(commit).await })
    };
    session.waiting(1).await;
    server.stop(Shutdown::Immediate).await.unwrap();
    shown.push(format!("{:?}", appending.await.unwrap()));
    for _ in 0..3 {
        shown.push(format!("{:?}", storage.append(secret(1)).await));
        shown.push(format!("{:?}", storage.load(&id("a")).await));
    }
    let refused = PostgresStorage::connect(impatient(server.url())).await;
    shown.push(format!("{refused:?}"));
    server.start_again().await.unwrap();
    let (_, rest) = server.url().split_once('@').unwrap();
    let wrong = options(&format!("postgres://postgres:hunter2-password@{rest}"));
    shown.push(format!("{:?}", PostgresStorage::connect(wrong).await));

    let logged = String::from_utf8_lossy(&logs.0.lock().unwrap()).into_owned();
    assert!(logged.contains("sqlx"), "the driver logs nothing: {logged}");
    shown.push(logged);
    for shown in shown {
        for secret in [&*password, "hunter2"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
