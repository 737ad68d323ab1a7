//! What a process writes, kept in a file.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::{Error, ErrorKind};

/// How much of a log's end is shown, in bytes.
const TAIL: u64 = 16 * 1024;

/// The log of one node or server: its stdout and stderr, in one file for all its lives. The
/// process writes into the file itself, so nothing is lost when it or the test dies.
#[derive(Debug, Clone)]
pub struct Log {
    path: PathBuf,
}

impl Log {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All of it; bytes that are no UTF-8 are replaced.
    ///
    /// # Errors
    ///
    /// [`Machine`](ErrorKind::Machine) when the file can't be read.
    pub fn text(&self) -> Result<String, Error> {
        self.read(u64::MAX)
    }

    /// The last 16 KiB of it, or why they can't be read.
    pub fn tail(&self) -> String {
        self.read(TAIL).unwrap_or_else(|error| format!("({error})"))
    }

    /// The file to write to, for one of the node's streams.
    pub(crate) fn open(&self) -> Result<File, Error> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)
            .map_err(|e| self.error(e))
    }

    fn read(&self, last: u64) -> Result<String, Error> {
        let read = || {
            let mut file = File::open(&self.path)?;
            let len = file.metadata()?.len();
            file.seek(SeekFrom::Start(len.saturating_sub(last)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().map_err(|cause| self.error(cause))
    }

    fn error(&self, cause: std::io::Error) -> Error {
        Error::new(
            ErrorKind::Machine,
            format!("log {}: {cause}", self.path.display()),
        )
        .caused_by(cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_tail_is_the_end_and_lives_are_appended() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::new(dir.path().join("n1.log"));
        assert!(log.text().is_err());
        log.open()
            .unwrap()
            .write_all(&vec![b'x'; TAIL as usize])
            .unwrap();
        log.open().unwrap().write_all("ünd".as_bytes()).unwrap();
        assert!(log.text().unwrap().len() > TAIL as usize);
        assert_eq!(log.tail().len(), TAIL as usize);
        assert!(log.tail().ends_with("ünd"));
    }
}
