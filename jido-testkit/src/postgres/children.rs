//! The processes of a running server.

use rustix::process::{Pid, Signal, kill_process};

/// A server's process, and those that it started, which is one for each
/// connection and some for itself.
pub(super) fn signal_all(server: Pid, signal: Signal) -> std::io::Result<()> {
    // The server first: once it stands still it starts no more.
    kill_process(server, signal)?;
    let pid = server.as_raw_nonzero();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    for child in children.split_whitespace() {
        let child = child.parse().ok().and_then(Pid::from_raw);
        match child.map(|child| kill_process(child, signal)) {
            // One may have ended since.
            None | Some(Ok(()) | Err(rustix::io::Errno::SRCH)) => {}
            Some(Err(refused)) => return Err(refused.into()),
        }
    }
    Ok(())
}
