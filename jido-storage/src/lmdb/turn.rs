//! Whose turn it is to write, among the processes of the machine.
//!
//! LMDB has a lock of its own for that, a robust mutex in shared memory, and it
//! recovers when its holder is killed. What it doesn't survive is the death of one
//! that waits: a process that is killed between being woken and taking the mutex
//! can take the wake-up of all others with it, and they sleep on although nobody
//! holds it. (Three processes of which one is killed under load show it about once
//! in a hundred kills.) A lock on a file has no such gap, since the kernel itself
//! takes a dead process off the queue. So whoever writes takes that lock first, and
//! LMDB's mutex never has more than one that waits.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::Path;

/// Beside LMDB's own files.
const FILE: &str = "turn.lock";

/// The lock of one folder.
#[derive(Debug)]
pub(super) struct Turns(File);

/// A turn to write; over when it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'t>(&'t File);

impl Turns {
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join(FILE))
            .map(Self)
    }

    /// Waits for a turn. For one thread at a time: the lock belongs to the open file,
    /// and whoever shares that would be let in at once.
    pub(super) fn take(&self) -> io::Result<Turn<'_>> {
        loop {
            match self.0.lock() {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                taken => return taken.map(|()| Turn(&self.0)),
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            // It is let go of with the file at the latest.
            tracing::error!(%error, "the turn to write was not given back");
        }
    }
}
