//! What the tests are written with.

use std::collections::BTreeMap;
use std::time::Duration;

use jido_core::{
    AgentId, AgentKey, ClusterName, Epoch, Incarnation, ManagerName, NewEntry, NodeName, Revision,
    Timestamp,
};
use jido_storage::{
    AppendOutcome, ClaimOutcome, ClaimRequest, Commit, Error, ErrorKind, NodeRegistration,
    PostgresOptions, PostgresStorage, Registration, Storage,
};
use jido_testkit::postgres::TemporaryPostgres;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use tokio::task::JoinHandle;

/// Long enough for anything on two busy cores, where a fault would last for ever.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// The life of the one node of most tests.
pub(crate) const NODE: Incarnation = Incarnation(1);

/// A server to stop and start.
pub(crate) async fn own_server() -> TemporaryPostgres {
    TemporaryPostgres::builder().own().start().await.unwrap()
}

/// A server that is asked and not stopped.
pub(crate) async fn server() -> TemporaryPostgres {
    let builder = TemporaryPostgres::builder().fsync_off();
    builder.start().await.unwrap()
}

/// Options that wait for a server on a busy machine as long as anything does.
pub(crate) fn options(url: &str) -> PostgresOptions {
    PostgresOptions::new(url).unwrap().acquire_timeout(LIMIT)
}

/// Options that tell soon that nobody answers. A busy machine may be too slow for them.
pub(crate) fn impatient(url: &str) -> PostgresOptions {
    options(url).acquire_timeout(Duration::from_millis(500))
}

pub(crate) async fn connect(url: &str) -> PostgresStorage {
    PostgresStorage::connect(options(url)).await.unwrap()
}

/// A storage that tells soon that nobody answers, on records that are there.
pub(crate) async fn connect_impatient(options: PostgresOptions) -> PostgresStorage {
    let connecting = async {
        loop {
            match PostgresStorage::connect(options.clone()).await {
                Ok(storage) => return storage,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
            }
        }
    };
    tokio::time::timeout(LIMIT, connecting).await.unwrap()
}

pub(crate) fn cluster() -> ClusterName {
    ClusterName::new("main").unwrap()
}

pub(crate) fn id(key: &str) -> AgentId {
    let manager = ManagerName::new("agents").unwrap();
    AgentId::new(cluster(), manager, AgentKey::new(key).unwrap())
}

pub(crate) async fn register(storage: &PostgresStorage, life: Incarnation) {
    let node = NodeRegistration {
        cluster: cluster(),
        name: NodeName::new(format!("n{}", life.0)).unwrap(),
        incarnation: life,
        address: "127.0.0.1:4000".to_owned(),
        metadata: BTreeMap::new(),
        at: Timestamp(1),
    };
    let registered = storage.register_node(node).await.unwrap();
    assert!(matches!(registered, Registration::Registered(_)));
}

pub(crate) async fn try_claim(storage: &PostgresStorage, key: &str) -> Result<ClaimOutcome, Error> {
    let claim = ClaimRequest {
        id: id(key),
        claimant: NODE,
        take_from: None,
        at: Timestamp(2),
    };
    storage.claim(claim).await
}

pub(crate) async fn claim(storage: &PostgresStorage, key: &str) -> Epoch {
    match try_claim(storage, key).await {
        Ok(ClaimOutcome::Claimed(epoch)) => epoch,
        other => panic!("{key} is not claimed: {other:?}"),
    }
}

/// A storage on a new schema, with agents that the node owns.
pub(crate) async fn claimed(
    options: PostgresOptions,
    keys: &[&str],
) -> (PostgresStorage, Vec<Epoch>) {
    let storage = PostgresStorage::connect(options).await.unwrap();
    register(&storage, NODE).await;
    let mut epochs = Vec::new();
    for key in keys {
        epochs.push(claim(&storage, key).await);
    }
    (storage, epochs)
}

/// A commit of one entry of a kind.
pub(crate) fn note_of(kind: &str, key: &str, epoch: Epoch, expected: u64) -> Commit {
    let mut commit = Commit::new(id(key), epoch, Revision(expected), Timestamp(3));
    let payload = jido_core::encode_payload(&"noted").unwrap();
    let entry = NewEntry::new(kind, Timestamp(4), payload).unwrap();
    commit.entries.push(entry);
    commit
}

pub(crate) fn note(key: &str, epoch: Epoch, expected: u64) -> Commit {
    note_of("noted", key, epoch, expected)
}

/// Appends in a task of its own.
pub(crate) fn append(storage: &PostgresStorage, commit: Commit) -> JoinHandle<AppendOutcome> {
    let storage = storage.clone();
    tokio::spawn(async move { storage.append(commit).await })
}

/// The message of a failure that is certain.
#[track_caller]
pub(crate) fn failed(outcome: &AppendOutcome, kind: ErrorKind) -> String {
    match outcome {
        AppendOutcome::Failed(error) if error.kind() == kind => error.to_string(),
        other => panic!("expected Failed with {kind:?}, got {other:?}"),
    }
}

#[track_caller]
pub(crate) fn committed(outcome: &AppendOutcome) -> u64 {
    match outcome {
        AppendOutcome::Committed(revision) => revision.0,
        other => panic!("expected Committed, got {other:?}"),
    }
}

/// An agent that nobody ever claimed.
#[track_caller]
pub(crate) fn fenced(outcome: &AppendOutcome) {
    let never = matches!(outcome, AppendOutcome::Fenced { epoch: Epoch::ZERO });
    assert!(never, "{outcome:?}");
}

/// A connection of the test's own.
pub(crate) struct Session(PgConnection);

impl Session {
    pub(crate) async fn open(url: &str) -> Self {
        let mut connection = PgConnection::connect(url).await.unwrap();
        connection
            .execute("set search_path to jido, public")
            .await
            .unwrap();
        Self(connection)
    }

    pub(crate) async fn run(&mut self, sql: impl Into<String>) {
        self.0.execute(AssertSqlSafe(sql.into())).await.unwrap();
    }

    /// The one value that a query gives, as text.
    pub(crate) async fn ask(&mut self, sql: impl Into<String>) -> String {
        let row = self.0.fetch_one(AssertSqlSafe(sql.into())).await.unwrap();
        row.try_get::<Option<String>, _>(0)
            .unwrap()
            .unwrap_or_default()
    }

    /// Takes the row of an agent until [`Session::let_go`].
    pub(crate) async fn hold(&mut self, key: &str) {
        self.run("begin").await;
        self.run(format!("select from agent where key = '{key}' for update"))
            .await;
    }

    pub(crate) async fn let_go(&mut self) {
        self.run("rollback").await;
    }

    /// Waits until so many of the storage's statements wait for a row, and gives the
    /// process of one.
    pub(crate) async fn waiting(&mut self, count: usize) -> String {
        let sql = "select count(*)::text || ' ' || coalesce(min(pid), 0) from pg_stat_activity \
                   where application_name = 'jido' and wait_event_type = 'Lock'";
        let wait = async {
            loop {
                // Within a transaction it would be seen as it was at first.
                self.run("select pg_stat_clear_snapshot()").await;
                let found = self.ask(sql).await;
                let (waiting, pid) = found.split_once(' ').unwrap();
                if waiting.parse::<usize>().unwrap() >= count {
                    return pid.to_owned();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LIMIT, wait).await.unwrap()
    }

    /// Has every new entry run a piece of PL/pgSQL.
    pub(crate) async fn on_entry(&mut self, body: &str) {
        self.run(format!(
            "create function jido.on_entry() returns trigger language plpgsql as \
             $$ begin {body} return new; end $$; \
             create trigger on_entry before insert on jido.entry \
             for each row execute function jido.on_entry()"
        ))
        .await;
    }
}
