//! A temporary Postgres server starts, stops, starts again, and leaves nothing.

#![allow(
    clippy::disallowed_methods,
    reason = "real processes live by the real clock"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of this crate is a test"
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jido_testkit::ErrorKind;
use jido_testkit::postgres::{Shutdown, TemporaryPostgres};

/// Long enough for anything on two busy cores, where a fault would last for ever.
const LIMIT: Duration = Duration::from_secs(30);

async fn start() -> TemporaryPostgres {
    TemporaryPostgres::builder().own().start().await.unwrap()
}

async fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !check() {
        assert!(Instant::now() < deadline, "{what}: not in {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !(stat.is_empty() || stat.contains(") Z "))
}

#[tokio::test]
async fn what_was_committed_survives_an_immediate_stop() {
    let mut postgres = start().await;
    let url = postgres.fresh_database().await.unwrap();
    let sync = "select current_setting('fsync'), current_setting('synchronous_commit')";
    assert_eq!(postgres.execute(&url, sync).await.unwrap(), "on|on");
    let sql = "create table t (i int); insert into t values (7)";
    postgres.execute(&url, sql).await.unwrap();
    for how in [Shutdown::Immediate, Shutdown::Fast] {
        postgres.stop(how).await.unwrap();
        let refused = postgres.execute(&url, "select 1").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused, "{refused}");
        let stopped = postgres.stop(how).await.unwrap_err();
        assert_eq!(stopped.kind(), ErrorKind::NoSuchNode, "{stopped}");
        postgres.start_again().await.unwrap();
        assert_eq!(
            postgres.execute(&url, "select i from t").await.unwrap(),
            "7"
        );
    }
    let log = postgres.log().unwrap().text().unwrap();
    assert!(log.contains("immediate shutdown"), "{log}");
    assert!(log.contains("fast shutdown"), "{log}");
}

#[tokio::test]
async fn databases_are_apart_and_settings_are_taken() {
    let postgres = TemporaryPostgres::builder()
        .own()
        .setting("max_connections", "7")
        .fsync_off()
        .start()
        .await
        .unwrap();
    let one = postgres.fresh_database().await.unwrap();
    let other = postgres.fresh_database().await.unwrap();
    postgres
        .execute(&one, "create table t (i int)")
        .await
        .unwrap();
    let missing = postgres
        .execute(&other, "select * from t")
        .await
        .unwrap_err();
    assert!(missing.to_string().contains("does not exist"), "{missing}");
    let settings = "select current_setting('max_connections'), current_setting('fsync')";
    assert_eq!(postgres.execute(&one, settings).await.unwrap(), "7|off");
}

#[tokio::test]
async fn a_standby_reads_and_writes_nothing() {
    let postgres = start().await;
    let sql = "create table t (i int); insert into t values (7)";
    postgres.execute(postgres.url(), sql).await.unwrap();
    let standby = postgres.standby().await.unwrap();
    let read = standby.execute(standby.url(), "select i from t").await;
    assert_eq!(read.unwrap(), "7");
    let refused = standby
        .execute(standby.url(), "insert into t values (8)")
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("read-only"), "{refused}");
}

#[tokio::test]
async fn a_paused_server_answers_once_it_goes_on() {
    let postgres = start().await;
    postgres.pause().unwrap();
    let stat = format!("/proc/{}/stat", postgres.pid().unwrap());
    eventually("it stands still", || {
        std::fs::read_to_string(&stat).unwrap().contains(") T ")
    })
    .await;
    let asked = postgres.execute(postgres.url(), "select 1");
    let (answer, resumed) = tokio::join!(asked, async { postgres.resume() });
    resumed.unwrap();
    assert_eq!(answer.unwrap(), "1");
    // Dropped while it is paused, it ends all the same.
    postgres.pause().unwrap();
    let pid = postgres.pid().unwrap();
    drop(postgres);
    assert!(!runs(pid));
}

#[tokio::test]
async fn a_given_server_is_used_and_not_stopped() {
    let real = start().await;
    let mut given = TemporaryPostgres::builder()
        .database_url(real.url())
        .start()
        .await
        .unwrap();
    assert!(!given.is_ours() && given.pid().is_none());
    let url = given.fresh_database().await.unwrap();
    assert_eq!(given.execute(&url, "select 1").await.unwrap(), "1");
    for refused in [
        given.stop(Shutdown::Fast).await,
        given.start_again().await,
        given.pause(),
        given.resume(),
        given.standby().await.map(drop),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotOurs);
    }
    let settings = TemporaryPostgres::builder()
        .database_url(real.url())
        .setting("max_connections", "7");
    let refused = settings.start().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotOurs);

    drop(given);
    let count = "select count(*) from pg_database where datname like 'jido_test%'";
    assert_eq!(real.execute(real.url(), count).await.unwrap(), "0");
}

#[tokio::test]
async fn a_given_role_needs_no_right_but_to_make_databases() {
    let real = start().await;
    let roles =
        "create role may login createdb password 'x'; create role may_not login password 'x'";
    real.execute(real.url(), roles).await.unwrap();
    let (_, rest) = real.url().split_once('@').unwrap();
    let given = async |role: &str| {
        let builder = TemporaryPostgres::builder();
        let url = format!("postgres://{role}:x@{rest}");
        builder.database_url(url).start().await.unwrap()
    };
    let url = given("may").await.fresh_database().await.unwrap();
    assert!(url.contains("//may:x@"), "{url}");
    let refused = given("may_not").await.fresh_database().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    let told = refused.to_string();
    assert!(
        told.contains("permission denied to create database"),
        "{told}"
    );
}

#[tokio::test]
async fn a_server_with_a_certificate_takes_connections_over_tls_alone() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let builder = TemporaryPostgres::builder().tls(&certificate, &key);
    assert!(!format!("{builder:?}").contains("PRIVATE KEY"));
    let postgres = builder.clone().own().start().await.unwrap();
    let sql = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    let url = postgres.fresh_database().await.unwrap();
    let over = |server: &str, mode: &str| format!("{server}?sslmode={mode}");
    let required = postgres.execute(&over(&url, "require"), sql).await;
    assert_eq!(required.unwrap(), "t");
    let plain = postgres.execute(&over(&url, "disable"), sql).await;
    let refused = plain.unwrap_err();
    assert!(refused.to_string().contains("no encryption"), "{refused}");
    // So does a standby of it.
    let standby = postgres.standby().await.unwrap();
    let required = standby.execute(&over(standby.url(), "require"), sql).await;
    assert_eq!(required.unwrap(), "t");

    let given = builder.database_url(postgres.url()).start().await;
    assert_eq!(given.unwrap_err().kind(), ErrorKind::NotOurs);
}

#[tokio::test]
async fn its_password_is_never_shown() {
    let postgres = start().await;
    let (_, rest) = postgres.url().split_once("//postgres:").unwrap();
    let password = rest.split('@').next().unwrap();
    assert_eq!(password.len(), 32);
    let builder = TemporaryPostgres::builder().database_url(postgres.url());
    let failed = postgres
        .execute(postgres.url(), "nonsense")
        .await
        .unwrap_err();
    for shown in [
        format!("{postgres:?}"),
        format!("{builder:?}"),
        format!("{failed} {failed:?}"),
        postgres.log().unwrap().text().unwrap(),
    ] {
        assert!(!shown.contains(password), "{shown}");
    }
}

/// Set for the process that the next test kills: it starts a server, says where, and
/// waits for its end.
const VICTIM: &str = "JIDO_TEST_POSTGRES_VICTIM";

#[tokio::test]
async fn a_killed_test_leaves_no_server_and_no_folder() {
    use std::io::{BufRead, BufReader};

    if std::env::var_os(VICTIM).is_some() {
        let postgres = start().await;
        let folder = postgres.log().unwrap().path().parent().unwrap().to_owned();
        println!("VICTIM {} {}", postgres.pid().unwrap(), folder.display());
        std::future::pending::<()>().await;
    }
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_test_leaves_no_server_and_no_folder"])
        .arg("--nocapture")
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(victim.stdout.take().unwrap());
    let said = output
        .lines()
        .map_while(Result::ok)
        .find_map(|line| Some(line.split_once("VICTIM ")?.1.to_owned()))
        .unwrap();
    let (pid, folder) = said.split_once(' ').unwrap();
    let (pid, folder) = (pid.parse().unwrap(), Path::new(folder));
    assert!(runs(pid) && folder.exists());

    victim.kill().unwrap();
    victim.wait().unwrap();
    eventually("the server is stopped", || !runs(pid)).await;
    eventually("the folder is removed", || !folder.exists()).await;
}
