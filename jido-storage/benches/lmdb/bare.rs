//! The floors: LMDB driven by `heed` alone, with its default flags.

use std::path::Path;
use std::time::{Duration, Instant};

use heed::types::Bytes as Raw;
use heed::{CommitOrAbort, Database, Env, EnvOpenOptions};
use tempfile::TempDir;

use crate::batches::Batches;

const MAP: usize = 16 << 30;

/// A folder with one table.
pub(crate) struct Bare {
    env: Env,
    table: Database<'static, Raw, Raw>,
    seq: u64,
    /// The place of each agent's next entry, as far as agents come by themselves.
    next: Vec<u64>,
    _folder: TempDir,
}

#[allow(
    unsafe_code,
    reason = "heed asks that nothing else changes the files: the folder is the benchmark's own, and closed elsewhere"
)]
fn open(folder: &Path) -> Env {
    let mut options = EnvOpenOptions::new();
    options.map_size(MAP).max_dbs(8);
    unsafe { options.open(folder) }.unwrap()
}

fn table(env: &Env, name: &str) -> Database<'static, Raw, Raw> {
    let created = env.create_databases_and_commit(env.write_txn().unwrap(), |opener, txn| {
        opener
            .create_database(txn, Some(name))
            .map(CommitOrAbort::<_, ()>::Commit)
    });
    match created.unwrap() {
        CommitOrAbort::Commit(table) => table,
        CommitOrAbort::Abort(()) => panic!("no table"),
    }
}

/// How long the first record is that the adapter has left in a table of its folder.
pub(crate) fn stored_len(folder: &Path, name: &str) -> usize {
    if let Some(closing) = heed::env_closing_event(folder) {
        closing.wait();
    }
    let env = open(folder);
    let table = table(&env, name);
    let txn = env.read_txn().unwrap();
    let first = table.first(&txn).unwrap();
    first.map(|(_, record)| record.len()).unwrap()
}

fn key(agent: u64, seq: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&agent.to_be_bytes());
    key[8..].copy_from_slice(&seq.to_be_bytes());
    key
}

impl Bare {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let env = open(folder.path());
        let table = table(&env, "records");
        Self {
            env,
            table,
            seq: 0,
            next: Vec::new(),
            _folder: folder,
        }
    }

    /// A transaction for each batch, in it one put for each append, as they came: a key of
    /// 16 bytes and a record of `len`. No check of a revision, no record of an agent, no
    /// checksum.
    pub(crate) fn replay(&mut self, batches: &Batches, len: usize) -> Duration {
        let record = vec![7u8; len];
        let start = Instant::now();
        for batch in batches.all() {
            let mut txn = self.env.write_txn().unwrap();
            for &agent in batch {
                if self.next.len() <= agent {
                    self.next.resize(agent + 1, 0);
                }
                let seq = &mut self.next[agent];
                self.table
                    .put(&mut txn, &key(agent as u64, *seq), &record)
                    .unwrap();
                *seq += 1;
            }
            txn.commit().unwrap();
        }
        start.elapsed()
    }

    /// The same with a transaction for each round of all agents, in the order of their keys:
    /// no agent is ever late, and page follows page.
    pub(crate) fn append(&mut self, agents: usize, len: usize, rounds: u64) -> Duration {
        let record = vec![7u8; len];
        let start = Instant::now();
        for _ in 0..rounds {
            let mut txn = self.env.write_txn().unwrap();
            for agent in 0..agents as u64 {
                let key = key(agent, self.seq);
                self.table.put(&mut txn, &key, &record).unwrap();
            }
            txn.commit().unwrap();
            self.seq += 1;
        }
        start.elapsed()
    }

    /// A transaction that puts a record of 100 bytes, and a read of one of `len`.
    pub(crate) fn claim_and_load(&mut self, len: usize, rounds: u64) -> Duration {
        let mut txn = self.env.write_txn().unwrap();
        self.table
            .put(&mut txn, &key(1, 0), &vec![7u8; len])
            .unwrap();
        txn.commit().unwrap();
        let start = Instant::now();
        for round in 0..rounds {
            let mut txn = self.env.write_txn().unwrap();
            self.table
                .put(&mut txn, &key(0, 0), &[round as u8; 100])
                .unwrap();
            txn.commit().unwrap();
            let txn = self.env.read_txn().unwrap();
            let read = self.table.get(&txn, &key(1, 0)).unwrap().unwrap().to_vec();
            assert_eq!(read.len(), len);
        }
        start.elapsed()
    }

    /// Reads `agents` records of `len` bytes, one after the other, undecoded.
    pub(crate) fn scan(&mut self, agents: usize, len: usize, rounds: u64) -> Duration {
        if self.seq == 0 {
            self.append(agents, len, 1);
        }
        let start = Instant::now();
        for _ in 0..rounds {
            let txn = self.env.read_txn().unwrap();
            let records: Vec<Vec<u8>> = self
                .table
                .iter(&txn)
                .unwrap()
                .take(agents)
                .map(|found| found.unwrap().1.to_vec())
                .collect();
            assert_eq!(records.len(), agents);
        }
        start.elapsed()
    }
}
