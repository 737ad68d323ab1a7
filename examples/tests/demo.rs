//! The program `cluster`, from the outside.

#![allow(
    clippy::disallowed_methods,
    reason = "real processes live by the real clock"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "all of this crate is a test"
)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_cluster");

/// The program; what it leaves when it is killed goes with `dir`.
fn program(args: &[&str], dir: &TempDir) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(args)
        .env("TMPDIR", dir.path())
        .stdin(Stdio::null());
    command
}

#[test]
fn a_short_run_ends_with_a_good_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let output = program(&["--seconds", "12", "--keys", "60", "--clients", "8"], &dir)
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}\n{err}");
    let verdict = out.lines().last().unwrap();
    assert!(verdict.starts_with("VERDICT: acknowledged"), "{out}\n{err}");
    assert!(verdict.ends_with("lost 0, doubled 0"), "{out}\n{err}");
    for line in [
        "is killed",
        "answers from",
        "is started again",
        "is drained",
        "0 failed",
    ] {
        assert!(out.contains(line), "{line:?} is missing:\n{out}");
    }
}

#[test]
fn its_nodes_die_with_it_even_when_it_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut program = Killed(
        program(&["--seconds", "3600", "--keys", "10"], &dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let out = BufReader::new(program.0.stdout.take().unwrap());
    out.lines()
        .map(Result::unwrap)
        .find(|line| line.contains("clients increment"))
        .expect("the load starts");
    let nodes = children(program.0.id());
    assert_eq!(nodes.len(), 3);
    program.0.kill().unwrap();
    program.0.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while nodes.iter().any(|pid| is_alive(*pid)) {
        assert!(Instant::now() < deadline, "nodes outlive the program");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A program that does not outlive the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It fails only if the program has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The ids of the processes that a process started.
fn children(parent: u32) -> BTreeSet<u32> {
    let processes = std::fs::read_dir("/proc").unwrap();
    processes
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter(|pid| stat(*pid).is_some_and(|(_, of)| of == parent))
        .collect()
}

/// Whether the process runs; one that waits for its parent to notice its end does not.
fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != "Z")
}

/// The state of a process, and the id of its parent.
fn stat(pid: u32) -> Option<(String, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before the last parenthesis may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}
