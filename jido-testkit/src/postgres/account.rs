//! Who runs the server: Postgres refuses to run as root.

use std::ffi::OsStr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::programs::INSTALL;
use crate::{Error, ErrorKind};

/// The account that Debian's package makes, and nearly every other.
const NAME: &str = "postgres";

/// The account that the server's programs run under.
#[derive(Debug, Clone, Copy)]
pub(super) enum Account {
    /// The one of this process.
    Own,
    /// Another, since this process is root's.
    Other { uid: u32, gid: u32 },
}

impl Account {
    /// Chooses it: our own, or `postgres` when we are root.
    pub(super) fn choose() -> Result<Self, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Own);
        }
        Ok(Self::Other {
            uid: id("-u")?,
            gid: id("-g")?,
        })
    }

    /// Makes a folder this account's own.
    pub(super) fn give(self, folder: &Path) -> Result<(), Error> {
        let Self::Other { uid, gid } = self else {
            return Ok(());
        };
        chown(folder, Some(uid), Some(gid)).map_err(|cause| {
            Error::new(
                ErrorKind::Machine,
                format!("{} can't be given to {NAME}: {cause}", folder.display()),
            )
            .caused_by(cause)
        })
    }

    /// A command of this account in a folder, which is its home, too, without what our
    /// environment says about Postgres, in a process group of its own: a Ctrl-C in the terminal, or a
    /// runner that ends a test's group, leaves it to the keeper.
    pub(super) fn command(self, program: impl AsRef<OsStr>, folder: &Path) -> Command {
        let mut command = Command::new(program);
        for (name, _value) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        command
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            // Certificates and passwords of ours are not for a server, nor may it read them.
            .env("HOME", folder)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        if let Self::Other { uid, gid } = self {
            // Supplementary groups, root's among them, are dropped with the uid.
            command.uid(uid).gid(gid);
        }
        command
    }
}

fn id(which: &str) -> Result<u32, Error> {
    let output = Command::new("id")
        .args([which, NAME])
        .stdin(Stdio::null())
        .output()
        .map_err(|cause| {
            Error::new(ErrorKind::Machine, format!("id can't be run: {cause}")).caused_by(cause)
        })?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|cause| {
        Error::new(
            ErrorKind::Missing,
            format!(
                "Postgres refuses to run as root, and there is no user {NAME} to run it as: {INSTALL}"
            ),
        )
        .caused_by(cause)
    })
}
