//! What the programs share that break nodes: where the nodes' program is, and how they talk.

use std::io::Write as _;
use std::path::PathBuf;

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

/// Prints a line at once, for whoever watches the program.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // A reader that has gone away does not change what is found.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
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
}
