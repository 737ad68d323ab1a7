//! What a child process does: it runs one transport, checks all that comes in, and
//! follows what it is told.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use jido_cluster::environment::{Environment, SystemEnvironment};
use jido_cluster::network::{Cookie, NetworkOptions, NetworkStats, NetworkTransport, Tls};
use jido_cluster::transport::{Inbox, Peer, SendError, Transport};
use jido_core::{ClusterName, Incarnation, NodeName};
use ractor::ActorCell;
use ractor::registry::pid_registry;
use ractor_cluster::NodeServerMessage;

use crate::GREETINGS;

const LANES: u64 = 16;

#[derive(Debug, Default)]
struct Checker {
    transport: OnceLock<Arc<NetworkTransport>>,
    incoming: Mutex<BTreeMap<Incarnation, Incoming>>,
    outgoing: Mutex<BTreeMap<Incarnation, u64>>,
}

#[derive(Debug, Default)]
struct Incoming {
    is_up: bool,
    next: BTreeMap<u64, u64>,
    count: u64,
    wrong: u64,
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

/// The nth envelope for a peer: its lane, its place in it, and filling to the size.
fn envelope(n: u64, size: usize) -> (u64, Bytes) {
    let (lane, place) = (n % LANES, n / LANES);
    let mut bytes = BytesMut::with_capacity(size);
    bytes.put_u64(lane);
    bytes.put_u64(place);
    bytes.resize(size.max(16), n as u8);
    (lane, bytes.freeze())
}

impl Checker {
    /// Sends as many, and returns how many were refused.
    fn send(&self, to: Incarnation, count: u64, size: usize) -> u64 {
        let transport = self.transport.wait();
        let mut outgoing = self.outgoing.lock().unwrap();
        let sent = outgoing.entry(to).or_default();
        let mut refused = 0;
        for _ in 0..count {
            let (lane, envelope) = envelope(*sent, size);
            match transport.send(to, lane, &envelope) {
                Ok(()) => *sent += 1,
                Err(_) => refused += 1,
            }
        }
        refused
    }

    fn peers(&self) -> usize {
        self.incoming
            .lock()
            .unwrap()
            .values()
            .filter(|incoming| incoming.is_up)
            .count()
    }
}

impl Inbox for Checker {
    fn peer_up(&self, peer: Peer) {
        {
            let mut incoming = self.incoming.lock().unwrap();
            let before = incoming.insert(
                peer.incarnation,
                Incoming {
                    is_up: true,
                    ..Incoming::default()
                },
            );
            assert!(!before.is_some_and(|before| before.is_up), "up twice");
        }
        self.outgoing.lock().unwrap().remove(&peer.incarnation);
        // At once: the other end may not know yet that the session is ready.
        let refused = self.send(peer.incarnation, GREETINGS, 64);
        assert_eq!(refused, 0);
        say(&format!("up {} {}", peer.name, peer.incarnation));
    }

    fn peer_down(&self, incarnation: Incarnation) {
        let transport = self.transport.wait();
        assert_eq!(
            transport.send(incarnation, 0, &[]),
            Err(SendError::Unreachable)
        );
        let mut incoming = self.incoming.lock().unwrap();
        let incoming = incoming.get_mut(&incarnation).expect("down without up");
        assert!(std::mem::take(&mut incoming.is_up), "down twice");
        say(&format!("down {incarnation}"));
    }

    fn deliver(&self, from: Incarnation, envelope: Bytes) {
        let mut incoming = self.incoming.lock().unwrap();
        let incoming = incoming.get_mut(&from).expect("delivered before up");
        let lane = u64::from_be_bytes(envelope[..8].try_into().unwrap());
        let place = u64::from_be_bytes(envelope[8..16].try_into().unwrap());
        let next = incoming.next.entry(lane).or_default();
        let filling = (place * LANES + lane) as u8;
        let is_right =
            incoming.is_up && place == *next && envelope[16..].iter().all(|byte| *byte == filling);
        *next += 1;
        incoming.count += 1;
        incoming.wrong += u64::from(!is_right);
    }
}

fn field_of(stats: &NetworkStats, field: &str) -> u64 {
    match field {
        "sessions" => stats.sessions,
        "wrong_cookie" => stats.wrong_cookie,
        "wrong_certificate" => stats.wrong_certificate,
        "wrong_cluster" => stats.wrong_cluster,
        "unreadable" => stats.unreadable,
        "too_slow" => stats.too_slow,
        "turned_away" => stats.turned_away,
        "fell_silent" => stats.fell_silent,
        _ => panic!("unknown field: {field}"),
    }
}

/// Sets what a test wants otherwise than by default.
fn set(options: &mut NetworkOptions, name: &str, value: &str) {
    let milliseconds = || Duration::from_millis(value.parse().unwrap());
    match name {
        "heartbeat_every" => options.detection.heartbeat_every = milliseconds(),
        "unreachable_after" => options.detection.unreachable_after = milliseconds(),
        "advertise" => options.advertise = Some(value.to_owned()),
        #[cfg(feature = "dns")]
        "dns" => {
            let mut words = value.split(' ');
            let server = words.next().unwrap().parse().unwrap();
            let dns = jido_cluster::network::Dns::new(words).servers([server]);
            options.dns = Some(dns.every(Duration::from_secs(1)));
        }
        "plain_text" => options.plain_text = true,
        "max_strangers" => options.max_strangers = value.parse().unwrap(),
        "max_sessions" => options.max_sessions = value.parse().unwrap(),
        "tls" => {
            let file = |what| std::path::Path::new(value).join(what);
            let files = (file("authority.pem"), file("node.pem"), file("key.pem"));
            options.tls = Some(Tls::from_files(files.0, files.1, files.2).unwrap());
        }
        _ => panic!("unknown setting: {name}"),
    }
}

/// Runs until its input ends or it is told to stop.
pub(crate) fn run(arguments: &[String]) {
    let (mut settings, mut rest) = (Vec::new(), arguments);
    while let [set, name, value, more @ ..] = rest
        && set == "--set"
    {
        settings.push((name, value));
        rest = more;
    }
    let [_, name, cluster, cookie, listen, seeds @ ..] = rest else {
        panic!("name, cluster, cookie, listen and seeds are needed")
    };
    let mut options = NetworkOptions::new(
        ClusterName::new(cluster).unwrap(),
        NodeName::new(name).unwrap(),
        SystemEnvironment.incarnation(),
        listen.parse().unwrap(),
        Cookie::new(cookie.clone()).unwrap(),
    );
    options.seeds = seeds.to_vec();
    for (name, value) in settings {
        set(&mut options, name, value);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(follow(options));
}

/// Waits for what no event tells of.
async fn until(reached: impl Fn() -> bool) {
    while !reached() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn follow(options: NetworkOptions) {
    let (incarnation, tls) = (options.incarnation, options.tls.clone());
    let transport = Arc::new(NetworkTransport::new(options, Arc::new(SystemEnvironment)).unwrap());
    let checker = Arc::new(Checker::default());
    checker.transport.set(transport.clone()).unwrap();
    transport.start(checker.clone()).await.unwrap();
    say(&format!("listening {} {incarnation}", transport.address()));

    let (sender, mut commands) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    while let Some(command) = commands.recv().await {
        let words: Vec<_> = command.split(' ').collect();
        match words[..] {
            ["send", to, count, size] => {
                let to = to.parse().unwrap();
                let refused = checker.send(to, count.parse().unwrap(), size.parse().unwrap());
                say(&format!("sent {refused}"));
            }
            ["large", to, len] => {
                let envelope = Bytes::from(vec![0; len.parse().unwrap()]);
                let error = transport
                    .send(to.parse().unwrap(), 0, &envelope)
                    .unwrap_err();
                say(&format!("large {error}"));
            }
            ["expect", from, count] => {
                let (from, count) = (from.parse().unwrap(), count.parse().unwrap());
                let got = || {
                    let incoming = checker.incoming.lock().unwrap();
                    incoming
                        .get(&from)
                        .map_or((0, 0), |incoming| (incoming.count, incoming.wrong))
                };
                until(|| got().0 >= count).await;
                let (got, wrong) = got();
                say(&format!("got {got} {wrong}"));
            }
            ["discovered", name, incarnation, address] => transport.discovered(Peer {
                name: NodeName::new(name).unwrap(),
                incarnation: incarnation.parse().unwrap(),
                address: address.to_owned(),
            }),
            ["settled"] => {
                until(|| transport.is_settled()).await;
                say("settled");
            }
            ["sessions", count] => {
                let count: usize = count.parse().unwrap();
                until(|| transport.session_count() == count).await;
                say(&format!("sessions {count}"));
            }
            ["peers", count] => {
                let count: usize = count.parse().unwrap();
                until(|| checker.peers() == count).await;
                say(&format!("peers {count}"));
            }
            ["stats", field, least] => {
                let least: u64 = least.parse().unwrap();
                let read = || field_of(&transport.stats(), field);
                until(|| read() >= least).await;
                say(&format!("stats {field} {}", read()));
            }
            ["reload"] => {
                let reloaded = tls.as_ref().unwrap().reload();
                say(&match reloaded {
                    Ok(()) => "reloaded".to_owned(),
                    Err(error) => format!("reload failed: {error}"),
                });
            }
            ["remotable"] => {
                let all = pid_registry::get_all_pids();
                let remotable = all.iter().filter(|actor| actor.supports_remoting()).count();
                say(&format!("remotable {remotable}"));
            }
            ["kill", what] => {
                let is_it = |actor: &&ActorCell| match what {
                    "gateway" => actor.supports_remoting(),
                    _ => actor.is_message_type_of::<NodeServerMessage>() == Some(true),
                };
                pid_registry::get_all_pids()
                    .iter()
                    .find(is_it)
                    .unwrap()
                    .kill();
            }
            ["stop"] => {
                let started = Instant::now();
                transport.stop().await;
                // A goodbye that nobody hears takes a second.
                let was_heard = started.elapsed() < Duration::from_secs(1);
                say(if was_heard {
                    "stopped in time"
                } else {
                    "stopped late"
                });
                return;
            }
            _ => panic!("unknown command: {command}"),
        }
    }
}
