//! Sees to it that no server and no folder outlive the test.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use super::account::Account;
use crate::wiring::now;
use crate::{Error, ErrorKind};

/// Waits until its input ends, which is when its owner lets go of it or is killed.
/// Then it has a paused server go on, stops the server, and removes the folder.
const SCRIPT: &str = r#"
cat >/dev/null
if read -r pid <"$2/postmaster.pid" 2>/dev/null; then
    kill -CONT "$pid" $(cat "/proc/$pid/task/$pid/children" 2>/dev/null) 2>/dev/null
    "$1" stop -s -w -t 10 -m immediate -D "$2" 2>/dev/null || kill -KILL "$pid" 2>/dev/null
fi
cd /
# A killed server's last processes may still be writing.
for _ in 1 2 3 4 5; do
    rm -rf -- "$3" 2>/dev/null && break
    sleep 0.2
done
"#;

/// How long the keeper may take. It gives the server 10 s.
const LIMIT: Duration = Duration::from_secs(20);

/// A process that outlives its owner for as long as it takes to clean up.
#[derive(Debug)]
pub(super) struct Keeper(Child);

impl Keeper {
    /// Starts it, for a server's data in a folder that it removes.
    pub(super) fn start(
        account: Account,
        pg_ctl: &Path,
        data: &Path,
        folder: &Path,
    ) -> Result<Self, Error> {
        let mut command = account.command("sh", folder);
        command
            .args(["-c", SCRIPT, "keeper"])
            .args([pg_ctl, data, folder])
            .stdin(Stdio::piped());
        let child = command.spawn().map_err(|cause| {
            Error::new(
                ErrorKind::Machine,
                format!("the keeper of a server can't be started: {cause}"),
            )
            .caused_by(cause)
        })?;
        Ok(Self(child))
    }

    /// Has it clean up, and waits for that, blocking the thread. `meanwhile` is
    /// called again and again until it is done.
    pub(super) fn clean_up(&mut self, mut meanwhile: impl FnMut()) {
        drop(self.0.stdin.take());
        let deadline = now() + LIMIT;
        while let Ok(None) = self.0.try_wait() {
            if now() > deadline {
                return;
            }
            meanwhile();
            pause();
        }
        meanwhile();
    }
}

#[allow(clippy::disallowed_methods, reason = "a drop can't await")]
fn pause() {
    std::thread::sleep(Duration::from_millis(2));
}
