//! What needs no second node: see `tests/network.rs` for the rest.

mod fuzz;

use bytes::{BufMut, Bytes};
use jido_core::{ClusterName, Incarnation, NodeName};

use super::frame::{Content, SessionId};
use super::session::{Session, Stage};
use super::stream::Switch;
use super::*;
use crate::environment::SystemEnvironment;

#[derive(Debug, Default)]
struct Log(Mutex<Vec<String>>);

impl Log {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl Inbox for Log {
    fn peer_up(&self, peer: Peer) {
        self.0.lock().push(format!("up {}", peer.name));
    }

    fn peer_down(&self, incarnation: Incarnation) {
        self.0.lock().push(format!("down {}", incarnation.0));
    }

    fn deliver(&self, _from: Incarnation, envelope: Bytes) {
        self.0
            .lock()
            .push(String::from_utf8(envelope.to_vec()).unwrap());
    }
}

fn options() -> NetworkOptions {
    NetworkOptions::new(
        ClusterName::new("c").unwrap(),
        NodeName::new("n1").unwrap(),
        Incarnation(1),
        "127.0.0.1:0".parse().unwrap(),
        Cookie::new("short").unwrap(),
    )
}

fn session(switch: &Switch) -> Session {
    let peer = Peer {
        name: NodeName::new("n2").unwrap(),
        incarnation: Incarnation(2),
        address: "127.0.0.1:1".to_owned(),
    };
    let hello = Hello::new(ClusterName::new("c").unwrap(), peer, Duration::ZERO);
    Session::new(SessionId(9), hello, switch.clone())
}

fn envelopes(all: &[&str]) -> Content {
    let mut bytes = Vec::new();
    for envelope in all {
        bytes.put_u32(envelope.len() as u32);
        bytes.put_slice(envelope.as_bytes());
    }
    Content::Envelopes(bytes.into())
}

#[test]
fn what_comes_early_is_delivered_once_the_peer_is_up() {
    let (log, switch) = (Log::default(), Switch::default());
    let session = session(&switch);
    session.receive(envelopes(&["a", "b"]), &log);
    session.receive(envelopes(&["c"]), &log);
    assert!(log.take().is_empty());
    session.ready(&log);
    session.receive(envelopes(&["d"]), &log);
    assert_eq!(log.take(), ["up n2", "a", "b", "c", "d"]);
    assert_eq!(*session.stage().borrow(), Stage::Ready);

    session.end();
    session.receive(envelopes(&["e"]), &log);
    assert!(log.take().is_empty());
    assert!(switch.is_cut());
    assert_eq!(*session.stage().borrow(), Stage::Ended);
}

#[test]
fn too_much_too_early_ends_the_session() {
    let (log, switch) = (Log::default(), Switch::default());
    let session = session(&switch);
    let piece = Bytes::from(vec![0; 8 * 1024 * 1024]);
    for _ in 0..8 {
        session.receive(Content::Envelopes(piece.clone()), &log);
    }
    assert!(!switch.is_cut());
    session.receive(envelopes(&["x"]), &log);
    assert!(switch.is_cut());
    session.ready(&log);
    assert_eq!(log.take(), ["up n2"]);
}

#[test]
fn a_bad_frame_and_the_last_goodbye_end_the_session() {
    let (log, switch) = (Log::default(), Switch::default());
    let first = session(&switch);
    first.ready(&log);
    first.receive(
        Content::Envelopes(Bytes::from_static(&[0, 0, 0, 1, b'a', 0, 0, 0, 9])),
        &log,
    );
    assert_eq!(log.take(), ["up n2", "a"]);
    assert!(switch.is_cut());

    let switch = Switch::default();
    let second = session(&switch);
    second.receive(Content::Goodbye, &log);
    second.receive(envelopes(&["a"]), &log);
    second.ready(&log);
    assert!(!switch.is_cut());
    second.receive(Content::Goodbye, &log);
    assert_eq!(log.take(), ["up n2", "a"]);
    assert!(switch.is_cut());
}

#[test]
fn options_are_checked() {
    let refused = |change: fn(&mut NetworkOptions)| {
        let mut options = options();
        change(&mut options);
        let error = NetworkTransport::new(options, Arc::new(SystemEnvironment)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        error.to_string()
    };
    let open = |options: &mut NetworkOptions| options.seeds.push("n2.example:4000".to_owned());
    assert!(refused(open).contains("16 bytes"));
    assert!(refused(|o| o.listen = "10.0.0.1:1".parse().unwrap()).contains("16 bytes"));
    assert!(refused(|o| o.listen = "0.0.0.0:1".parse().unwrap()).starts_with("advertise:"));
    assert!(refused(|o| o.advertise = Some("n1".to_owned())).starts_with("advertise:"));
    assert!(refused(|o| o.seeds.push("n2:x".to_owned())).starts_with("seeds:"));

    let mut good = options();
    open(&mut good);
    good.cookie = Cookie::new("0123456789abcdef").unwrap();
    let plain = NetworkTransport::new(good.clone(), Arc::new(SystemEnvironment)).unwrap_err();
    assert!(plain.to_string().starts_with("tls: not set"), "{plain}");
    good.plain_text = true;
    let transport = NetworkTransport::new(good, Arc::new(SystemEnvironment)).unwrap();
    assert!(!format!("{transport:?}").contains("0123456789abcdef"));
    assert!(!transport.is_settled());
}

#[tokio::test]
async fn a_builder_sets_how_many_connections_there_may_be() {
    let refused = async |change: fn(crate::NodeBuilder) -> crate::NodeBuilder| {
        let builder = crate::Node::builder("n1")
            .listen("127.0.0.1:0".parse().unwrap())
            .cookie("short");
        let error = change(builder).start().await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        error.to_string()
    };
    let strangers = refused(|node| node.max_strangers(0)).await;
    assert!(strangers.starts_with("max_strangers is 0"), "{strangers}");
    let sessions = refused(|node| node.max_sessions(65_537)).await;
    assert!(
        sessions.starts_with("max_sessions is 65537: it is 1 to 65536"),
        "{sessions}"
    );
}

#[tokio::test]
async fn nothing_secret_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["n1".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let file = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file
    };
    let tls = Tls::from_files(
        file("ca", &certificate.pem()),
        file("own", &certificate.pem()),
        file("key", &key.serialize_pem()),
    )
    .unwrap();
    let cookie = "a cookie that nobody sees";
    let mut options = options();
    options.cookie = Cookie::new(cookie).unwrap();
    options.tls = Some(tls.clone());
    let builder = crate::Node::builder("n1")
        .listen("127.0.0.1:0".parse().unwrap())
        .cookie(cookie)
        .tls(tls.clone());
    let mut printed = vec![format!("{tls:?} {options:?} {builder:?}")];
    let transport = NetworkTransport::new(options, Arc::new(SystemEnvironment)).unwrap();
    transport.start(Arc::new(Log::default())).await.unwrap();
    printed.push(format!("{transport:?}"));
    transport.stop().await;
    // A key that can't be read is no reason to show it.
    let broken = file("broken", &key.serialize_pem().replace("END", "BEGIN"));
    let (ca, own) = (folder.path().join("ca"), folder.path().join("own"));
    let error = Tls::from_files(ca, own, broken).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Startup);
    printed.push(format!("{error} {error:?}"));
    let body = key.serialize_pem();
    let body = body.lines().nth(1).unwrap();
    let numbers = format!("{:?}", key.serialize_der());
    for printed in printed {
        for secret in [cookie, body, numbers.trim_matches(['[', ']'])] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }
}

#[tokio::test]
async fn without_a_peer_nothing_is_sent() {
    let transport = NetworkTransport::new(options(), Arc::new(SystemEnvironment)).unwrap();
    let to = Incarnation(2);
    assert_eq!(transport.send(to, 0, &[]), Err(SendError::Unreachable));
    let inbox = Arc::new(Log::default());
    transport.start(inbox.clone()).await.unwrap();
    assert!(transport.is_settled());
    assert_ne!(transport.address(), "127.0.0.1:0");
    assert_eq!(transport.send(to, 0, &[]), Err(SendError::Unreachable));
    let large = Bytes::from(vec![0; MAX_ENVELOPE_LEN + 1]);
    let len = large.len();
    assert_eq!(
        transport.send(to, 0, &large),
        Err(SendError::TooLarge { len })
    );
    assert_eq!(
        transport.start(inbox).await.unwrap_err().kind(),
        ErrorKind::Startup
    );
    transport.stop().await;
    // The port is free again.
    let again = tokio::net::TcpListener::bind(transport.address()).await;
    assert!(again.is_ok(), "{again:?}");
}
