//! A server that crashes under load, again and again: what was acknowledged is there, and
//! nothing else is but what nobody could tell about.
//!
//! The server, the role, the database and the URL all say `synchronous_commit = off`, and
//! the log is written late: what the adapter sets is all that keeps a commit.

mod check;
mod early;
mod ledger;
mod load;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jido_storage::{GroupCommitter, GroupOptions, PostgresStorage, Storage};
use jido_testkit::postgres::{Shutdown, TemporaryPostgres};

use self::check::Checker;
use self::early::Early;
use self::ledger::Ledger;
use self::load::Load;
use crate::fixture::*;

/// Agents that append at once.
const AGENTS: u64 = 40;

/// Crashes at the least, and for how long there are more.
const ROUNDS: u64 = 4;

fn lasts() -> Duration {
    let long = std::env::var("JIDO_LONG").is_ok_and(|long| long == "1");
    Duration::from_secs(if long { 15 * 60 } else { 15 })
}

/// For how long a bug may stay hidden: it ends the crashes when it shows.
const CAUGHT: Duration = Duration::from_secs(40);

/// Appends that are let through while the checker reads: some, for it is under load that
/// it has to be right, and no more, for it has to come to an end.
const MEANWHILE: u64 = 200;

/// A server that loses what it acknowledged asynchronously, with the URL of its database.
async fn forgetful_server() -> (TemporaryPostgres, String) {
    let builder = TemporaryPostgres::builder()
        .own()
        .setting("synchronous_commit", "off")
        .setting("wal_writer_delay", "10s")
        .setting("wal_buffers", "16MB");
    let server = builder.start().await.unwrap();
    let url = server.fresh_database().await.unwrap();
    let database = url.rsplit('/').next().unwrap();
    let weaker = format!(
        "alter role postgres set synchronous_commit = off; \
         alter database {database} set synchronous_commit = off"
    );
    server.execute(&url, &weaker).await.unwrap();
    let url = format!("{url}?options=-c%20synchronous_commit%3Doff");
    let set = "select current_setting('synchronous_commit')";
    assert_eq!(server.execute(&url, set).await.unwrap(), "off");
    (server, url)
}

/// A node's storage: the adapter, something before it, and the group committer.
async fn node(
    url: &str,
    before: impl FnOnce(PostgresStorage) -> Arc<dyn Storage>,
) -> Arc<dyn Storage> {
    let storage = connect(url).await;
    register(&storage, NODE).await;
    let (group, drivers) = GroupCommitter::new(before(storage), &GroupOptions::new()).unwrap();
    for driver in drivers {
        tokio::spawn(driver.run());
    }
    Arc::new(group)
}

/// What the rounds came to.
#[derive(Debug, Default)]
struct Story {
    rounds: u64,
    acknowledged: u64,
    settled: (u64, u64),
    refused: u64,
}

/// Crashes the server under load, and looks at what is there after each restart and when
/// the load is over.
async fn crashes(
    server: &mut TemporaryPostgres,
    url: &str,
    storage: Arc<dyn Storage>,
    lasts: Duration,
) -> Result<Story, String> {
    let ledger = Arc::new(Ledger::new(AGENTS));
    let load = Load::start(storage, &ledger);
    let mut checker = Checker::new(connect(url).await, ledger.clone());
    let mut story = Story::default();
    let begun = Instant::now();
    while story.rounds < ROUNDS || begun.elapsed() < lasts {
        // Not always as far into the work of a connection.
        let more = 40 + story.rounds * 97 % 240;
        ledger.more_acknowledged(more).await?;
        server.stop(Shutdown::Immediate).await.unwrap();
        server.start_again().await.unwrap();
        story.rounds += 1;
        let round = story.rounds;
        load.let_through(MEANWHILE);
        checker
            .look()
            .await
            .map_err(|found| format!("after crash {round}: {found}"))?;
        load.let_all_through();
    }
    load.end().await?;
    checker.look_at_all().await?;
    story.acknowledged = ledger.acknowledged();
    story.settled = ledger.settled();
    story.refused = ledger.refused();
    Ok(story)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_before_a_crash_is_found() {
    let (mut server, url) = forgetful_server().await;
    let storage = node(&url, |storage| Arc::new(storage)).await;
    let story = crashes(&mut server, &url, storage, lasts()).await.unwrap();
    println!("{story:?}");
    let (there, not_there) = story.settled;
    assert!(
        there + not_there > 0,
        "no crash hit a commit under way: {story:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_adapter_that_acknowledges_before_it_commits_is_caught() {
    let (mut server, url) = forgetful_server().await;
    let storage = node(&url, |storage| Arc::new(Early::new(storage))).await;
    let story = crashes(&mut server, &url, storage, CAUGHT).await;
    let found = story.unwrap_err();
    assert!(found.contains("was acknowledged"), "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commits_that_do_not_wait_for_the_disk_are_caught() {
    let (mut server, url) = forgetful_server().await;
    let storage = node(&url, |storage| Arc::new(storage)).await;
    let mut session = Session::open(&url).await;
    session
        .on_entry("perform set_config('synchronous_commit', 'off', true);")
        .await;
    let story = crashes(&mut server, &url, storage, CAUGHT).await;
    let found = story.unwrap_err();
    assert!(found.contains("was acknowledged"), "{found}");
}
