//! A child process that is one node.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

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

/// How a process is started.
#[derive(Clone)]
pub(crate) struct Launch {
    pub(crate) name: &'static str,
    pub(crate) cluster: &'static str,
    pub(crate) cookie: &'static str,
    pub(crate) listen: String,
    pub(crate) seeds: Vec<String>,
    /// What `peer::set` knows.
    pub(crate) settings: Vec<(&'static str, String)>,
    /// The network namespace in which it runs, if not that of the test.
    pub(crate) namespace: Option<String>,
}

impl Launch {
    pub(crate) fn new(name: &'static str, seeds: &[&str]) -> Self {
        Self {
            name,
            cluster: "cluster",
            cookie: "the cookie of all",
            listen: "127.0.0.1:0".to_owned(),
            seeds: seeds.iter().map(|seed| (*seed).to_owned()).collect(),
            settings: Vec::new(),
            namespace: None,
        }
    }

    pub(crate) fn set(mut self, name: &'static str, value: impl ToString) -> Self {
        self.settings.push((name, value.to_string()));
        self
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start(&self) -> Process {
        let mut process = self.launch();
        process.is_listening();
        process
    }

    /// Starts it without waiting for it to listen.
    pub(crate) fn launch(&self) -> Process {
        let program = std::env::current_exe().unwrap();
        let mut command = match &self.namespace {
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(program);
                command
            }
            None => Command::new(program),
        };
        for (name, value) in &self.settings {
            command.args(["--set", name, value]);
        }
        let mut child = command
            .args(["--peer", self.name, self.cluster, self.cookie, &self.listen])
            .args(&self.seeds)
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
        Process {
            child,
            input,
            lines,
            unheard: Vec::new(),
            name: self.name,
            address: String::new(),
            incarnation: String::new(),
        }
    }
}

impl Process {
    pub(crate) fn start(name: &'static str, seeds: &[&str]) -> Self {
        Launch::new(name, seeds).start()
    }

    pub(crate) fn start_at(name: &'static str, listen: &str, seeds: &[&str]) -> Self {
        Self::launch_at(name, listen, seeds).start()
    }

    pub(crate) fn launch_at(name: &'static str, listen: &str, seeds: &[&str]) -> Launch {
        Launch {
            listen: listen.to_owned(),
            ..Launch::new(name, seeds)
        }
    }

    pub(crate) fn is_listening(&mut self) {
        let line = self.hear("listening ");
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

    /// Waits for a line, and tells how long it took.
    pub(crate) fn says_after(&mut self, line: &str, since: Instant) -> Duration {
        self.says(line);
        since.elapsed()
    }

    pub(crate) fn says_within(&mut self, line: &str, patience: Duration) {
        // The first word tells what it is about, and the whole line must be right.
        let start = if line.starts_with("up") || line.starts_with("down") {
            line
        } else {
            line.split(' ').next().unwrap()
        };
        let heard = self.hear_within(start, patience);
        assert_eq!(heard, line, "said by {}", self.name);
    }

    /// Stops it, and tells whether its peers took its goodbye.
    pub(crate) fn stops(&mut self) -> bool {
        self.tell("stop");
        self.hear("stopped") == "stopped in time"
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

    /// Stops or continues the process as the system does.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for a line that starts so.
    pub(crate) fn hear(&mut self, start: &str) -> String {
        self.hear_within(start, PATIENCE)
    }

    fn hear_within(&mut self, start: &str, patience: Duration) -> String {
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
