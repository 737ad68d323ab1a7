//! The side of the client library: transactions of the crate `foundationdb`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use foundationdb::directory::{Directory, DirectoryError, DirectoryLayer};
use foundationdb::options::{ConflictRangeType, StreamingMode, TransactionOption};
use foundationdb::tuple::hca::HcaError;
use foundationdb::{FdbError, RangeOption};

use super::database::{Batch, CommitFailure, Conflict, Database, Reading, Transaction};
use super::fault::{Code, Fault};
use super::layout::Span;
use crate::{Error, ErrorKind};

/// How long the engine's advice to wait is followed at the most, in milliseconds.
/// Its own bound of a second is made for a cluster that is overloaded, and it
/// says that by other errors than a conflict; a busy agent is served better by
/// coming back soon.
const MAX_RETRY_DELAY_MS: i32 = 250;

impl From<FdbError> for Code {
    fn from(error: FdbError) -> Self {
        Self(error.code())
    }
}

/// What each transaction is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// The time for all attempts together. Without it a transaction waits for a
    /// cluster that is gone for good.
    pub(super) timeout: Duration,
    /// How often it is made again.
    pub(super) retries: i32,
}

/// A cluster, reached by the client library.
pub(super) struct Client {
    database: foundationdb::Database,
    cluster_file: Option<PathBuf>,
    limits: Limits,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("cluster_file", &self.cluster_file)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Opens the cluster of a file, or of the default file. The network has to be started.
    /// Nothing is sent yet.
    pub(super) fn open(cluster_file: Option<PathBuf>, limits: Limits) -> Result<Self, Error> {
        let path = match &cluster_file {
            None => None,
            Some(file) => match file.to_str() {
                Some(path) if !path.contains('\0') => Some(path),
                _ => {
                    return Err(Error::new(
                        ErrorKind::InvalidInput,
                        format!("cluster file {} is no UTF-8, or has a NUL", file.display()),
                    ));
                }
            },
        };
        let database = foundationdb::Database::new(path)
            .map_err(|error| Code::from(error).error("opening the cluster file"))?;
        Ok(Self {
            database,
            cluster_file,
            limits,
        })
    }

    fn transaction(&self) -> Result<foundationdb::Transaction, FdbError> {
        let tx = self.database.create_trx()?;
        let timeout = i32::try_from(self.limits.timeout.as_millis()).unwrap_or(i32::MAX);
        tx.set_option(TransactionOption::Timeout(timeout))?;
        tx.set_option(TransactionOption::RetryLimit(self.limits.retries))?;
        tx.set_option(TransactionOption::MaxRetryDelay(MAX_RETRY_DELAY_MS))?;
        Ok(tx)
    }

    /// The prefix of a directory, which is made if there is none.
    pub(super) async fn directory(&self, path: &[String]) -> Result<Vec<u8>, Error> {
        let name = || format!("opening the directory {}", path.join("/"));
        let refused = |error: DirectoryError| match error {
            DirectoryError::FdbError(error)
            | DirectoryError::HcaError(HcaError::FdbError(error)) => Fault::Engine(error.into()),
            error => Fault::Refused(Error::new(
                ErrorKind::InvalidInput,
                format!("{} was refused: {error:?}", name()),
            )),
        };
        let layer = DirectoryLayer::default();
        let mut tx = self
            .transaction()
            .map_err(|error| Code::from(error).error(&name()))?;
        loop {
            let opened = layer
                .create_or_open(&tx, path, None, Some(b"jido"))
                .await
                .and_then(|directory| Ok(directory.bytes()?.to_vec()));
            let code = match opened.map_err(refused) {
                Err(Fault::Refused(error)) => return Err(error),
                Err(Fault::Engine(code)) => {
                    let error = FdbError::from_code(code.0);
                    tx = tx.on_error(error).await.map_err(|_| code.error(&name()))?;
                    continue;
                }
                // Opening it again is harmless, so that an unknown outcome is as good as none.
                Ok(prefix) => match tx.commit().await {
                    Ok(_) => return Ok(prefix),
                    Err(failure) => {
                        let code = Code(failure.code());
                        match failure.on_error().await {
                            Ok(anew) => {
                                tx = anew;
                                continue;
                            }
                            Err(_) => code,
                        }
                    }
                },
            };
            return Err(code.error(&name()));
        }
    }
}

impl Database for Client {
    fn begin(&self) -> Result<Box<dyn Transaction>, Code> {
        Ok(Box::new(Tx(self.transaction()?)))
    }
}

/// A transaction of the client library.
struct Tx(foundationdb::Transaction);

impl Tx {
    /// Keeps the next write out of the write conflicts.
    fn unguarded(&self) -> Result<(), Code> {
        Ok(self
            .0
            .set_option(TransactionOption::NextWriteNoWriteConflictRange)?)
    }
}

#[async_trait]
impl Transaction for Tx {
    async fn get(&self, key: &[u8], reading: Reading) -> Result<Option<Vec<u8>>, Code> {
        let value = self.0.get(key, reading == Reading::Snapshot).await?;
        Ok(value.map(|value| value.to_vec()))
    }

    async fn range(&self, span: &Span, limit: usize, reading: Reading) -> Result<Batch, Code> {
        let range = RangeOption {
            // The library takes 0 for no limit, and cuts what is beyond its integers.
            limit: Some(limit.min(i32::MAX as usize)),
            mode: StreamingMode::WantAll,
            ..RangeOption::from((span.begin.as_slice(), span.end.as_slice()))
        };
        let values = self
            .0
            .get_range(&range, 1, reading == Reading::Snapshot)
            .await?;
        Ok(Batch {
            more: values.more(),
            pairs: values
                .iter()
                .map(|pair| (pair.key().to_vec(), pair.value().to_vec()))
                .collect(),
        })
    }

    async fn read_version(&self) -> Result<i64, Code> {
        Ok(self.0.get_read_version().await?)
    }

    fn set(&self, key: &[u8], value: &[u8]) {
        self.0.set(key, value);
    }

    fn set_unguarded(&self, key: &[u8], value: &[u8]) -> Result<(), Code> {
        self.unguarded()?;
        self.0.set(key, value);
        Ok(())
    }

    fn clear_unguarded(&self, span: &Span) -> Result<(), Code> {
        self.unguarded()?;
        self.0.clear_range(&span.begin, &span.end);
        Ok(())
    }

    fn add_conflict(&self, key: &[u8], conflict: Conflict) -> Result<(), Code> {
        let end = [key, &[0x00]].concat();
        let kind = match conflict {
            Conflict::Read => ConflictRangeType::Read,
            Conflict::Write => ConflictRangeType::Write,
        };
        Ok(self.0.add_conflict_range(key, &end, kind)?)
    }

    async fn commit(self: Box<Self>) -> Result<(), CommitFailure> {
        match self.0.commit().await {
            Ok(_) => Ok(()),
            Err(failure) => Err(CommitFailure {
                code: Code(failure.code()),
                again: Box::pin(async move {
                    let tx = failure.on_error().await?;
                    Ok(Box::new(Tx(tx)) as Box<dyn Transaction>)
                }),
            }),
        }
    }

    async fn on_error(self: Box<Self>, code: Code) -> Result<Box<dyn Transaction>, Code> {
        let tx = self.0.on_error(FdbError::from_code(code.0)).await?;
        Ok(Box::new(Tx(tx)))
    }
}
