//! Nodes with certificates, while strangers do what they like to their ports.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use jido_testkit::process::{Load, LoadOptions};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use crate::drain::acknowledges;
use crate::{all_joined, cluster, eventually};

/// Writes an authority, and a certificate of it for all nodes of the test; the flags.
fn certificates(folder: &Path) -> Vec<String> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let nodes = ["n1", "n2", "n3", "n4"].map(str::to_owned);
    let params = CertificateParams::new(nodes).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let mut flags = Vec::new();
    for (flag, pem) in [
        ("--tls-authority", authority.pem()),
        ("--tls-certificate", certificate.pem()),
        ("--tls-key", key.serialize_pem()),
    ] {
        let file = folder.join(flag);
        std::fs::write(&file, pem).unwrap();
        flags.extend([flag.to_owned(), file.display().to_string()]);
    }
    flags
}

/// Connects again and again: says nothing, garbage or the beginning of something, and holds
/// so many connections open, of which half are not ended at once.
fn strangers(address: String, open: usize, over: Arc<AtomicBool>) -> JoinHandle<u64> {
    std::thread::spawn(move || {
        let mut held = VecDeque::new();
        let mut count = 0;
        while !over.load(Ordering::Relaxed) {
            let Ok(mut stream) = TcpStream::connect(&address) else {
                continue;
            };
            // One that was ended already takes no more.
            let _ = match count % 4 {
                0 => Ok(()),
                1 => stream.write_all(b"GET / HTTP/1.1\r\n\r\n"),
                2 => stream.write_all(&[0xff; 4096]),
                // The beginning of a greeting of TLS.
                _ => stream.write_all(&[22, 3, 1, 2, 0, 1]),
            };
            held.push_back(stream);
            if held.len() > open
                && let Some(mut oldest) = held.pop_front()
            {
                let _ = oldest.set_read_timeout(Some(Duration::from_millis(1)));
                let _ = oldest.read(&mut [0; 64]);
            }
            count += 1;
        }
        count
    })
}

#[tokio::test]
async fn calls_succeed_and_nodes_join_whatever_strangers_do() {
    let folder = TempDir::new().unwrap();
    let builder = cluster().args(certificates(folder.path())).nodes(3);
    let mut cluster = builder.start().await.unwrap();
    all_joined(&cluster).await;
    let n1 = cluster.client("n1").unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let members = n1.members().await.unwrap();
    let attacks: Vec<_> = members
        .into_iter()
        .map(|member| {
            // More than a node keeps of strangers, and few enough for the files of one process.
            let open = if member.name == "n1" { 600 } else { 80 };
            strangers(member.address, open, over.clone())
        })
        .collect();
    let count = async |field: &str| {
        let path = "/demo/node/network";
        let reply = n1.raw("GET", path, None).await.map_err(|e| e.to_string())?;
        let counts: serde_json::Value = serde_json::from_str(&reply.1).unwrap();
        counts[field].as_u64().ok_or(reply.1)
    };
    let least = async |field: &str, least: u64| match count(field).await? {
        n if n >= least => Ok(()),
        n => Err(format!("{field}: {n}")),
    };
    eventually("strangers are turned away", || least("turned_away", 100)).await;
    eventually("garbage is seen", || least("unreadable", 100)).await;

    let load = Load::start(LoadOptions {
        nodes: cluster.clients(),
        clients: 4,
        keys: Vec::new(),
        plain_keys: (0..40).map(|number| format!("besieged-{number}")).collect(),
        reads: 0,
        seed: 11,
        patience: Duration::from_secs(20),
    })
    .unwrap();
    acknowledges(&load, 200).await;
    cluster.add().await.unwrap();
    all_joined(&cluster).await;
    acknowledges(&load, 200).await;
    let report = load.stop().await.unwrap();
    over.store(true, Ordering::Relaxed);
    let tried: u64 = attacks
        .into_iter()
        .map(|attack| attack.join().unwrap())
        .sum();
    assert!(tried > 1_000, "{tried}");

    assert_eq!(report.counts.failed, 0, "{:#?}", report.errors);
    let verdict = report.judge(&n1).await.unwrap();
    assert!(verdict.is_good(), "{verdict}");
    for (what, expected) in [("wrong_cookie", 0), ("fell_silent", 0)] {
        assert_eq!(count(what).await, Ok(expected), "{what}");
    }
}
