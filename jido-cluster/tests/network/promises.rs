//! The suite of transports over the real one: each node is a process that runs a recorder, and
//! is asked about it over its standard input.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jido_cluster::conformance::{self, Batch, Counts, Recorder, Stage, Subject};
use jido_cluster::environment::SystemEnvironment;
use jido_cluster::network::{Cookie, NetworkOptions, NetworkTransport};
use jido_cluster::transport::{Peer, SendError, Transport};
use jido_core::{ClusterName, Incarnation, NodeName};

/// What a child process is told to be.
pub(crate) const CHILD: &str = "--subject";

#[derive(Debug, Default)]
struct Processes {
    /// Where those that were started accept.
    addresses: Mutex<Vec<String>>,
}

#[derive(Debug)]
struct Process {
    peer: Peer,
    child: Mutex<Child>,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Process {
    /// Says a line, and hears one.
    fn ask(&self, line: &str) -> String {
        let (input, output) = &mut *self.pipes.lock().unwrap();
        writeln!(input, "{line}").unwrap();
        hear(output)
    }
}

fn hear(output: &mut impl BufRead) -> String {
    let mut answer = String::new();
    output.read_line(&mut answer).unwrap();
    answer.trim_end_matches('\n').to_owned()
}

#[async_trait]
impl Stage for Processes {
    async fn start(&self, mut peer: Peer) -> Arc<dyn Subject> {
        let mut addresses = self.addresses.lock().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([CHILD, peer.name.as_str(), &peer.incarnation.to_string()])
            .args(&*addresses)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        peer.address = hear(&mut output);
        addresses.push(peer.address.clone());
        Arc::new(Process {
            peer,
            child: Mutex::new(child),
            pipes: Mutex::new((input, output)),
        })
    }
}

#[async_trait]
impl Subject for Process {
    fn peer(&self) -> Peer {
        self.peer.clone()
    }

    async fn send(&self, to: Incarnation, batch: Batch) -> Result<(), SendError> {
        let Batch {
            lane,
            first,
            count,
            len,
        } = batch;
        let answer = self.ask(&format!("send {to} {lane} {first} {count} {len}"));
        match answer.as_str() {
            "ok" => Ok(()),
            "unreachable" => Err(SendError::Unreachable),
            len => Err(SendError::TooLarge {
                len: len.parse().unwrap(),
            }),
        }
    }

    async fn counts(&self, from: Incarnation) -> Counts {
        let answer = self.ask(&format!("counts {from}"));
        let words: Vec<_> = answer.split(' ').collect();
        let number = |at: usize| words[at].parse().unwrap();
        let mut counts = Counts::default();
        (counts.ups, counts.downs, counts.delivered) = (number(0), number(1), number(2));
        counts.peer = words[3].to_owned();
        counts
    }

    async fn faults(&self) -> Vec<String> {
        let faults = self.ask("faults");
        let all = faults.split("; ").filter(|fault| !fault.is_empty());
        all.map(str::to_owned).collect()
    }

    async fn is_settled(&self) -> bool {
        self.ask("settled") == "true"
    }

    async fn stop(&self) {
        assert_eq!(self.ask("stop"), "stopped");
    }

    async fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap();
        // It may have ended already.
        let _ = child.kill();
        let _ = child.wait();
    }
}

pub(crate) fn kept() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(conformance::run(|| Arc::new(Processes::default())));
}

/// What a child does until its input ends.
pub(crate) fn run(arguments: &[String]) {
    let [_, name, incarnation, seeds @ ..] = arguments else {
        panic!("name, incarnation and seeds are needed")
    };
    let mut options = NetworkOptions::new(
        ClusterName::new("promises").unwrap(),
        NodeName::new(name).unwrap(),
        incarnation.parse().unwrap(),
        "127.0.0.1:0".parse().unwrap(),
        Cookie::new("the cookie of all").unwrap(),
    );
    options.seeds = seeds.to_vec();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let environment = Arc::new(SystemEnvironment);
    let transport: Arc<dyn Transport> =
        Arc::new(NetworkTransport::new(options, environment).unwrap());
    let recorder = Recorder::new(&transport);
    runtime.block_on(transport.start(recorder.clone())).unwrap();
    println!("{}", transport.address());
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["send", to, lane, first, count, len] => {
                let batch = Batch {
                    lane: lane.parse().unwrap(),
                    first: first.parse().unwrap(),
                    count: count.parse().unwrap(),
                    len: len.parse().unwrap(),
                };
                match recorder.send(to.parse().unwrap(), batch) {
                    Ok(()) => println!("ok"),
                    Err(SendError::TooLarge { len }) => println!("{len}"),
                    Err(_) => println!("unreachable"),
                }
            }
            ["counts", from] => {
                let counts = recorder.counts(from.parse().unwrap());
                let Counts {
                    ups,
                    downs,
                    delivered,
                    peer,
                    ..
                } = counts;
                println!("{ups} {downs} {delivered} {peer}");
            }
            ["faults"] => println!("{}", recorder.faults().join("; ")),
            ["settled"] => println!("{}", transport.is_settled()),
            ["stop"] => {
                runtime.block_on(transport.stop());
                println!("stopped");
            }
            _ => panic!("unknown command: {line}"),
        }
    }
}
