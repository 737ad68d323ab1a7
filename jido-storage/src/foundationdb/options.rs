//! How a storage is opened.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::client::{Client, Limits};
use super::{DEFAULT_MAX_COMMIT_BYTES, FoundationDbStorage, network};
use crate::{Error, ErrorKind};

/// The API versions that can be chosen: what the headers that this is built with
/// offer, from the oldest on with the same meaning of time limits and errors.
const API_VERSIONS: std::ops::RangeInclusive<i32> = 710..=730;

/// The longest prefix: keys stay far below the engine's 10,000 bytes.
const MAX_PREFIX_LEN: usize = 1024;

/// The range of `max_commit_bytes`: the engine refuses transactions of 10 MB.
const COMMIT_BYTES: std::ops::RangeInclusive<usize> = 1_000..=8_000_000;

/// Where in the cluster the keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Directory(Vec<String>),
    Prefix(Vec<u8>),
}

/// How a [`FoundationDbStorage`] is opened.
///
/// ```no_run
/// use jido_storage::FoundationDbOptions;
///
/// # async fn open() -> Result<(), jido_storage::Error> {
/// let storage = FoundationDbOptions::new()
///     .cluster_file("/etc/foundationdb/fdb.cluster")
///     .directory(["orders", "agents"])
///     .open()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundationDbOptions {
    cluster_file: Option<PathBuf>,
    place: Place,
    api_version: i32,
    limits: Limits,
    max_commit_bytes: usize,
}

impl Default for FoundationDbOptions {
    fn default() -> Self {
        Self {
            cluster_file: None,
            place: Place::Directory(vec!["jido".to_owned()]),
            api_version: *API_VERSIONS.end(),
            limits: Limits {
                timeout: Duration::from_secs(10),
                retries: 100,
            },
            max_commit_bytes: DEFAULT_MAX_COMMIT_BYTES,
        }
    }
}

impl FoundationDbOptions {
    /// The default cluster file, and the directory `jido` in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// The file that says where the cluster is. Without it, it is the one that the
    /// environment variable `FDB_CLUSTER_FILE` names, else the system's.
    #[must_use]
    pub fn cluster_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.cluster_file = Some(file.into());
        self
    }

    /// Keeps everything in a directory of the directory layer, made if there is
    /// none: a path of one or more names. The layer gives it a short prefix.
    #[must_use]
    pub fn directory<S: Into<String>>(mut self, path: impl IntoIterator<Item = S>) -> Self {
        self.place = Place::Directory(path.into_iter().map(Into::into).collect());
        self
    }

    /// Keeps everything behind a prefix, of 1 to 1,024 bytes, that nothing else in the
    /// cluster uses. It begins with neither `0xFE`, where the directory layer keeps
    /// its own, nor `0xFF`, where the engine does.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<Vec<u8>>) -> Self {
        self.place = Place::Prefix(prefix.into());
        self
    }

    /// The version of the client library's API, from 710 to 730: 730 unless
    /// chosen. It is chosen once a process. The library itself is one of 7.3 or
    /// newer in any case; a lower version here lets it speak to an older cluster.
    #[must_use]
    pub fn api_version(mut self, version: i32) -> Self {
        self.api_version = version;
        self
    }

    /// How long an operation may take, all its attempts together: from 100 ms on, 10 s unless
    /// chosen. What has written by then is looked after for up to three times as long.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.limits.timeout = timeout;
        self
    }

    /// How often an operation is made again after a conflict or a passing
    /// failure: from 0 on, 100 unless chosen.
    #[must_use]
    pub fn retries(mut self, retries: u16) -> Self {
        self.limits.retries = i32::from(retries);
        self
    }

    /// The largest commit, in bytes of payload: from 1,000 to 8,000,000; 950,000
    /// unless chosen. Larger transactions than 1 MB work, and slow the whole cluster down.
    #[must_use]
    pub fn max_commit_bytes(mut self, bytes: usize) -> Self {
        self.max_commit_bytes = bytes;
        self
    }

    fn check(&self) -> Result<(), Error> {
        let refused = |message: String| Err(Error::new(ErrorKind::InvalidInput, message));
        if !API_VERSIONS.contains(&self.api_version) {
            return refused(format!(
                "api_version is {}: it is from {} to {}",
                self.api_version,
                API_VERSIONS.start(),
                API_VERSIONS.end()
            ));
        }
        if self.limits.timeout < Duration::from_millis(100) {
            return refused(format!(
                "timeout is {:?}: it is at least 100 ms",
                self.limits.timeout
            ));
        }
        if !COMMIT_BYTES.contains(&self.max_commit_bytes) {
            return refused(format!(
                "max_commit_bytes is {}: it is from {} to {}",
                self.max_commit_bytes,
                COMMIT_BYTES.start(),
                COMMIT_BYTES.end()
            ));
        }
        match &self.place {
            Place::Directory(path) if path.is_empty() || path.iter().any(String::is_empty) => {
                refused("directory has no name, or an empty one".to_owned())
            }
            Place::Prefix(prefix) if prefix.is_empty() || prefix.len() > MAX_PREFIX_LEN => {
                refused(format!(
                    "prefix has {} bytes: it has 1 to {MAX_PREFIX_LEN}",
                    prefix.len()
                ))
            }
            Place::Prefix(prefix) if prefix[0] >= 0xfe => refused(format!(
                "prefix begins with {:#04x}: that is the engine's or the directory layer's",
                prefix[0]
            )),
            _ => Ok(()),
        }
    }

    /// Opens the storage, and lays it down where nothing is. The first storage of the
    /// process starts the client library's network thread.
    ///
    /// # Errors
    ///
    /// - [`InvalidInput`](ErrorKind::InvalidInput) when an option is out of its
    ///   range, the cluster file can't be read, or the process has chosen another API version;
    /// - [`Schema`](ErrorKind::Schema) when another version laid the data down,
    ///   or something else is behind the prefix;
    /// - [`Unavailable`](ErrorKind::Unavailable) when the cluster can't be
    ///   reached within the time limit.
    pub async fn open(self) -> Result<FoundationDbStorage, Error> {
        self.check()?;
        let mut instance = [0; 16];
        getrandom::fill(&mut instance).map_err(|cause| {
            Error::new(
                ErrorKind::Unavailable,
                format!("the machine gives no randomness: {cause}"),
            )
        })?;
        network::start(self.api_version)?;
        let client = Client::open(self.cluster_file, self.limits)?;
        let prefix = match self.place {
            Place::Prefix(prefix) => prefix,
            Place::Directory(path) => client.directory(&path).await?,
        };
        FoundationDbStorage::over(
            Arc::new(client),
            prefix,
            u128::from_be_bytes(instance),
            self.max_commit_bytes,
        )
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_range_are_refused_by_name() {
        let new = FoundationDbOptions::new;
        for (options, name) in [
            (new().api_version(700), "api_version"),
            (new().api_version(740), "api_version"),
            (new().timeout(Duration::from_millis(99)), "timeout"),
            (new().max_commit_bytes(999), "max_commit_bytes"),
            (new().max_commit_bytes(8_000_001), "max_commit_bytes"),
            (new().directory([""; 0]), "directory"),
            (new().directory(["a", ""]), "directory"),
            (new().prefix([]), "prefix"),
            (new().prefix([0xff, 1]), "prefix"),
            (new().prefix([0xfe]), "prefix"),
            (new().prefix([1; 1025]), "prefix"),
        ] {
            let error = options.check().expect_err(name);
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().starts_with(name), "{error}");
        }
        for options in [
            new(),
            new().api_version(710),
            new().prefix([1]),
            new().directory(["a", "b"]),
            new().retries(0),
        ] {
            assert!(options.check().is_ok(), "{options:?}");
        }
    }
}
