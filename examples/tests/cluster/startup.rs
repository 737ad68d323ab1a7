//! Nodes that can't start say why, with an exit code that says whose fault it is.

use std::process::{Command, Output};

use jido_testkit::process::ProcessCluster;

use crate::{LIMIT, PROGRAM, all_joined, cluster};

fn run(storage: &str, cookie: Option<&str>) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .args([
            "--name",
            "n1",
            "--listen",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
        ])
        .args(["--storage", storage])
        .env_remove("JIDO_COOKIE");
    if let Some(cookie) = cookie {
        command.env("JIDO_COOKIE", cookie);
    }
    command.output().unwrap()
}

#[test]
fn a_storage_that_is_not_built_in_is_refused_with_2_and_without_its_secret() {
    for storage in [
        "postgres://user:hunter2@db:port/x",
        "foundationdb:hunter2",
        "hunter2:x",
    ] {
        let output = run(storage, Some("cookie"));
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{log}");
        assert!(
            log.contains("--storage") && !log.contains("hunter2"),
            "{log}"
        );
    }
}

#[test]
fn a_missing_cookie_is_refused_with_2() {
    for cookie in [None, Some("")] {
        let output = run("memory", cookie);
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{log}");
        assert!(log.contains("JIDO_COOKIE"), "{log}");
    }
}

#[test]
fn an_address_that_others_need_a_longer_cookie_for_is_refused_with_2() {
    let mut command = Command::new(PROGRAM);
    command.args([
        "--name",
        "n1",
        "--listen",
        "0.0.0.0:0",
        "--http",
        "127.0.0.1:0",
    ]);
    let output = command.env("JIDO_COOKIE", "cookie").output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{log}");
    assert!(log.contains("advertise"), "{log}");
}

#[test]
fn a_storage_that_can_not_be_opened_is_an_error_that_names_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = run(&format!("lmdb:{}", file.path().display()), Some("cookie"));
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("--storage lmdb:"), "{log}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_and_no_cookie_is_shown() {
    let cluster = cluster().nodes(1).start().await.unwrap();
    let taken = cluster.nodes()[0].client().address().to_string();
    let output = Command::new(PROGRAM)
        .args(["--name", "n2", "--listen", "127.0.0.1:0", "--http", &taken])
        .env("JIDO_COOKIE", "hunter2")
        .env("JIDO_LOG", "trace")
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains(&taken) && log.contains("in use"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
    let own = cluster.nodes()[0].log().text().unwrap();
    assert!(own.contains("serves"), "{own}");
}

#[tokio::test]
async fn the_cookie_is_in_no_log_however_much_is_logged() {
    let mut cluster = ProcessCluster::builder(PROGRAM)
        .nodes(2)
        .env("JIDO_COOKIE", "hunter2-hunter2-hunter2")
        .env("JIDO_LOG", "trace")
        .start()
        .await
        .unwrap();
    all_joined(&cluster).await;
    cluster.client("n1").unwrap().inc("k").await.unwrap();
    cluster.kill("n2").await.unwrap();
    cluster.terminate("n1", LIMIT).await.unwrap();
    for node in cluster.nodes() {
        let log = node.log().text().unwrap();
        assert!(log.contains("TRACE") && log.contains("joined"), "{log}");
        assert!(!log.contains("hunter2"), "{} shows the cookie", node.name());
    }
}
