//! How the node knows other nodes, and keeps what they say from others.

use std::path::PathBuf;

use clap::Args;
use jido_cluster::network::Tls;
use jido_cluster::{Error, NodeBuilder};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Certificates, or the consent to do without.
#[derive(Debug, Clone, Default, Args)]
pub struct SecurityOptions {
    /// PEM of the authorities whose nodes are believed. With it, nodes speak TLS alone.
    #[arg(long, env = "JIDO_TLS_AUTHORITY", value_name = "FILE", requires_all = ["tls_certificate", "tls_key"])]
    pub tls_authority: Option<PathBuf>,

    /// PEM of this node's certificate, which has its --name as a DNS name.
    #[arg(
        long,
        env = "JIDO_TLS_CERTIFICATE",
        value_name = "FILE",
        requires = "tls_authority"
    )]
    pub tls_certificate: Option<PathBuf>,

    /// PEM of the private key of --tls-certificate. SIGHUP reads all three files again.
    #[arg(
        long,
        env = "JIDO_TLS_KEY",
        value_name = "FILE",
        requires = "tls_authority"
    )]
    pub tls_key: Option<PathBuf>,

    /// Speak plain text with other nodes beyond loopback: others can read and change it.
    #[arg(long, env = "JIDO_PLAIN_TEXT", conflicts_with = "tls_authority")]
    pub plain_text: bool,
}

impl SecurityOptions {
    /// Reads the certificates, if there are any.
    pub(super) fn tls(&self) -> Result<Option<Tls>, Error> {
        match (&self.tls_authority, &self.tls_certificate, &self.tls_key) {
            (Some(authority), Some(certificate), Some(key)) => {
                Tls::from_files(authority, certificate, key).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Sets what was given.
    pub(super) fn apply(&self, mut node: NodeBuilder, tls: Option<&Tls>) -> NodeBuilder {
        if let Some(tls) = tls {
            node = node.tls(tls.clone());
        }
        if self.plain_text {
            node = node.plain_text();
        }
        node
    }
}

/// Reads certificates again at every SIGHUP.
pub(super) struct Reloader {
    hangup: Option<(Signal, Tls)>,
}

impl Reloader {
    /// Without certificates SIGHUP ends the program, as it does any.
    pub(super) fn new(tls: Option<Tls>) -> std::io::Result<Self> {
        let hangup = match tls {
            Some(tls) => Some((signal(SignalKind::hangup())?, tls)),
            None => None,
        };
        Ok(Self { hangup })
    }

    /// Goes on for ever.
    pub(super) async fn run(&mut self) {
        let Some((hangup, tls)) = &mut self.hangup else {
            return std::future::pending().await;
        };
        while hangup.recv().await.is_some() {
            match tls.reload() {
                Ok(()) => tracing::info!("the certificates were read again"),
                Err(error) => tracing::error!(%error, "the former certificates stay in use"),
            }
        }
        std::future::pending().await
    }
}
