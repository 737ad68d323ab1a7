//! Nodes with certificates, and those whose certificates are wrong.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};

use crate::certificates::{Authority, Certified};
use crate::process::{Launch, Process};
use crate::strangers::hello_of;
use crate::{GREETINGS, exchange};

fn launch(name: &'static str, folder: &Path, seeds: &[&str]) -> Launch {
    Launch::new(name, seeds).set("tls", folder.display())
}

/// Two nodes of an authority that have met.
fn pair(authority: &Authority, folder: &Path) -> (Process, Process) {
    let mut a = launch("a", &authority.equip(folder, "a"), &[]).start();
    let mut b = launch("b", &authority.equip(folder, "b"), &[&a.address]).start();
    a.sees_up(&b);
    b.sees_up(&a);
    (a, b)
}

pub(crate) fn nodes_with_certificates() {
    let (folder, authority) = (TempDir::new().unwrap(), Authority::new("one"));
    let (mut a, mut b) = pair(&authority, folder.path());
    exchange(&mut a, &mut b, GREETINGS, 20_000);
    // Neither one without a certificate nor one of another authority gets in, nor do they
    // let in whom they dial.
    let mut plain = Process::start("c", &[&a.address]);
    let other = Authority::new("other").equip(&folder.path().join("other"), "d");
    let mut other = launch("d", &other, &[&a.address]).start();
    for stranger in [&mut plain, &mut other] {
        stranger.tell("settled");
        stranger.says("settled");
        stranger.never_said("up");
    }
    let mut honest = launch(
        "e",
        &authority.equip(folder.path(), "e"),
        &[&plain.address, &other.address, &b.address],
    );
    honest.name = "e";
    let mut honest = honest.start();
    honest.sees_up(&b);
    honest.tell("settled");
    honest.says("settled");
    exchange(&mut a, &mut b, GREETINGS + 20_000, 1_000);
    honest.never_said("up c");
    honest.never_said("up d");
    for peer in [&mut a, &mut b] {
        peer.never_said("down");
        peer.never_said("up c");
        peer.never_said("up d");
    }
}

/// Shows what it likes and believes everybody.
#[derive(Debug)]
struct Gullible;

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Connects with a certificate or none, says hello as a node of a name, and waits for the end.
fn intrude(address: &str, shown: Option<&Certified>, name: &str) -> Vec<u8> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible));
    let config = match shown {
        Some(certified) => config
            .with_client_auth_cert(
                vec![certified.certificate.der().clone()],
                PrivateKeyDer::try_from(certified.key.serialize_der()).unwrap(),
            )
            .unwrap(),
        None => config.with_no_client_auth(),
    };
    let session = ClientConnection::new(Arc::new(config), "x".try_into().unwrap()).unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut stream = StreamOwned::new(session, stream);
    // Refused at the one or the other; what matters is what comes back, and the end.
    let _ = stream.write_all(&hello_of(name));
    let mut heard = Vec::new();
    if let Err(error) = stream.read_to_end(&mut heard) {
        let is_late = matches!(
            error.kind(),
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
        );
        assert!(!is_late, "the connection was not ended: {error}");
    }
    heard
}

pub(crate) fn wrong_certificates() {
    let (folder, authority) = (TempDir::new().unwrap(), Authority::new("one"));
    let (mut a, mut b) = pair(&authority, folder.path());
    // One that is right is answered, so that the others are not refused for something else.
    let right = authority.certify("c");
    assert!(intrude(&a.address, Some(&right), "c").starts_with(b"jido"));
    let stranger = Authority::new("one").certify("c");
    let once = authority.certified_once("c");
    for (count, (what, shown, name)) in [
        ("none", None, "c"),
        ("of another authority", Some(&stranger), "c"),
        ("no longer valid", Some(&once), "c"),
        ("for another name", Some(&right), "b"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(intrude(&a.address, shown, name), b"", "{what}");
        a.tell(&format!("stats wrong_certificate {}", count + 1));
        a.says(&format!("stats wrong_certificate {}", count + 1));
        exchange(&mut a, &mut b, GREETINGS + 1_000 * count as u64, 1_000);
    }
    for peer in [&mut a, &mut b] {
        peer.never_said("down");
        peer.tell("sessions 1");
        peer.says("sessions 1");
    }
}

pub(crate) fn a_wrong_certificate_that_is_dialed() {
    let (folder, authority) = (TempDir::new().unwrap(), Authority::new("one"));
    // It believes the authority, and shows a certificate of another one.
    let stranger = Authority::new("one").certify("c");
    let stranger = authority.put(folder.path(), "c", &authority.pem(), &stranger);
    let mut stranger = launch("c", &stranger, &[]).start();
    // It is of the authority, and its time is over.
    let once = authority.certified_once("d");
    let once = authority.put(folder.path(), "d", &authority.pem(), &once);
    let mut once = launch("d", &once, &[]).start();
    let own = authority.equip(folder.path(), "a");
    let mut a = launch("a", &own, &[&stranger.address, &once.address]).start();
    a.tell("stats wrong_certificate 2");
    a.hear("stats wrong_certificate");
    a.tell("settled");
    a.says("settled");
    for peer in [&mut a, &mut stranger, &mut once] {
        peer.never_said("up");
    }
}

pub(crate) fn reloaded() {
    let folder = TempDir::new().unwrap();
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let (mut a, mut b) = pair(&old, folder.path());
    // A file that is no good changes nothing.
    let key = folder.path().join("a").join("key.pem");
    std::fs::write(&key, "not a key").unwrap();
    a.tell("reload");
    let failed = a.hear("reload");
    assert!(
        failed.contains("the key in") && failed.contains("key.pem"),
        "{failed}"
    );
    assert!(!failed.contains("not a key"), "{failed}");
    old.put(folder.path(), "a", &old.pem(), &old.certify("z"));
    a.tell("reload");
    let failed = a.hear("reload");
    assert!(failed.contains("is not for the node a"), "{failed}");
    let mut c = launch("c", &old.equip(folder.path(), "c"), &[&a.address]).start();
    c.sees_up(&a);
    a.sees_up(&c);

    // With those of the new authority the session goes on, and newcomers need the new one.
    new.equip(folder.path(), "a");
    a.tell("reload");
    a.says("reloaded");
    exchange(&mut a, &mut b, GREETINGS, 1_000);
    let mut d = launch("d", &new.equip(folder.path(), "d"), &[&a.address]).start();
    d.sees_up(&a);
    a.sees_up(&d);
    let mut late = launch("e", &old.equip(folder.path(), "e"), &[&a.address]).start();
    late.tell("settled");
    late.says("settled");
    late.never_said("up");
    a.never_said("up e");
    a.never_said("down");
    exchange(&mut a, &mut b, GREETINGS + 1_000, 1_000);
}
