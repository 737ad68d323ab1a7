//! Mutual TLS 1.3 between nodes.
//!
//! Both ends show a certificate that the cluster's authority has signed. An end can't know
//! which node it will find at an address, so the name in the certificate is checked once
//! the other end has said its own, before anything that it says counts.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use jido_core::NodeName;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{
    Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name,
};
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::{
    NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier,
};
use tokio_rustls::rustls::{
    self, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    version,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::error::{Error, ErrorKind};

/// What tells a connection's encryption from any other's is derived under this name.
const CHANNEL: &[u8] = b"EXPORTER-jido-channel";

/// The certificates of a node: what it shows to others, and whom it believes. Clones share
/// them, so one that is kept can [`reload`](Tls::reload) them while the node runs.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    loaded: ArcSwap<Loaded>,
    /// The node that shows them, once it was checked that they are for it.
    node: Mutex<Option<NodeName>>,
}

struct Loaded {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    own: CertificateDer<'static>,
}

impl Tls {
    /// Reads three files of PEM: the certificates of the authorities whose nodes are
    /// believed; this node's certificate, followed by those between it and its
    /// authority; and its private key (PKCS#8, PKCS#1 or SEC1).
    ///
    /// The certificate has the node's name as a DNS name among its alternative names, and may be
    /// used by servers and by clients, since a node is both. The files are small and read at
    /// once.
    ///
    /// # Errors
    ///
    /// [`Startup`](ErrorKind::Startup) with the file that can't be read, or that is not what
    /// it ought to be.
    pub fn from_files(
        authority: impl Into<PathBuf>,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Result<Self, Error> {
        let (authority, certificate, key) = (authority.into(), certificate.into(), key.into());
        let loaded = load(&authority, &certificate, &key)?;
        Ok(Self(Arc::new(Inner {
            authority,
            certificate,
            key,
            loaded: ArcSwap::from_pointee(loaded),
            node: Mutex::default(),
        })))
    }

    /// Reads the files again. Connections from now on are made with what is in them;
    /// sessions that there are go on.
    ///
    /// To change the authority, first let all nodes believe both, then change their
    /// certificates, then drop the old one.
    ///
    /// # Errors
    ///
    /// As [`from_files`](Tls::from_files), and when the certificate is not for the node that
    /// uses it. What was read before stays in use then.
    pub fn reload(&self) -> Result<(), Error> {
        let inner = &self.0;
        let loaded = load(&inner.authority, &inner.certificate, &inner.key)?;
        if let Some(node) = &*inner.node.lock() {
            check_own(&loaded.own, node)?;
        }
        inner.loaded.store(Arc::new(loaded));
        Ok(())
    }

    /// Checks that the certificate is for the node that is to show it.
    pub(super) fn used_by(&self, node: &NodeName) -> Result<(), Error> {
        check_own(&self.0.loaded.load().own, node)?;
        *self.0.node.lock() = Some(node.clone());
        Ok(())
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(self.0.loaded.load().server.clone());
        acceptor.accept(stream).await.map(TlsStream::Server)
    }

    pub(super) async fn connect(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(self.0.loaded.load().client.clone());
        // Not sent, and not what is checked.
        let nobody = ServerName::try_from("jido").map_err(io::Error::other)?;
        connector
            .connect(nobody, stream)
            .await
            .map(TlsStream::Client)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("authority", &self.0.authority)
            .field("certificate", &self.0.certificate)
            .finish_non_exhaustive()
    }
}

fn startup(
    what: &str,
    file: &Path,
    error: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    let message = format!(
        "tls: the {what} in {} can't be used: {error}",
        file.display()
    );
    Error::new(ErrorKind::Startup, message).caused_by(error)
}

fn certificates(what: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = all.map_err(|error| startup(what, file, error))?;
    if all.is_empty() {
        return Err(startup(what, file, io::Error::other("there is none")));
    }
    Ok(all)
}

fn load(authority: &Path, certificate: &Path, key: &Path) -> Result<Loaded, Error> {
    let mut roots = RootCertStore::empty();
    for root in certificates("authority", authority)? {
        let added = roots.add(root);
        added.map_err(|error| startup("authority", authority, error))?;
    }
    let roots = Arc::new(roots);
    let chain = certificates("certificate", certificate)?;
    let own = chain.first().cloned();
    let own = own.ok_or_else(|| startup("certificate", certificate, io::Error::other("none")))?;
    // The error names no more of the key than where it is.
    let read_key = || PrivateKeyDer::from_pem_file(key).map_err(|error| startup("key", key, error));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let unusable = |error: rustls::Error| startup("certificate", certificate, error);

    let believed = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
        .build()
        .map_err(|error| startup("authority", authority, error))?;
    let mut server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(unusable)?
        .with_client_cert_verifier(believed)
        .with_single_cert(chain.clone(), read_key()?)
        .map_err(unusable)?;
    // Each connection shows its certificates anew: a resumed one would go by those of before.
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;

    let mut client = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(OfTheCluster { roots, provider }))
        .with_client_auth_cert(chain, read_key()?)
        .map_err(unusable)?;
    client.resumption = Resumption::disabled();
    client.enable_sni = false;
    Ok(Loaded {
        server: Arc::new(server),
        client: Arc::new(client),
        own,
    })
}

/// Whether a certificate has a node's name among its alternative names.
pub(super) fn is_for(certificate: &CertificateDer<'_>, node: &NodeName) -> bool {
    let parsed = ParsedCertificate::try_from(certificate);
    match (parsed, ServerName::try_from(node.as_str())) {
        (Ok(certificate), Ok(name)) => verify_server_name(&certificate, &name).is_ok(),
        _ => false,
    }
}

fn check_own(own: &CertificateDer<'_>, node: &NodeName) -> Result<(), Error> {
    if is_for(own, node) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Startup,
        format!(
            "tls: the certificate is not for the node {node}: it needs that as a DNS name among its alternative names"
        ),
    ))
}

/// Believes every server that the cluster's authority has certified, whatever its name: that
/// is [checked](is_for) when it is known.
#[derive(Debug)]
struct OfTheCluster {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for OfTheCluster {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General(
            "nodes speak TLS 1.3 alone".to_owned(),
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Whether a connection failed because of the other end's certificate.
pub(super) fn is_wrong_certificate(error: &io::Error) -> bool {
    let inner = error.get_ref();
    let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(
        inner,
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented)
    )
}

/// Whether what came is no TLS of a node, or none at all.
pub(super) fn is_unreadable(error: &io::Error) -> bool {
    let inner = error.get_ref();
    let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
    inner.is_some_and(|inner| !matches!(inner, rustls::Error::AlertReceived(_)))
        && !is_wrong_certificate(error)
}

/// What tells a connection's encryption from any other's; both ends have the same.
pub(super) fn channel(stream: &TlsStream<TcpStream>) -> io::Result<[u8; 32]> {
    let derived = match stream {
        TlsStream::Client(stream) => stream
            .get_ref()
            .1
            .export_keying_material([0; 32], CHANNEL, None),
        TlsStream::Server(stream) => stream
            .get_ref()
            .1
            .export_keying_material([0; 32], CHANNEL, None),
    };
    derived.map_err(io::Error::other)
}
