//! The first words on a connection: who is there, and the session's id.
//!
//! Both ends say hello before the session layer gets the stream: the dialer
//! first, then the acceptor. It keeps garbage, other clusters and ourselves away
//! from the session layer, tells a dialer whom it reached, and gives both ends one
//! id for the session. It proves nothing: that is for what [follows](super::handshake).

use std::io;
use std::time::Duration;

use jido_core::{ClusterName, Incarnation, NodeName};
use serde::{Deserialize, Serialize};
use thiserror::Error as ThisError;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::address;
use super::frame::SessionId;
use crate::transport::Peer;

const MAGIC: [u8; 4] = *b"jido";
const VERSION: u16 = 2;
/// Magic, version and the body's length.
const PREFIX_LEN: usize = 8;
/// Two names and an address fit with room to spare.
const MAX_BODY_LEN: u16 = 2048;

/// How long a connection may take until its session is ready. Beyond that it is
/// ended, whatever it waits for.
pub(super) const READY_WITHIN: Duration = Duration::from_secs(5);

/// Who stands at one end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) cluster: ClusterName,
    pub(super) name: NodeName,
    pub(super) incarnation: Incarnation,
    /// Where it accepts connections, as `host:port`.
    pub(super) address: String,
    /// The session that the dialer proposes; the acceptor repeats it.
    session: u128,
    /// Drawn for this connection, so that no proof is good for another.
    nonce: u128,
    /// The silence, in milliseconds, after which this end takes the other for unreachable.
    waits_ms: u64,
}

impl Hello {
    pub(super) fn new(cluster: ClusterName, peer: Peer, waits: Duration) -> Self {
        let Peer {
            name,
            incarnation,
            address,
        } = peer;
        Self {
            cluster,
            name,
            incarnation,
            address,
            session: 0,
            nonce: 0,
            waits_ms: u64::try_from(waits.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// The same, said for a session on one connection.
    pub(super) fn for_session(&self, session: SessionId, nonce: u128) -> Self {
        Self {
            session: session.0,
            nonce,
            ..self.clone()
        }
    }

    /// The silence after which this end takes the other for unreachable.
    pub(super) fn waits(&self) -> Duration {
        Duration::from_millis(self.waits_ms)
    }

    /// Which of two ends decides whether there is to be a session: the one that stands
    /// first by name, and by life where names are equal.
    pub(super) fn decides_over(&self, other: &Self) -> bool {
        (&self.name, self.incarnation) < (&other.name, other.incarnation)
    }

    pub(super) fn session(&self) -> SessionId {
        SessionId(self.session)
    }

    pub(super) fn peer(&self) -> Peer {
        Peer {
            name: self.name.clone(),
            incarnation: self.incarnation,
            address: self.address.clone(),
        }
    }

    /// The node's name in the session layer. It has the incarnation in it, or a
    /// restarted node could be locked out by its own dead session.
    pub(super) fn session_node(&self) -> String {
        format!("{}.{}", self.name, self.incarnation)
    }

    /// The host's name in the session layer: unique, since that layer takes equal
    /// ones for itself.
    pub(super) fn session_host(&self) -> String {
        format!("{}.{}", self.cluster, self.incarnation)
    }

    /// The name that the session layer shows of this node.
    pub(super) fn session_name(&self) -> String {
        format!("{}@{}", self.session_node(), self.session_host())
    }
}

/// Why a hello can't be read or sent.
#[derive(Debug, ThisError)]
pub(super) enum HelloError {
    #[error("the connection ended: {0}")]
    Io(#[from] io::Error),
    #[error("there is no jido node at the other end")]
    Magic,
    #[error("the other end speaks version {0} of the protocol, and this node speaks {VERSION}")]
    Version(u16),
    #[error("the other end's hello has {0} bytes, beyond the limit of {MAX_BODY_LEN}")]
    TooLong(u16),
    #[error("the other end's hello can't be read: {0}")]
    Unreadable(#[from] rmp_serde::decode::Error),
    #[error("the other end's hello gives no host:port as its address")]
    Address,
    #[error("the hello can't be written: {0}")]
    Unwritable(#[from] rmp_serde::encode::Error),
}

impl HelloError {
    /// Whether something was said that no node of this version says.
    pub(super) fn is_unreadable(&self) -> bool {
        !matches!(self, Self::Io(_) | Self::Unwritable(_))
    }
}

/// Says hello. Answers what was sent.
pub(super) async fn say(
    stream: &mut (impl AsyncWrite + Unpin),
    hello: &Hello,
) -> Result<Vec<u8>, HelloError> {
    let body = rmp_serde::to_vec_named(hello)?;
    let mut bytes = Vec::with_capacity(PREFIX_LEN + body.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    // Names and address are limited, so that this never saturates.
    bytes.extend_from_slice(&u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend_from_slice(&body);
    stream.write_all(&bytes).await?;
    stream.flush().await?;
    Ok(bytes)
}

/// Hears the other end's hello, and not a byte more. Answers also what came.
pub(super) async fn hear(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<(Hello, Vec<u8>), HelloError> {
    let mut bytes = vec![0; PREFIX_LEN];
    // The magic first: who is something else need not say more to be known for it.
    stream.read_exact(&mut bytes[..MAGIC.len()]).await?;
    if bytes[..MAGIC.len()] != MAGIC {
        return Err(HelloError::Magic);
    }
    stream.read_exact(&mut bytes[MAGIC.len()..]).await?;
    let number = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let (version, len) = (number(4), number(6));
    if version != VERSION {
        return Err(HelloError::Version(version));
    }
    if len > MAX_BODY_LEN {
        return Err(HelloError::TooLong(len));
    }
    bytes.resize(PREFIX_LEN + usize::from(len), 0);
    stream.read_exact(&mut bytes[PREFIX_LEN..]).await?;
    let hello: Hello = rmp_serde::from_slice(&bytes[PREFIX_LEN..])?;
    if address::check(&hello.address).is_err() {
        return Err(HelloError::Address);
    }
    Ok((hello, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(address: &str) -> Hello {
        Hello::new(
            ClusterName::new("c").unwrap(),
            Peer {
                name: NodeName::new("n1").unwrap(),
                incarnation: Incarnation(u128::MAX - 1),
                address: address.to_owned(),
            },
            Duration::MAX,
        )
        .for_session(SessionId(u128::MAX / 3), u128::MAX)
    }

    #[tokio::test]
    async fn a_hello_is_heard_as_it_was_said() {
        let longest = format!("{}:65535", "h".repeat(address::MAX_HOST_LEN));
        for said in [hello("127.0.0.1:4000"), hello(&longest)] {
            let mut bytes = Vec::new();
            let sent = say(&mut bytes, &said).await.unwrap();
            assert_eq!(sent, bytes);
            bytes.push(42);
            let mut stream = bytes.as_slice();
            assert_eq!(hear(&mut stream).await.unwrap(), (said, sent));
            assert_eq!(stream, [42]);
        }
    }

    #[tokio::test]
    async fn what_is_no_hello_is_refused() {
        let mut good = Vec::new();
        say(&mut good, &hello("h:1")).await.unwrap();
        for len in 0..good.len() {
            assert!(
                matches!(hear(&mut &good[..len]).await, Err(HelloError::Io(_))),
                "{len}"
            );
        }
        let mut version = good.clone();
        version[5] = 9;
        assert!(matches!(
            hear(&mut version.as_slice()).await,
            Err(HelloError::Version(9))
        ));
        let mut long = good.clone();
        long[6] = 0xff;
        assert!(matches!(
            hear(&mut long.as_slice()).await,
            Err(HelloError::TooLong(_))
        ));
        let mut body = good.clone();
        body[8] = 0xc1;
        assert!(matches!(
            hear(&mut body.as_slice()).await,
            Err(HelloError::Unreadable(_))
        ));
        let request = b"GET / HTTP/1.1\r\n\r\n";
        assert!(matches!(
            hear(&mut request.as_slice()).await,
            Err(HelloError::Magic)
        ));
        let mut odd = Vec::new();
        say(&mut odd, &hello("no port\n")).await.unwrap();
        assert!(matches!(
            hear(&mut odd.as_slice()).await,
            Err(HelloError::Address)
        ));
    }
}
