//! Two processes: one that serves and one that calls it when it is told to.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use tokio::runtime::Runtime;

use crate::load::{self, Caller, Level, Sample};
use crate::{floor, ours};

/// A child process that is told things, and answers, by lines. It is killed with
/// its owner; should that be killed itself, the child ends with its input.
struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        let len = self.output.read_line(&mut line).unwrap();
        assert!(len > 0, "a process of the pair has ended");
        line.trim().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Pair {
    way: &'static str,
    caller: Process,
    server: Process,
}

impl Pair {
    pub(crate) fn start(way: &'static str) -> Self {
        let mut server = Process::start(&["--serve", way]);
        let address = server.hear();
        let mut caller = Process::start(&["--call", way, &address]);
        assert_eq!(caller.hear(), "ready");
        Self {
            way,
            caller,
            server,
        }
    }

    pub(crate) fn way(&self) -> &'static str {
        self.way
    }

    pub(crate) fn measure(&mut self, level: Level, seconds: f64) -> Sample {
        let used = self.used_by_server();
        let Level { in_flight, payload } = level;
        self.caller
            .tell(&format!("{in_flight} {payload} {seconds}"));
        let mut sample: Sample = self.caller.hear().parse().unwrap();
        sample.cpu += (self.used_by_server() - used) / (sample.rate * seconds);
        sample
    }

    fn used_by_server(&mut self) -> f64 {
        self.server.tell("");
        self.server.hear().parse().unwrap()
    }
}

/// As many workers as there are cores, as a program has that says nothing.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// The serving process: tells its address, then, for every line, how much processor
/// time it has used. It ends with its input.
pub(crate) fn serve(way: &str) {
    let runtime = runtime();
    let _kept: Box<dyn std::any::Any>;
    let address;
    match way {
        ours::NAME => {
            let (node, at) = runtime.block_on(ours::serve());
            (_kept, address) = (Box::new(node), at);
        }
        floor::NAME => address = runtime.block_on(floor::serve()),
        other => panic!("no such way: {other}"),
    }
    println!("{address}");
    for line in std::io::stdin().lines() {
        line.unwrap();
        println!("{}", load::used_cpu());
    }
}

/// The calling process: does what each line says.
pub(crate) fn call(way: &str, address: &str) {
    let runtime = runtime();
    match way {
        ours::NAME => obey(&runtime, &runtime.block_on(ours::connect(address))),
        floor::NAME => obey(&runtime, &runtime.block_on(floor::connect(address))),
        other => panic!("no such way: {other}"),
    }
}

fn obey<C: Caller>(runtime: &Runtime, caller: &C) {
    runtime.block_on(load::warm_up(caller));
    println!("ready");
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let mut words = line.split_whitespace();
        let mut word = || words.next().unwrap();
        let level = Level {
            in_flight: word().parse().unwrap(),
            payload: word().parse().unwrap(),
        };
        let seconds = word().parse().unwrap();
        let sample = runtime.block_on(load::run(caller, level, seconds));
        println!("{}", sample.to_line());
    }
}
