//! Processes are killed in the middle of their appends, again and again.

use std::path::Path;
use std::time::{Duration, Instant};

use jido_core::Incarnation;
use jido_storage::{AppendOutcome, LmdbStorage, Storage};
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

use super::child::{Process, id, register, take, tell};
use super::ledger::{Ledger, whole};

/// Agents of a process, each a task that appends.
const AGENTS: u64 = 4;
/// A folder is checked whole after each kill, so it does not grow for ever.
const ROUNDS_OF_A_FOLDER: u64 = 10;
/// In this time after its last line a process is killed: some commits long.
const WITHIN: Duration = Duration::from_millis(4);

/// When a child tells of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tells {
    /// Once it was acknowledged.
    Acknowledged,
    /// Before it is handed over: a bug that the check has to catch.
    Begun,
}

fn kills() -> u64 {
    if std::env::var("JIDO_LONG").is_ok_and(|long| long == "1") {
        5_000
    } else {
        200
    }
}

/// Appends to one agent, for as long as the process lives.
async fn append(storage: LmdbStorage, key: String, me: Incarnation, tells: Tells) {
    let id = id(&key);
    let epoch = take(&storage, &id, me).await;
    let first = storage.head(&id).await.unwrap().unwrap().revision.0 + 1;
    for revision in first.. {
        let line = format!("{key} {epoch} {revision}");
        if tells == Tells::Begun {
            tell(&line);
        }
        match storage.append(whole(&id, epoch, revision)).await {
            AppendOutcome::Committed(now) if now.0 == revision => {}
            other => panic!("{other:?}"),
        }
        if tells == Tells::Acknowledged {
            tell(&line);
        }
    }
}

/// Appends to its agents at once. Odd and even numbers have agents of their own.
pub(crate) async fn child(folder: &Path, number: u64, tells: Tells) {
    let storage = LmdbStorage::open(folder).unwrap();
    let me = register(&storage, number).await;
    let tasks: Vec<_> = (0..AGENTS)
        .map(|n| format!("a{}-{n}", number % 2))
        .map(|key| tokio::spawn(append(storage.clone(), key, me, tells)))
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Numbers by which no two kills come at the same place of a commit.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 += 1;
        xxh3_64(&self.0.to_le_bytes()) % bound
    }
}

/// A folder, and what was acknowledged of it.
struct Ground {
    folder: TempDir,
    ledger: Ledger,
    chance: Chance,
    role: &'static str,
}

impl Ground {
    fn new(role: &'static str, seed: u64) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            ledger: Ledger::default(),
            chance: Chance(seed << 32),
            role,
        }
    }

    /// Lets a process append for a while and kills it at a random moment.
    fn kill_soon(&mut self, mut process: Process) {
        for _ in 0..1 + self.chance.below(20) {
            let line = process.line().expect("it appends until it is killed");
            self.ledger.note(&line);
        }
        let wait = Duration::from_nanos(self.chance.below(WITHIN.as_nanos() as u64));
        let start = Instant::now();
        while start.elapsed() < wait {
            std::hint::spin_loop();
        }
        process.kill();
        for line in process.rest() {
            self.ledger.note(&line);
        }
    }

    /// Kills one process, or two that append at the same time, and checks.
    async fn round(&mut self, round: u64) -> Result<(), String> {
        // In every other round this process has the folder open while others die.
        let mine = round
            .is_multiple_of(2)
            .then(|| LmdbStorage::open(self.folder.path()).unwrap());
        let processes: Vec<_> = (0..1 + u64::from(round % 4 == 3))
            .map(|n| Process::start(self.role, self.folder.path(), round * 2 + n))
            .collect();
        for process in processes {
            self.kill_soon(process);
        }
        let storage = mine.unwrap_or_else(|| LmdbStorage::open(self.folder.path()).unwrap());
        self.ledger.check(&storage).await
    }
}

#[tokio::test]
async fn what_was_acknowledged_before_a_kill_is_found() {
    let (kills, mut killed, mut acknowledged) = (kills(), 0, 0);
    for seed in 0.. {
        let mut ground = Ground::new("append", seed);
        for round in 0..ROUNDS_OF_A_FOLDER {
            if let Err(why) = ground.round(round).await {
                panic!("folder {seed}, round {round}: {why}");
            }
            killed += 1 + u64::from(round % 4 == 3);
        }
        acknowledged += ground.ledger.len();
        if killed >= kills {
            break;
        }
    }
    println!("{killed} kills: {acknowledged} acknowledged commits, none lost");
    assert!(acknowledged as u64 > killed, "hardly anything was appended");
}

#[tokio::test]
async fn a_child_that_tells_before_its_commit_is_caught() {
    let mut ground = Ground::new("append-hastily", u64::from(u32::MAX));
    for round in 0..200 {
        if let Err(why) = ground.round(round).await {
            assert!(why.contains("was acknowledged"), "{why}");
            return;
        }
    }
    panic!("200 kills of a child that tells too early went unnoticed");
}
