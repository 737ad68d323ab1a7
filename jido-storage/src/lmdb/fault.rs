//! What can go wrong inside a transaction, and how LMDB's errors read outside.

use std::fmt;
use std::path::Path;

use heed::MdbError;

use crate::{Error, ErrorKind};

/// Why work inside a transaction stopped.
#[derive(Debug)]
pub(super) enum Fault {
    /// The work itself is refused; the transaction goes on without it.
    Refused(Error),
    /// LMDB failed: the transaction is given up.
    Engine(heed::Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<heed::Error> for Fault {
    fn from(error: heed::Error) -> Self {
        Self::Engine(error)
    }
}

/// Whether the map has no room for what was written.
pub(super) fn is_map_full(error: &heed::Error) -> bool {
    matches!(error, heed::Error::Mdb(MdbError::MapFull))
}

/// Whether another process has grown the map, and this one has to follow.
pub(super) fn is_map_resized(error: &heed::Error) -> bool {
    matches!(error, heed::Error::Mdb(MdbError::MapResized))
}

/// An error of LMDB as the caller of the storage sees it. Nothing was written.
pub(super) fn definite(error: &heed::Error, folder: &Path, doing: impl fmt::Display) -> Error {
    use std::io::ErrorKind as Io;
    let kind = match error {
        heed::Error::Mdb(
            MdbError::Corrupted
            | MdbError::PageNotFound
            | MdbError::Invalid
            | MdbError::Incompatible,
        ) => ErrorKind::Corrupt,
        heed::Error::Mdb(MdbError::VersionMismatch) => ErrorKind::Schema,
        heed::Error::Mdb(MdbError::MapFull | MdbError::TxnFull) => ErrorKind::Full,
        heed::Error::Io(cause)
            if matches!(
                cause.kind(),
                Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge
            ) =>
        {
            ErrorKind::Full
        }
        _ => ErrorKind::Unavailable,
    };
    Error::new(
        kind,
        format!("LMDB in {}: {doing}: {error}", folder.display()),
    )
}
