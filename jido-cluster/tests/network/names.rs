//! Nodes that are found by DNS, at a server of the test's own.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::process::{Launch, free_address};
use crate::{GREETINGS, exchange};

/// A record, as the server gives it.
#[derive(Debug, Clone)]
enum Record {
    Address(IpAddr),
    Service(u16, &'static str),
}

const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;

impl Record {
    fn kind(&self) -> u16 {
        match self {
            Self::Address(IpAddr::V4(_)) => A,
            Self::Address(IpAddr::V6(_)) => AAAA,
            Self::Service(..) => SRV,
        }
    }

    fn data(&self) -> Vec<u8> {
        match self {
            Self::Address(IpAddr::V4(ip)) => ip.octets().to_vec(),
            Self::Address(IpAddr::V6(ip)) => ip.octets().to_vec(),
            Self::Service(port, target) => {
                // Priority and weight, then the port and the host.
                let mut data = vec![0, 1, 0, 1];
                data.extend_from_slice(&port.to_be_bytes());
                for label in target.split('.') {
                    data.push(label.len() as u8);
                    data.extend_from_slice(label.as_bytes());
                }
                data.push(0);
                data
            }
        }
    }
}

type Zone = Arc<Mutex<BTreeMap<&'static str, Vec<Record>>>>;

/// The name and the type that a query asks for, and where the question ends.
fn question(query: &[u8]) -> (String, u16, usize) {
    let (mut at, mut labels) = (12, Vec::new());
    while query[at] != 0 {
        let len = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..=at + len]).to_lowercase());
        at += 1 + len;
    }
    let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    (labels.join("."), kind, at + 5)
}

fn answer(query: &[u8], zone: &Zone) -> Vec<u8> {
    let (name, kind, end) = question(query);
    let records = zone.lock().unwrap().get(name.as_str()).cloned();
    let code = if records.is_some() { 0 } else { 3 };
    let records: Vec<_> = records
        .unwrap_or_default()
        .into_iter()
        .filter(|record| record.kind() == kind)
        .collect();
    // The query's number; an authoritative answer; one question and so many answers.
    let mut bytes = query[..2].to_vec();
    bytes.extend_from_slice(&[
        0x84 | (query[2] & 1),
        0x80 | code,
        0,
        1,
        0,
        records.len() as u8,
    ]);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&query[12..end]);
    for record in records {
        // The name of the question, class IN, a second to live.
        bytes.extend_from_slice(&[0xc0, 12]);
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&[0, 1, 0, 0, 0, 1]);
        let data = record.data();
        bytes.extend_from_slice(&(data.len() as u16).to_be_bytes());
        bytes.extend_from_slice(&data);
    }
    bytes
}

/// A name about which nobody answers.
const UNANSWERED: &str = "hangs.test";

/// Answers as long as the test runs.
fn serve(zone: Zone) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut query = [0; 1_500];
        while let Ok((len, from)) = socket.recv_from(&mut query) {
            if question(&query).0 == UNANSWERED {
                continue;
            }
            // Who asks may have gone.
            let _ = socket.send_to(&answer(&query[..len], &zone), from);
        }
    });
    address
}

fn ip_of(address: &str) -> Record {
    Record::Address(address.parse::<SocketAddr>().unwrap().ip())
}

/// An address of 127.0.0.0/8 that no other test uses, with the port of another.
fn beside(address: &str, last: u8) -> String {
    let mut address: SocketAddr = address.parse().unwrap();
    if let IpAddr::V4(ip) = address.ip() {
        let [a, b, c, d] = ip.octets();
        address.set_ip([a, b ^ 1, c, d.wrapping_add(last)].into());
    }
    address.to_string()
}

pub(crate) fn nodes_are_found() {
    let zone = Zone::default();
    let server = serve(zone.clone());
    let at_b = free_address();
    let port = at_b.rsplit_once(':').unwrap().1;
    let launch = |name, listen: &str| {
        let node = Launch {
            listen: listen.to_owned(),
            ..Launch::new(name, &[])
        };
        node.set("plain_text", true)
    };
    // Alone, with names that stand for nothing, it serves alone.
    let names = format!("{server} nodes.test:{port} _jido._tcp.test");
    let mut a = launch("a", "127.0.0.1:0").set("dns", names).start();
    a.tell("settled");
    a.says("settled");
    a.never_said("up");

    let mut b = launch("b", &at_b).start();
    zone.lock()
        .unwrap()
        .insert("nodes.test", vec![ip_of(&at_b)]);
    a.sees_up(&b);
    b.sees_up(&a);
    // The name comes to stand for another: that is found, and the session stays.
    let at_c = beside(&at_b, 1);
    let mut c = launch("c", &at_c).start();
    zone.lock()
        .unwrap()
        .insert("nodes.test", vec![ip_of(&at_c)]);
    a.sees_up(&c);
    c.sees_up(&a);
    exchange(&mut a, &mut b, GREETINGS, 1_000);

    // A service, over IPv6 where this machine has it, at an address that is not where it listens.
    let has_v6 = UdpSocket::bind("[::1]:0").is_ok();
    let (listen, host) = if has_v6 {
        ("[::]", "[::1]")
    } else {
        ("0.0.0.0", "127.0.0.1")
    };
    let port: u16 = port.parse::<u16>().unwrap() + 1_000;
    let advertise = format!("{host}:{port}");
    let d = launch("d", &format!("{listen}:{port}")).set("advertise", &advertise);
    let mut d = d.start();
    assert_eq!(d.address, advertise);
    {
        let mut zone = zone.lock().unwrap();
        zone.insert("_jido._tcp.test", vec![Record::Service(port, "d.test")]);
        zone.insert("d.test", vec![ip_of(&advertise)]);
    }
    a.sees_up(&d);
    d.sees_up(&a);
    println!("found a service by IPv6: {has_v6}");
    exchange(&mut a, &mut d, GREETINGS, 1_000);

    // With names that can't be looked up any more, what was found before is dialed on.
    zone.lock().unwrap().clear();
    c.kill();
    a.says(&format!("down {}", c.incarnation));
    let again = launch("c", &at_c).start();
    a.sees_up(&again);
    exchange(&mut a, &mut b, GREETINGS + 1_000, 1_000);
    for peer in [&mut a, &mut b, &mut d] {
        peer.never_said("down");
    }
}

pub(crate) fn a_name_without_an_answer() {
    let zone = Zone::default();
    let server = serve(zone.clone());
    let at_b = free_address();
    let port = at_b.rsplit_once(':').unwrap().1;
    zone.lock()
        .unwrap()
        .insert("nodes.test", vec![ip_of(&at_b)]);
    let launch = |name, listen: &str| {
        let node = Launch {
            listen: listen.to_owned(),
            ..Launch::new(name, &[])
        };
        node.set("plain_text", true)
    };
    let mut b = launch("b", &at_b).start();
    let names = format!("{server} {UNANSWERED}:{port} nodes.test:{port}");
    let mut a = launch("a", "127.0.0.1:0").set("dns", names).start();
    a.tell("settled");
    a.sees_up(&b);
    b.sees_up(&a);
    // The other one was waited for when this one had been found, and for seconds more.
    let more = a.says_after("settled", Instant::now());
    println!("a name about which nobody answers: {more:?} more");
    assert!(more >= Duration::from_secs(2), "{more:?}");
}

pub(crate) fn a_target_without_an_address() {
    let zone = Zone::default();
    let server = serve(zone.clone());
    let launch = |name, listen: &str| {
        let node = Launch {
            listen: listen.to_owned(),
            ..Launch::new(name, &[])
        };
        node.set("plain_text", true)
    };
    let service = |address: &str, host| {
        let port = address.rsplit_once(':').unwrap().1;
        Record::Service(port.parse().unwrap(), host)
    };
    let [at_b, at_c, at_d] = [(); 3].map(|()| free_address());
    let targets = [
        Record::Service(1, "gone.test"),
        service(&at_b, "b.test"),
        service(&at_c, "c.test"),
        Record::Service(1, "lost.test"),
    ];
    {
        let mut zone = zone.lock().unwrap();
        zone.insert("_jido._tcp.test", targets.to_vec());
        zone.insert("b.test", vec![ip_of(&at_b)]);
        zone.insert("c.test", vec![ip_of(&at_c)]);
    }
    let [mut b, mut c] = [("b", &at_b), ("c", &at_c)].map(|(name, at)| launch(name, at).start());
    let names = format!("{server} _jido._tcp.test");
    let mut a = launch("a", "127.0.0.1:0").set("dns", names).start();
    for other in [&mut b, &mut c] {
        a.sees_up(other);
        other.sees_up(&a);
    }

    // A target that can't be looked up any more keeps its address, while another one comes.
    let mut d = launch("d", &at_d).start();
    {
        let mut zone = zone.lock().unwrap();
        let with_d = [&targets[..], &[service(&at_d, "d.test")]].concat();
        zone.insert("_jido._tcp.test", with_d);
        zone.insert("d.test", vec![ip_of(&at_d)]);
        zone.remove("c.test");
    }
    a.sees_up(&d);
    d.sees_up(&a);
    c.kill();
    a.says(&format!("down {}", c.incarnation));
    let again = launch("c", &at_c).start();
    a.sees_up(&again);
    for peer in [&mut a, &mut b, &mut d] {
        peer.never_said(&format!("down {}", again.incarnation));
    }
}
