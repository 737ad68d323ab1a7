//! What the programs share that break nodes: where the nodes' program is, and how they talk.

use std::future::Future;
use std::io::Write as _;
use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};

use crate::{Error, ErrorKind};

/// The nodes' program: the one that is given, or else `counter-node` beside the program that
/// runs, as cargo puts it.
///
/// # Errors
///
/// [`Missing`](ErrorKind::Missing) when there is no such file; the message says how to
/// build it.
pub fn node_program(given: Option<PathBuf>) -> Result<PathBuf, Error> {
    let program = match given {
        Some(program) => program,
        None => std::env::current_exe()
            .map_err(|cause| {
                let why = format!("the program's own file is not known: {cause}");
                Error::new(ErrorKind::Missing, why).caused_by(cause)
            })?
            .with_file_name("counter-node"),
    };
    if program.is_file() {
        return Ok(program);
    }
    let shown = program.display();
    Err(Error::new(
        ErrorKind::Missing,
        format!(
            "{shown} is no program: cargo build -p jido-examples --bin counter-node, with \
             --release if this is a release, or --program FILE"
        ),
    ))
}

/// Does some work, and gives what came of it; none where the program was told to end meanwhile, by
/// SIGINT or SIGTERM. The work is dropped then, with its nodes, servers and folders: those of a
/// program that just ends stay.
///
/// # Errors
///
/// [`Machine`](ErrorKind::Machine) when signals can't be listened for.
pub async fn unless_told_to_end<T>(work: impl Future<Output = T>) -> Result<Option<T>, Error> {
    let listen = |kind| {
        signal(kind).map_err(|cause| {
            let why = format!("signals can't be listened for: {cause}");
            Error::new(ErrorKind::Machine, why).caused_by(cause)
        })
    };
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    tokio::select! {
        biased;
        _ = interrupt.recv() => Ok(None),
        _ = terminate.recv() => Ok(None),
        done = work => Ok(Some(done)),
    }
}

/// Prints a line at once, for whoever watches the program.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // A reader that has gone away does not change what is found.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustix::process::Signal;

    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_said_to_be_built() {
        let error = node_program(Some("/no/such/program".into())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Missing);
        let text = error.to_string();
        assert!(
            text.contains("/no/such/program") && text.contains("cargo build"),
            "{text}"
        );
        assert_eq!(
            node_program(Some("/bin/sh".into())).unwrap(),
            PathBuf::from("/bin/sh")
        );
    }

    #[tokio::test]
    async fn work_is_dropped_by_whoever_tells_the_program_to_end() {
        for told in [Signal::INT, Signal::TERM] {
            let held = Arc::new(());
            let still_held = Arc::downgrade(&held);
            let work = async move {
                rustix::process::kill_process(rustix::process::getpid(), told).unwrap();
                std::future::pending::<()>().await;
                drop(held);
            };
            assert_eq!(unless_told_to_end(work).await.unwrap(), None);
            assert!(still_held.upgrade().is_none());
        }
        let done = unless_told_to_end(async { 7 }).await.unwrap();
        assert_eq!(done, Some(7));
    }
}
