//! The storage that `--storage` names.

use std::sync::Arc;

use jido_cluster::storage::{
    LmdbStorage, MemoryStorage, PostgresOptions, PostgresStorage, Storage,
};

/// Why there is no storage.
#[derive(Debug)]
pub(super) enum StoreError {
    /// The option can't work with this program.
    Option(String),
    /// The storage could not be opened.
    Open(String),
}

/// Opens the storage that the option names. Errors never show what stands behind
/// the scheme of a URL: it may hold a password.
pub(super) async fn open(option: &str) -> Result<Arc<dyn Storage>, StoreError> {
    let (scheme, rest) = option.split_once(':').unwrap_or((option, ""));
    match (scheme, rest) {
        ("memory", "") => Ok(Arc::new(MemoryStorage::new())),
        ("lmdb", "") => Err(StoreError::Option(
            "--storage lmdb:DIR: the directory is missing".to_owned(),
        )),
        ("lmdb", dir) => match LmdbStorage::open(dir) {
            Ok(storage) => Ok(Arc::new(storage)),
            Err(error) => Err(StoreError::Open(format!("--storage lmdb:{dir}: {error}"))),
        },
        // The scheme may be the URL's own: postgres:postgres://.. is postgres://..
        ("postgres" | "postgresql", rest) => {
            let url = if rest.starts_with("//") { option } else { rest };
            let options = PostgresOptions::new(url)
                .map_err(|error| StoreError::Option(format!("--storage {scheme}: {error}")))?;
            match PostgresStorage::connect(options).await {
                Ok(storage) => Ok(Arc::new(storage)),
                Err(error) => Err(StoreError::Open(format!("--storage {scheme}: {error}"))),
            }
        }
        #[cfg(feature = "foundationdb")]
        ("foundationdb", place) => foundationdb(place).await,
        #[cfg(not(feature = "foundationdb"))]
        ("foundationdb", _) => Err(not_built_in(scheme)),
        _ => Err(StoreError::Option(
            "--storage is none of memory, lmdb:DIR, postgres:URL and foundationdb:CLUSTER_FILE"
                .to_owned(),
        )),
    }
}

#[cfg(not(feature = "foundationdb"))]
fn not_built_in(scheme: &str) -> StoreError {
    StoreError::Option(format!(
        "--storage {scheme}: this program was built without the {scheme} adapter: it has memory, \
         lmdb:DIR and postgres:URL"
    ))
}

/// Opens a FoundationDB cluster: `CLUSTER_FILE`, or nothing for the default file, then perhaps
/// `?prefix=PREFIX`, without which the directory `jido` is taken.
#[cfg(feature = "foundationdb")]
async fn foundationdb(place: &str) -> Result<Arc<dyn Storage>, StoreError> {
    let (file, query) = place.split_once('?').unwrap_or((place, ""));
    let mut options = jido_cluster::storage::FoundationDbOptions::new();
    if !file.is_empty() {
        options = options.cluster_file(file);
    }
    match query.split_once('=') {
        None if query.is_empty() => {}
        Some(("prefix", prefix)) => options = options.prefix(prefix),
        _ => {
            return Err(StoreError::Option(
                "--storage foundationdb:CLUSTER_FILE?prefix=PREFIX: prefix is all that can stand behind the ?"
                    .to_owned(),
            ));
        }
    }
    match options.open().await {
        Ok(storage) => Ok(Arc::new(storage)),
        Err(error) => Err(StoreError::Open(format!("--storage foundationdb: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_can_not_work_is_refused_without_its_secret() {
        for option in [
            "postgres:user:hunter2@db/x",
            "postgres://user:hunter2@db:port/x",
            "postgres:postgres://user@db/x?pasword=hunter2",
            #[cfg(not(feature = "foundationdb"))]
            "foundationdb:/etc/hunter2",
            #[cfg(feature = "foundationdb")]
            "foundationdb:/etc/fdb.cluster?hunter2",
            "mysql://hunter2",
            "hunter2",
            "memory:hunter2",
            "lmdb:",
            "lmdb",
            "",
        ] {
            let Err(StoreError::Option(error)) = open(option).await else {
                panic!("{option} was not refused as an option")
            };
            assert!(
                error.starts_with("--storage") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn memory_and_lmdb_open() {
        assert!(open("memory").await.is_ok());
        let dir = tempfile::tempdir().unwrap();
        let option = format!("lmdb:{}", dir.path().join("data").display());
        assert!(open(&option).await.is_ok());
    }

    #[tokio::test]
    async fn a_server_that_can_not_be_reached_is_named_without_its_secret() {
        for scheme in ["", "postgres:"] {
            let option = format!("{scheme}postgres://user:hunter2@127.0.0.1:1/x");
            let Err(StoreError::Open(error)) = open(&option).await else {
                panic!("{option} was opened")
            };
            assert!(
                error.starts_with("--storage postgres: no connection")
                    && !error.contains("hunter2"),
                "{error}"
            );
        }
    }
}
