//! This test program, started once more.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStderr, Command, Stdio};

use super::super::stage::Stage;

pub(super) const ROLE: &str = "JIDO_CONFORMANCE_ROLE";
pub(super) const PLACE: &str = "JIDO_CONFORMANCE_PLACE";
pub(super) const NUMBER: &str = "JIDO_CONFORMANCE_NUMBER";

/// Before what a child tells, so that a log on stderr is not taken for it.
const TOLD: &str = "conformance> ";

/// A process that is killed when its case is done with it.
pub(super) struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    noise: Vec<String>,
}

impl Process {
    pub(super) fn start(stage: &Stage<'_>, role: &str, place: &str, number: u64) -> Self {
        let test = stage
            .child_test()
            .expect("the case says that it needs processes");
        let program = std::env::current_exe().expect("the program knows its path");
        let mut child = Command::new(program)
            .args([test, "--exact", "--nocapture"])
            .env(ROLE, role)
            .env(PLACE, place)
            .env(NUMBER, number.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts once more");
        let stderr = child.stderr.take().expect("its stderr is a pipe");
        Self {
            child,
            lines: BufReader::new(stderr).lines(),
            noise: Vec::new(),
        }
    }

    /// The next thing that it tells, unless it has ended.
    fn told(&mut self) -> Option<String> {
        loop {
            let line = self.lines.next()?.expect("a child's stderr is read");
            match line.strip_prefix(TOLD) {
                Some(told) => return Some(told.to_owned()),
                None => self.noise.push(line),
            }
        }
    }

    /// All that it tells, up to its end, which has to be a good one.
    pub(super) fn told_until_a_good_end(mut self) -> Vec<String> {
        let told: Vec<String> = std::iter::from_fn(|| self.told()).collect();
        let status = self.child.wait().expect("a child is waited for");
        assert!(
            status.success(),
            "a child ended with {status}: {}",
            self.noise.join("\n")
        );
        assert!(
            !told.is_empty(),
            "a child told nothing: does the test of Suite::processes call conformance::child?"
        );
        told
    }

    /// Kills it after a number of lines, and gives all that it told.
    pub(super) fn told_until_killed(mut self, lines: usize) -> Vec<String> {
        let mut told = Vec::new();
        for _ in 0..lines {
            match self.told() {
                Some(line) => told.push(line),
                None => panic!(
                    "a child ended by itself, after {} lines: {}",
                    told.len(),
                    self.noise.join("\n")
                ),
            }
        }
        self.child.kill().expect("a child is killed");
        told.extend(std::iter::from_fn(|| self.told()));
        told
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Tells the parent a line. One write, which a kill does not tear.
pub(super) fn tell(line: &str) {
    std::io::stderr()
        .write_all(format!("{TOLD}{line}\n").as_bytes())
        .expect("the parent listens");
}
