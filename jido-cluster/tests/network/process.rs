//! A child process that is one node.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Far beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// An address that no other test uses: all of 127.0.0.0/8 is this machine, and
/// the port is below those that the system gives out.
pub(crate) fn free_address() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(10_000);
    let [_, a, b, c] = std::process::id().to_be_bytes();
    format!("127.{a}.{b}.{c}:{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    /// What was said and nobody waited for.
    unheard: Vec<String>,
    name: &'static str,
    pub(crate) address: String,
    pub(crate) incarnation: String,
}

impl Process {
    pub(crate) fn start(name: &'static str, seeds: &[&str]) -> Self {
        Self::start_at(name, None, seeds)
    }

    pub(crate) fn start_at(name: &'static str, listen: Option<&str>, seeds: &[&str]) -> Self {
        Self::start_with(name, "cluster", "the cookie of all", listen, seeds)
    }

    pub(crate) fn start_with(
        name: &'static str,
        cluster: &str,
        cookie: &str,
        listen: Option<&str>,
        seeds: &[&str],
    ) -> Self {
        let mut process = Self::launch(name, cluster, cookie, listen, seeds);
        process.is_listening();
        process
    }

    /// Starts it without waiting for it to listen.
    pub(crate) fn launch(
        name: &'static str,
        cluster: &str,
        cookie: &str,
        listen: Option<&str>,
        seeds: &[&str],
    ) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--peer",
                name,
                cluster,
                cookie,
                listen.unwrap_or("127.0.0.1:0"),
            ])
            .args(seeds)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let (address, incarnation) = (String::new(), String::new());
        Self {
            child,
            input,
            lines,
            unheard: Vec::new(),
            name,
            address,
            incarnation,
        }
    }

    pub(crate) fn is_listening(&mut self) {
        let line = self.hear("listening ", PATIENCE);
        let mut words = line.split(' ').skip(1).map(str::to_owned);
        self.address = words.next().unwrap();
        self.incarnation = words.next().unwrap();
    }

    pub(crate) fn tell(&mut self, command: &str) {
        writeln!(self.input, "{command}").unwrap();
    }

    /// Waits for a line.
    pub(crate) fn says(&mut self, line: &str) {
        self.says_within(line, PATIENCE);
    }

    pub(crate) fn says_within(&mut self, line: &str, patience: Duration) {
        // The first word tells what it is about, and the whole line must be right.
        let start = if line.starts_with("up") || line.starts_with("down") {
            line
        } else {
            line.split(' ').next().unwrap()
        };
        let heard = self.hear(start, patience);
        assert_eq!(heard, line, "said by {}", self.name);
    }

    /// Stops it, and tells whether its peers took its goodbye.
    pub(crate) fn stops(&mut self) -> bool {
        self.tell("stop");
        self.hear("stopped", PATIENCE) == "stopped in time"
    }

    pub(crate) fn sees_up(&mut self, other: &Self) {
        self.says(&format!("up {} {}", other.name, other.incarnation));
    }

    /// Nothing of the kind was said so far, but for what was waited for.
    pub(crate) fn never_said(&mut self, start: &str) {
        self.unheard.extend(self.lines.try_iter());
        let said = self.unheard.iter().find(|line| line.starts_with(start));
        assert!(said.is_none(), "{} said {said:?}", self.name);
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn exits(&mut self) {
        assert!(self.child.wait().unwrap().success(), "{}", self.name);
    }

    fn hear(&mut self, start: &str, patience: Duration) -> String {
        if let Some(at) = self.unheard.iter().position(|line| line.starts_with(start)) {
            return self.unheard.remove(at);
        }
        loop {
            match self.lines.recv_timeout(patience) {
                Ok(line) if line.starts_with(start) => return line,
                Ok(line) => self.unheard.push(line),
                Err(error) => {
                    panic!(
                        "{} doesn't say {start:?}: {error}; it said {:?}",
                        self.name, self.unheard
                    )
                }
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
