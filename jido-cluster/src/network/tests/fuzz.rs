//! What a peer sends before and around envelopes.

use futures_util::FutureExt;
use jido_core::fuzz::{PeakAlloc, bounded};
use jido_core::fuzz_target;

use super::*;
use crate::network::frame::{Packer, Signal, alone, read, split_envelope};
use crate::network::hello::{Hello, HelloError, hear, say};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

#[test]
fn frames() {
    let session = SessionId(7 << 100 | 3);
    let mut packer = Packer::new(session);
    packer.push(b"one");
    packer.push(b"");
    packer.signal(Signal::Heartbeat);
    packer.signal(Signal::Goodbye);
    packer.push_frame(alone(session, b"two"));
    let seeds = packer.take();
    fuzz_target!(seeds, |bytes: &[u8]| {
        let frame = Bytes::copy_from_slice(bytes);
        let Ok((session, content)) = bounded(bytes.len(), || read(frame)) else {
            return;
        };
        let mut whole = Packer::new(session);
        match content {
            Content::Goodbye => whole.signal(Signal::Goodbye),
            Content::Heartbeat => whole.signal(Signal::Heartbeat),
            Content::Envelopes(mut rest) => loop {
                match bounded(bytes.len(), || split_envelope(&mut rest)) {
                    Ok(Some(envelope)) => whole.push(&envelope),
                    Ok(None) => break,
                    // What came before it was whole.
                    Err(_) => return,
                }
            },
        }
        // A whole frame is what its content packs to; after a goodbye nothing counts.
        match whole.take().as_slice() {
            [again] => assert!(bytes.starts_with(again)),
            [] => assert_eq!(bytes.len(), 18),
            more => panic!("{} frames", more.len()),
        }
    });
}

#[test]
fn hellos() {
    let peer = Peer {
        name: NodeName::new("n1").unwrap(),
        incarnation: Incarnation(u128::MAX - 1),
        address: "127.0.0.1:4000".into(),
    };
    let waits = Duration::from_secs(2);
    let hello =
        Hello::new(ClusterName::new("c").unwrap(), peer, waits).for_session(SessionId(9), 7);
    let said = |hello: &Hello| {
        let mut bytes = Vec::new();
        say(&mut bytes, hello).now_or_never().unwrap().unwrap();
        bytes
    };
    fuzz_target!(vec![said(&hello)], |bytes: &[u8]| {
        let heard = bounded(bytes.len(), || hear(&mut &*bytes).now_or_never());
        match heard.expect("bytes are there at once") {
            Ok((hello, heard)) => {
                assert!(bytes.starts_with(&heard));
                let again = said(&hello);
                let again = hear(&mut again.as_slice()).now_or_never().unwrap();
                assert_eq!(again.unwrap().0, hello);
            }
            Err(HelloError::Unwritable(error)) => panic!("{error}"),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}
