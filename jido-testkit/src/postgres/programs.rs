//! Where the server's programs are.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Error, ErrorKind};

/// What an error tells to do about a program that is missing.
pub(super) const INSTALL: &str = "install a server, for example by `apt-get install postgresql`";

/// Where distributions put the versions of the server, one folder each.
const VERSIONS: &str = "/usr/lib/postgresql";

/// The folder of the server's programs: what `pg_config` says, else the newest
/// version of the distribution, else the first folder of `PATH` that has them.
pub(super) fn find() -> Result<PathBuf, Error> {
    let told = told_by_pg_config();
    let path = std::env::var_os("PATH").unwrap_or_default();
    told.into_iter()
        .chain(versions(Path::new(VERSIONS)))
        .chain(std::env::split_paths(&path))
        .find(|folder| has_server(folder))
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Missing,
                format!(
                    "no Postgres server is installed: neither pg_config nor {VERSIONS} nor PATH \
                     leads to initdb and postgres: {INSTALL}"
                ),
            )
        })
}

fn has_server(folder: &Path) -> bool {
    ["initdb", "postgres", "pg_ctl"]
        .iter()
        .all(|program| folder.join(program).is_file())
}

fn told_by_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config")
        .arg("--bindir")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    output
        .status
        .success()
        .then(|| PathBuf::from(folder.trim()))
}

/// The programs' folders of all installed versions, newest first.
fn versions(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, folder)| folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_comes_first_by_number() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["9", "16", "15", "common"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let found = versions(dir.path());
        let expected: Vec<PathBuf> = ["16", "15", "9"]
            .iter()
            .map(|version| dir.path().join(version).join("bin"))
            .collect();
        assert_eq!(found, expected);
        assert!(versions(&dir.path().join("none")).is_empty());
    }
}
