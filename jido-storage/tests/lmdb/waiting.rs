//! Processes that die while they wait for others to write.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use jido_storage::{LmdbStorage, Storage};

use super::child::{PATIENCE, Process, cluster, register, tell};

const PROCESSES: usize = 3;

/// Kills. Without a queue that the dead leave, about one in a hundred of them leaves
/// the others asleep for good.
const ROUNDS: usize = 150;

/// Writes for as long as it lives, and tells each time that it has.
pub(crate) async fn child(folder: &Path, number: u64) {
    let storage = LmdbStorage::open(folder).unwrap();
    let me = register(&storage, number).await;
    loop {
        storage.renew_node(&cluster(), me).await.unwrap();
        tell("wrote");
    }
}

struct Writer {
    process: Process,
    wrote: Arc<AtomicU64>,
}

impl Writer {
    fn start(folder: &Path, number: u64) -> Self {
        let mut process = Process::start("write", folder, number);
        let wrote = Arc::new(AtomicU64::new(0));
        let (lines, count) = (process.take_lines(), wrote.clone());
        std::thread::spawn(move || {
            for _ in lines {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { process, wrote }
    }

    /// Waits until it has written once more.
    fn goes_on(&self) -> bool {
        let before = self.wrote.load(Ordering::Relaxed);
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if self.wrote.load(Ordering::Relaxed) > before {
                return true;
            }
            std::thread::yield_now();
        }
        false
    }
}

#[test]
fn one_that_is_killed_while_it_waits_does_not_stop_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut number = 0;
    let mut start = || {
        number += 1;
        Writer::start(folder.path(), number)
    };
    let mut writers: Vec<Writer> = (0..PROCESSES).map(|_| start()).collect();
    for round in 0..ROUNDS {
        assert!(
            writers.iter().all(Writer::goes_on),
            "round {round}: a start"
        );
        let killed = round % PROCESSES;
        writers[killed].process.kill();
        for (at, writer) in writers.iter().enumerate().filter(|(at, _)| *at != killed) {
            assert!(writer.goes_on(), "round {round}: {at} sleeps on");
        }
        writers[killed] = start();
    }
}
