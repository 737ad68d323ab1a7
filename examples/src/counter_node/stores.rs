//! The storage that `--storage` names.

use std::sync::Arc;

use jido_cluster::storage::{LmdbStorage, MemoryStorage, Storage};

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
pub(super) fn open(option: &str) -> Result<Arc<dyn Storage>, StoreError> {
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
        ("postgres" | "foundationdb", _) => Err(StoreError::Option(format!(
            "--storage {scheme}: this program was built without the {scheme} adapter: it has \
             memory and lmdb:DIR"
        ))),
        _ => Err(StoreError::Option(
            "--storage is none of memory, lmdb:DIR, postgres:URL and foundationdb:CLUSTER_FILE"
                .to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_built_in_is_refused_without_its_secret() {
        for option in [
            "postgres:user:hunter2@db/x",
            "postgres://user:hunter2@db/x",
            "foundationdb:/etc/hunter2",
            "mysql://hunter2",
            "hunter2",
            "memory:hunter2",
            "lmdb:",
            "lmdb",
            "",
        ] {
            let Err(StoreError::Option(error)) = open(option) else {
                panic!("{option} was not refused as an option")
            };
            assert!(
                error.starts_with("--storage") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }

    #[test]
    fn memory_and_lmdb_open() {
        assert!(open("memory").is_ok());
        let dir = tempfile::tempdir().unwrap();
        assert!(open(&format!("lmdb:{}", dir.path().join("data").display())).is_ok());
    }
}
