//! A connection between two nodes, encrypted or not.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use jido_core::NodeName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use super::tls::{self, Tls};

/// A connection, over which the ends have said nothing yet.
pub(super) enum Connection {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

impl Connection {
    /// As the end that was dialed.
    pub(super) async fn accept(stream: TcpStream, tls: Option<&Tls>) -> io::Result<Self> {
        Ok(match tls {
            Some(tls) => Self::Encrypted(Box::new(tls.accept(stream).await?)),
            None => Self::Plain(stream),
        })
    }

    /// As the end that has dialed.
    pub(super) async fn connect(stream: TcpStream, tls: Option<&Tls>) -> io::Result<Self> {
        Ok(match tls {
            Some(tls) => Self::Encrypted(Box::new(tls.connect(stream).await?)),
            None => Self::Plain(stream),
        })
    }

    /// What tells its encryption from any other's; zeros without one.
    pub(super) fn channel(&self) -> io::Result<[u8; 32]> {
        match self {
            Self::Plain(_) => Ok([0; 32]),
            Self::Encrypted(stream) => tls::channel(stream),
        }
    }

    /// Whether the other end may say that it is a node: without encryption it may say
    /// anything.
    pub(super) fn may_be(&self, node: &NodeName) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Encrypted(stream) => {
                let shown = stream.get_ref().1.peer_certificates();
                let own = shown.and_then(|chain| chain.first());
                own.is_some_and(|certificate| tls::is_for(certificate, node))
            }
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Encrypted(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Encrypted(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Encrypted(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Encrypted(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
