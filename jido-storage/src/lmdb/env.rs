//! The environment: one memory map of one folder, how it is opened and grown.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use heed::{EnvOpenOptions, MdbError, RoTxn, RwTxn, WithTls};
use parking_lot::RwLock;

use super::fault::{Fault, definite, is_map_full, is_map_resized};
use super::options::{GRANULE, LmdbOptions};
use super::schema::open_tables;
use super::tables::Tables;
use super::turn::{Turn, Turns};
use crate::{Error, ErrorKind};

/// Slots for readers, of 64 bytes each. A thread has one from its first read to its end,
/// so this bounds the threads of all processes that have read, and not the reads at once.
/// The file of slots is laid out by the first process that opens it: where a process
/// of an earlier build has it open, or one with fewer, there are as many as that one has.
pub(super) const MAX_READERS: u32 = 16 * 1024;

/// How far work that makes room may go beyond the bound: a delete writes new
/// pages before it frees old ones.
const RESERVE: usize = 16 * 1024 * 1024;

/// How long opening waits for an environment of this process that is closing,
/// that is for the commit that its writer still makes.
const CLOSING: Duration = Duration::from_secs(10);

/// How often following a map that others grow is tried before giving up.
pub(super) const FOLLOWS: usize = 16;

/// An open environment with its tables.
#[derive(Debug)]
pub(super) struct Environment {
    env: heed::Env<WithTls>,
    turns: Turns,
    tables: Tables,
    /// Readers share it while they look at the map; the writer takes it alone to
    /// move the map. `false` once a map could not be put back.
    mapped: RwLock<bool>,
    folder: PathBuf,
    bound: usize,
    transactions: AtomicU64,
}

/// A write transaction, and the turn that it takes. It is committed or undone
/// before the turn is given back.
pub(super) struct WriteTxn<'e> {
    pub(super) txn: RwTxn<'e>,
    _turn: Turn<'e>,
}

impl Environment {
    /// Opens the environment in `folder`, which exists, and makes or checks its tables.
    pub(super) fn open(folder: &Path, options: &LmdbOptions) -> Result<Self, Error> {
        if let Some(closing) = heed::env_closing_event(folder)
            && !closing.wait_timeout(CLOSING)
        {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "{} is open in this process by other means than this adapter, or has not closed within {CLOSING:?}",
                    folder.display()
                ),
            ));
        }
        // A reader's slot belongs to its thread: one a read would take a mutex that all
        // processes share, each time.
        let mut how = EnvOpenOptions::new().read_txn_with_tls();
        // Default flags: every commit is on disk before it is answered.
        how.map_size(options.map_size)
            .max_readers(options.max_readers)
            .max_dbs(16);
        #[allow(
            unsafe_code,
            reason = "heed asks that nothing but LMDB changes the files while they are mapped: the \
                      folder is the adapter's own, which its docs ask of the user, and locking is on"
        )]
        let opened = unsafe { how.open(folder) };
        let env = opened.map_err(|e| definite(&e, folder, "opening the environment"))?;
        let turns = Turns::open(folder)
            .map_err(|e| definite(&e.into(), folder, "opening the lock of those who write"))?;
        let tables = {
            let _turn = turns
                .take()
                .map_err(|e| definite(&e.into(), folder, "waiting for a turn to write"))?;
            open_tables(&env, folder, options.max_map_size)?
        };
        let stale = env
            .clear_stale_readers()
            .map_err(|e| definite(&e, folder, "clearing readers that are gone"))?;
        if stale > 0 {
            tracing::info!(folder = %folder.display(), stale, "cleared readers of processes that are gone");
        }
        Ok(Self {
            env,
            turns,
            tables,
            mapped: RwLock::new(true),
            folder: folder.to_owned(),
            bound: options.max_map_size,
            transactions: AtomicU64::new(0),
        })
    }

    pub(super) fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The flags that LMDB runs with.
    #[cfg(test)]
    pub(super) fn flags(&self) -> u32 {
        self.env.get_flags().expect("an open environment has flags")
    }

    /// Write transactions that were committed.
    pub(super) fn transactions(&self) -> u64 {
        self.transactions.load(Ordering::Relaxed)
    }

    /// Runs a read in a transaction of its own.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Tables, &RoTxn<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mapped = self.mapped.read();
        if !*mapped {
            return Err(Fault::Refused(self.unmapped()));
        }
        let txn = self.begin_read()?;
        work(&self.tables, &txn)
    }

    /// Begins a read, if need be in the slot of a reader that died.
    fn begin_read(&self) -> Result<RoTxn<'_, WithTls>, heed::Error> {
        match self.env.read_txn() {
            Err(heed::Error::Mdb(MdbError::ReadersFull)) => {
                self.env.clear_stale_readers()?;
                self.env.read_txn()
            }
            begun => begun,
        }
    }

    /// Begins a write transaction, following a map that others have grown. It
    /// waits while another process writes. For the writer's thread alone.
    pub(super) fn begin(&self) -> Result<WriteTxn<'_>, Fault> {
        let turn = self.turns.take().map_err(heed::Error::Io)?;
        for _ in 0..FOLLOWS {
            if !*self.mapped.read() {
                return Err(Fault::Refused(self.unmapped()));
            }
            match self.env.write_txn() {
                Err(error) if is_map_resized(&error) => self.follow()?,
                begun => {
                    return Ok(WriteTxn {
                        txn: begun?,
                        _turn: turn,
                    });
                }
            }
        }
        Err(Fault::Refused(Error::new(
            ErrorKind::Unavailable,
            format!(
                "the map of {} is grown by others faster than it can be followed",
                self.folder.display()
            ),
        )))
    }

    /// Commits.
    pub(super) fn commit(&self, txn: WriteTxn<'_>) -> Result<(), heed::Error> {
        txn.txn.commit()?;
        self.transactions.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Whether a commit may have failed while it wrote the page that makes it valid,
    /// so that nobody knows what is on disk. LMDB then refuses every further
    /// transaction of this process; a commit that fails before that page leaves
    /// no trace, since nothing points to what it wrote. A read that can't begin for
    /// another reason, as where readers have no slot left, doesn't tell the one
    /// from the other.
    pub(super) fn may_be_poisoned(&self) -> bool {
        self.begin_read().is_err()
    }

    /// Makes room: by clearing readers that died, whose old pages can't be used
    /// again while they are listed, or else by doubling the map, up to the bound;
    /// with `reserve`, to a little beyond it. Answers whether there is more room
    /// now. For the writer's thread alone, outside of a transaction.
    pub(super) fn grow(&self, reserve: bool) -> Result<bool, Error> {
        if self.clear_stale_readers() > 0 {
            return Ok(true);
        }
        let bound = if reserve {
            self.bound.saturating_add(RESERVE)
        } else {
            self.bound
        };
        let size = self.env.info().map_size;
        if size >= bound {
            return Ok(false);
        }
        let new_size = size.saturating_mul(2).min(bound) / GRANULE * GRANULE;
        self.remap(new_size)?;
        tracing::info!(folder = %self.folder.display(), from = size, to = new_size, "grew the map");
        Ok(true)
    }

    /// Follows a map that others have grown. If they did so into the reserve, it goes no
    /// further than they have used it: the rest isn't there for all that is written.
    fn follow(&self) -> Result<(), Error> {
        // 0 means the size that the file says.
        self.remap(0)?;
        self.shrink()
    }

    /// Gives the reserve back, as far as it isn't used: LMDB maps no less than that.
    pub(super) fn shrink(&self) -> Result<(), Error> {
        if self.env.info().map_size > self.bound {
            self.remap(self.bound)
        } else {
            Ok(())
        }
    }

    /// Frees what readers held who died; answers how many they were.
    pub(super) fn clear_stale_readers(&self) -> usize {
        match self.env.clear_stale_readers() {
            Ok(cleared) => cleared,
            Err(error) => {
                tracing::warn!(folder = %self.folder.display(), %error, "readers that are gone could not be cleared");
                0
            }
        }
    }

    /// Moves the map to one of another size.
    fn remap(&self, size: usize) -> Result<(), Error> {
        let mut mapped = self.mapped.write();
        if !*mapped {
            return Err(self.unmapped());
        }
        #[allow(
            unsafe_code,
            reason = "heed asks that no transaction of this process is active: the lock is held alone, \
                      so there is no reader, and this is the writer's thread, which has none open"
        )]
        let resized = unsafe { self.env.resize(size) };
        resized.map_err(|error| {
            // LMDB has let the old map go: to touch it now would crash.
            *mapped = false;
            definite(&error, &self.folder, format_args!("mapping {size} bytes"))
        })
    }

    fn unmapped(&self) -> Error {
        Error::new(
            ErrorKind::Unavailable,
            format!(
                "the map of {} could not be put back after it was resized: open it again",
                self.folder.display()
            ),
        )
    }

    /// The error for work that finds no room at the bound.
    pub(super) fn full(&self) -> Error {
        full(&self.folder, self.env.info().map_size, self.bound)
    }

    /// An error of LMDB after which nothing was written.
    pub(super) fn definite(&self, error: &heed::Error, doing: &str) -> Error {
        if is_map_full(error) {
            self.full()
        } else {
            definite(error, &self.folder, doing)
        }
    }
}

pub(super) fn full(folder: &Path, size: usize, bound: usize) -> Error {
    Error::new(
        ErrorKind::Full,
        format!(
            "the map of {} is full at {size} bytes: delete agents, or open it with a larger max_map_size than {bound}",
            folder.display()
        ),
    )
}
