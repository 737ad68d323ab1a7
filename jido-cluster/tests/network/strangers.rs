//! What strangers may do, and what honest peers notice of it: nothing.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};

use crate::process::{Launch, Process};
use crate::{GREETINGS, exchange, pair};

#[derive(Serialize, Deserialize)]
struct Hello {
    cluster: String,
    name: String,
    incarnation: u128,
    address: String,
    session: u128,
    nonce: u128,
    waits_ms: u64,
}

/// A whole hello of a node.
pub(crate) fn hello_of(name: &str) -> Vec<u8> {
    let body = rmp_serde::to_vec_named(&Hello {
        cluster: "cluster".to_owned(),
        name: name.to_owned(),
        incarnation: u128::MAX,
        address: "127.0.0.1:1".to_owned(),
        session: 5,
        nonce: 6,
        waits_ms: 2_000,
    })
    .unwrap();
    let len = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&b"jido\0\x02"[..], &len, &body].concat()
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).unwrap();
    stream
}

/// Waits until the other side ends a connection; a reset is as good as an end.
fn is_ended(mut stream: TcpStream, what: &str) {
    let ended = stream.read_to_end(&mut Vec::new());
    let is_end = |kind| kind == ErrorKind::ConnectionReset;
    assert!(
        ended.as_ref().map_or_else(|e| is_end(e.kind()), |_| true),
        "{what}: {ended:?}"
    );
}

pub(crate) fn garbage_and_silence() {
    let (mut a, mut b) = pair();
    let hello = hello_of("x");
    let word = [&hello[..], &[0; 33]].concat();
    let openings: [(&str, Vec<u8>); 8] = [
        ("a port scanner", Vec::new()),
        ("a piece of a hello", hello[..20].to_vec()),
        ("a hello", hello.clone()),
        ("a piece of a word", word[..word.len() - 1].to_vec()),
        ("a browser", b"GET / HTTP/1.1\r\nHost: n1\r\n\r\n".to_vec()),
        ("a hello without end", b"jido\0\x02\xff\xff".to_vec()),
        ("an unknown word", [&hello[..], &[99; 33]].concat()),
        ("garbage", [&hello[..], &[0xff; 100_000]].concat()),
    ];
    let streams: Vec<_> = openings
        .iter()
        .map(|(what, opening)| {
            let mut stream = connect(&a.address);
            // One that was ended already takes no more.
            let _ = stream.write_all(opening);
            (what, stream)
        })
        .collect();
    // A word for every byte would take minutes; it has as long as any other.
    let mut slow = connect(&a.address);
    let dripping = std::thread::spawn(move || {
        for byte in hello_of("y").into_iter().chain([0; 32]) {
            if slow.write_all(&[byte]).is_err() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        false
    });
    exchange(&mut a, &mut b, GREETINGS, 10_000);
    for (what, stream) in streams {
        is_ended(stream, what);
    }
    assert!(dripping.join().unwrap(), "a slow handshake was not ended");
    a.tell("stats too_slow 5");
    a.says("stats too_slow 5");
    a.tell("stats unreadable 4");
    a.says("stats unreadable 4");
    a.tell("sessions 1");
    a.says("sessions 1");
    exchange(&mut a, &mut b, GREETINGS + 10_000, 1_000);
    a.never_said("down");
}

/// Says hello and hears one: the bytes of both.
fn greet(stream: &mut TcpStream, name: &str) -> (Vec<u8>, Vec<u8>) {
    let said = hello_of(name);
    stream.write_all(&said).unwrap();
    (said, hear(stream))
}

/// Hears the hello of a node that was greeted.
fn hear(stream: &mut TcpStream) -> Vec<u8> {
    let mut heard = vec![0; 8];
    stream.read_exact(&mut heard).unwrap();
    let len = usize::from(u16::from_be_bytes([heard[6], heard[7]]));
    heard.resize(8 + len, 0);
    stream.read_exact(&mut heard[8..]).unwrap();
    let hello: Hello = rmp_serde::from_slice(&heard[8..]).unwrap();
    assert_eq!((hello.session, hello.name.as_str()), (5, "a"));
    heard
}

/// The dialer's "go", as a node with this cookie says it.
fn go(cookie: &str, said: &[u8], heard: &[u8]) -> Vec<u8> {
    let mut bytes = b"jido proof 1\0\0".to_vec();
    bytes.extend_from_slice(&[0; 32]);
    for hello in [said, heard] {
        bytes.extend_from_slice(&(hello.len() as u64).to_be_bytes());
        bytes.extend_from_slice(hello);
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, cookie.as_bytes());
    [&[0], hmac::sign(&key, &bytes).as_ref()].concat()
}

fn answer(stream: &mut TcpStream) -> u8 {
    let mut word = [0; 33];
    stream.read_exact(&mut word).unwrap();
    word[0]
}

pub(crate) fn a_proof_of_another_connection() {
    let (mut a, mut b) = pair();
    let cookie = "the cookie of all";
    let mut first = connect(&a.address);
    let (said, heard) = greet(&mut first, "x");
    let proof = go(cookie, &said, &heard);
    first.write_all(&proof).unwrap();
    assert_eq!(answer(&mut first), 0, "go");
    // The same hello and the same proof, whole as they were overheard.
    let mut second = connect(&a.address);
    let (again, other) = greet(&mut second, "x");
    assert_eq!(said, again);
    assert_ne!(heard, other);
    second.write_all(&proof).unwrap();
    assert_eq!(answer(&mut second), 1, "another cookie");
    is_ended(second, "a proof of another connection");
    // Nor is one good that is made with another cookie.
    let mut third = connect(&a.address);
    let (said, heard) = greet(&mut third, "x");
    third
        .write_all(&go("another cookie", &said, &heard))
        .unwrap();
    assert_eq!(answer(&mut third), 1, "another cookie");
    is_ended(third, "a proof with another cookie");
    a.tell("stats wrong_cookie 2");
    a.says("stats wrong_cookie 2");
    exchange(&mut a, &mut b, GREETINGS, 1_000);
    a.never_said("up x");
    a.never_said("down");
}

pub(crate) fn a_session_that_is_not_ready() {
    let mut a = Process::start("a", &[]);
    let since = Instant::now();
    let mut stream = connect(&a.address);
    // Its hello takes two of the five seconds, and then it says nothing to the session layer.
    let said = hello_of("x");
    for piece in said.chunks(said.len().div_ceil(8)) {
        std::thread::sleep(Duration::from_millis(250));
        stream.write_all(piece).unwrap();
    }
    let heard = hear(&mut stream);
    let proof = go("the cookie of all", &said, &heard);
    stream.write_all(&proof).unwrap();
    assert_eq!(answer(&mut stream), 0, "go");
    is_ended(stream, "a session that is not ready");
    let took = since.elapsed();
    println!("a session that is not ready: ended after {took:?}");
    assert!(took < Duration::from_millis(6_700), "{took:?}");
    a.tell("stats too_slow 1");
    a.says("stats too_slow 1");
    a.never_said("up");
}

pub(crate) fn a_frame_that_is_too_large() {
    let (mut a, mut b) = pair();
    // It has the cookie, and so gets as far as the session layer.
    for len in [17 * 1024 * 1024_u64, u64::MAX] {
        let mut stream = connect(&a.address);
        let (said, heard) = greet(&mut stream, "x");
        stream
            .write_all(&go("the cookie of all", &said, &heard))
            .unwrap();
        assert_eq!(answer(&mut stream), 0, "go");
        stream.write_all(&len.to_be_bytes()).unwrap();
        // More than it has room for, if it took it.
        let _ = stream.write_all(&[0; 1024 * 1024]);
        is_ended(stream, "a frame that is too large");
        exchange_more(&mut a, &mut b);
        a.tell("sessions 1");
        a.says("sessions 1");
    }
    a.never_said("up x");
    a.never_said("down");
}

/// Sends some more envelopes each way.
fn exchange_more(a: &mut Process, b: &mut Process) {
    static SENT: AtomicU64 = AtomicU64::new(GREETINGS);
    let before = SENT.fetch_add(500, Ordering::Relaxed);
    exchange(a, b, before, 500);
}

pub(crate) fn a_flood() {
    const STRANGERS: u64 = 32;
    let mut a = Launch::new("a", &[])
        .set("max_strangers", STRANGERS)
        .start();
    let mut b = Process::start("b", &[&a.address]);
    a.sees_up(&b);
    b.sees_up(&a);
    let (address, over) = (a.address.clone(), Arc::new(AtomicBool::new(false)));
    let flood = std::thread::spawn({
        let over = over.clone();
        move || {
            // Four times as many as there is room for are held open, and new ones come.
            let mut held = std::collections::VecDeque::new();
            let mut count = 0_u64;
            while !over.load(Ordering::Relaxed) {
                let mut stream = TcpStream::connect(&address).unwrap();
                let hello = hello_of("x");
                // Silent ones, and such that begin.
                let _ = stream.write_all(&hello[..count as usize % hello.len()]);
                held.push_back(stream);
                count += 1;
                if held.len() as u64 > 4 * STRANGERS {
                    held.pop_front();
                }
            }
            count
        }
    });
    a.tell("stats turned_away 100");
    a.hear("stats turned_away");
    // Those that there are go on, and newcomers get in.
    exchange(&mut a, &mut b, GREETINGS, 10_000);
    for name in ["c", "d", "e"] {
        let mut newcomer = Process::start(name, &[&a.address]);
        newcomer.sees_up(&a);
        a.sees_up(&newcomer);
        exchange(&mut a, &mut newcomer, GREETINGS, 1_000);
        newcomer.stops();
        a.says(&format!("down {}", newcomer.incarnation));
    }
    exchange(&mut a, &mut b, GREETINGS + 10_000, 1_000);
    over.store(true, Ordering::Relaxed);
    let count = flood.join().unwrap();
    println!("a flood: {count} connections");
    assert!(count > 4 * STRANGERS);
    a.never_said("down");
    b.never_said("down");
}

pub(crate) fn too_many_sessions() {
    let mut a = Launch::new("a", &[]).set("max_sessions", 1).start();
    let mut b = Process::start("b", &[&a.address]);
    a.sees_up(&b);
    b.sees_up(&a);
    let mut c = Process::start("c", &[&a.address]);
    a.tell("stats turned_away 2");
    a.hear("stats turned_away");
    c.never_said("up");
    exchange(&mut a, &mut b, GREETINGS, 1_000);
    // There is room again.
    b.stops();
    c.sees_up(&a);
    a.says(&format!("down {}", b.incarnation));
    a.sees_up(&c);
}
