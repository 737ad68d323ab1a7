//! How an environment is opened.

use std::path::Path;

use super::LmdbStorage;
use super::env::MAX_READERS;
use crate::{Error, ErrorKind};

/// Maps are measured in multiples of this: no machine has larger pages.
pub(super) const GRANULE: usize = 64 * 1024;

const MIB: usize = 1024 * 1024;
const GIB: usize = 1024 * MIB;

/// How an [`LmdbStorage`] is opened.
///
/// ```
/// use jido_storage::LmdbOptions;
///
/// # let folder = tempfile::tempdir()?;
/// let storage = LmdbOptions::new().max_map_size(4 << 30).open(folder.path())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LmdbOptions {
    pub(super) map_size: usize,
    pub(super) max_map_size: usize,
    /// Only tests have fewer than usual.
    pub(super) max_readers: u32,
}

impl Default for LmdbOptions {
    fn default() -> Self {
        Self {
            map_size: 256 * MIB,
            max_map_size: 256 * GIB,
            max_readers: MAX_READERS,
        }
    }
}

impl LmdbOptions {
    /// A map of 256 MiB that grows to 256 GiB.
    pub fn new() -> Self {
        Self::default()
    }

    /// The size of the map to begin with, in bytes, from 1 MiB on; rounded down
    /// to a multiple of 64 KiB. It is address space: the file is as large as
    /// the data, and a map that is full is doubled.
    #[must_use]
    pub fn map_size(mut self, bytes: usize) -> Self {
        self.map_size = bytes / GRANULE * GRANULE;
        self
    }

    /// The size up to which the map grows, in bytes, rounded down to a multiple
    /// of 64 KiB. Beyond it writes fail with [`Full`](ErrorKind::Full); deletes,
    /// releases and the records of nodes may go 16 MiB further, so that room
    /// can be made.
    #[must_use]
    pub fn max_map_size(mut self, bytes: usize) -> Self {
        self.max_map_size = bytes / GRANULE * GRANULE;
        self
    }

    /// Opens the storage in a folder, which is made if there is none.
    ///
    /// # Errors
    ///
    /// - [`InvalidInput`](ErrorKind::InvalidInput) when a size is out of its
    ///   range, or the folder is open in this process with other options;
    /// - [`Schema`](ErrorKind::Schema) when another version laid the data down;
    /// - [`Corrupt`](ErrorKind::Corrupt) when the files are none of LMDB's;
    /// - [`Full`](ErrorKind::Full), [`Unavailable`](ErrorKind::Unavailable) when
    ///   the folder can't be written or mapped.
    pub fn open(self, folder: impl AsRef<Path>) -> Result<LmdbStorage, Error> {
        if self.map_size < MIB {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("map_size is {} bytes: it is at least {MIB}", self.map_size),
            ));
        }
        if self.max_map_size < self.map_size {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "max_map_size is {} bytes: it is at least map_size, {}",
                    self.max_map_size, self.map_size
                ),
            ));
        }
        LmdbStorage::open_with(folder.as_ref(), self)
    }
}
