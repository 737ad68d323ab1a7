//! How many small envelopes a second go from one process to another, one way.
//!
//! The floor to measure against is a plain TCP stream of the same bytes, written
//! in pieces of the same size as a frame, in the same run.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "this is a measuring program"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jido_cluster::environment::{Environment, SystemEnvironment};
use jido_cluster::network::{Cookie, NetworkOptions, NetworkTransport};
use jido_cluster::transport::{Inbox, Peer, Transport};
use jido_core::{ClusterName, Incarnation, NodeName};
use tokio::sync::Notify;

const SIZE: usize = 64;
const COUNT: u64 = 2_000_000;
const ROUNDS: usize = 3;
/// Envelopes that the sender has under way at most, as budgets above the
/// transport would have it.
const WINDOW: u64 = 16_384;

#[derive(Debug, Default)]
struct Counter {
    count: AtomicU64,
    peer: Mutex<Option<Incarnation>>,
    changed: Notify,
}

impl Inbox for Counter {
    fn peer_up(&self, peer: Peer) {
        *self.peer.lock().unwrap() = Some(peer.incarnation);
        self.changed.notify_one();
    }

    fn peer_down(&self, _incarnation: Incarnation) {}

    fn deliver(&self, _from: Incarnation, _envelope: Bytes) {
        if (self.count.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(WINDOW / 4) {
            self.changed.notify_one();
        }
    }
}

async fn node(name: &str, seeds: Vec<String>) -> (NetworkTransport, Arc<Counter>) {
    let mut options = NetworkOptions::new(
        ClusterName::new("bench").unwrap(),
        NodeName::new(name).unwrap(),
        SystemEnvironment.incarnation(),
        "127.0.0.1:0".parse().unwrap(),
        Cookie::new("bench").unwrap(),
    );
    options.seeds = seeds;
    let transport = NetworkTransport::new(options, Arc::new(SystemEnvironment)).unwrap();
    let counter = Arc::new(Counter::default());
    transport.start(counter.clone()).await.unwrap();
    (transport, counter)
}

async fn peer_of(counter: &Counter) -> Incarnation {
    loop {
        if let Some(peer) = *counter.peer.lock().unwrap() {
            return peer;
        }
        counter.changed.notified().await;
    }
}

/// Sends all, and keeps to a window that the receiver's own envelopes open.
async fn send_all(seed: String) {
    let (transport, counter) = node("sender", vec![seed]).await;
    let to = peer_of(&counter).await;
    let envelope = Bytes::from(vec![7; SIZE]);
    for sent in 0..COUNT * ROUNDS as u64 {
        while sent >= (counter.count.load(Ordering::Relaxed) + 4) * (WINDOW / 4) {
            tokio::task::yield_now().await;
        }
        transport.send(to, sent, &envelope).unwrap();
    }
    std::future::pending::<()>().await;
}

async fn receive_all() {
    let (transport, counter) = node("receiver", Vec::new()).await;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--sender", &transport.address()])
        .spawn()
        .unwrap();
    let to = peer_of(&counter).await;
    let mut acknowledged = 0;
    for round in 1..=ROUNDS as u64 {
        let started = Instant::now();
        while counter.count.load(Ordering::Relaxed) < COUNT * round {
            while acknowledged < counter.count.load(Ordering::Relaxed) / (WINDOW / 4) {
                acknowledged += 1;
                transport.send(to, 0, &[]).unwrap();
            }
            let _ =
                tokio::time::timeout(Duration::from_millis(10), counter.changed.notified()).await;
        }
        report("transport", started.elapsed());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    transport.stop().await;
}

fn report(what: &str, took: Duration) {
    let rate = COUNT as f64 / took.as_secs_f64();
    println!("{what}: {COUNT} envelopes of {SIZE} bytes in {took:?}: {rate:.0} a second");
}

fn plain_sender(address: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    let piece = vec![7; 1024 * 1024];
    while stream.write_all(&piece).is_ok() {}
}

fn plain_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--plain", &listener.local_addr().unwrap().to_string()])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut stream = BufReader::with_capacity(128 * 1024, listener.accept().unwrap().0);
    let mut envelope = [0; SIZE];
    stream.fill_buf().unwrap();
    let started = Instant::now();
    for _ in 0..COUNT {
        stream.read_exact(&mut envelope).unwrap();
    }
    report("plain TCP", started.elapsed());
    child.kill().unwrap();
    child.wait().unwrap();
}

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    match arguments.get(1).map(String::as_str) {
        Some("--sender") => runtime.block_on(send_all(arguments[2].clone())),
        Some("--plain") => plain_sender(&arguments[2]),
        // Cargo's tests run benchmarks to see that they build.
        Some("--test") => {}
        _ => {
            plain_tcp();
            runtime.block_on(receive_all());
        }
    }
}
