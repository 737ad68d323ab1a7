//! The seam between nodes: bytes to a named peer, and who is up.
//!
//! A transport knows nothing of agents, asks and answers. It moves envelopes,
//! each a run of bytes, and tells its [`Inbox`] which peers come and go. What it
//! promises:
//!
//! 1. Between [`Inbox::peer_up`] and [`Inbox::peer_down`] of a peer, envelopes
//!    that [`Transport::send`] took for one lane arrive once each and in the order
//!    in which they were given.
//! 2. Envelopes get lost only with the session, and then `peer_down` follows. A
//!    peer may come up again under the same incarnation: a new session.
//! 3. Nothing is delivered from a peer before its `peer_up` or after its `peer_down`.
//! 4. Calls to [`Inbox::deliver`] never overlap for one peer and lane, but may for
//!    different lanes. [`Inbox::peer_up`] returns before the first of them, and
//!    [`Inbox::peer_down`] is called after the last.
//! 5. Once `peer_down` is called, `send` refuses until the next `peer_up`. So who
//!    notes an ask down before sending it either gets an error, or finds the note
//!    in `peer_down`.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jido_core::{Incarnation, NodeName};
use thiserror::Error as ThisError;

use crate::error::Error;

/// The largest envelope that any transport takes, in bytes: 8 MiB and some room
/// for its header. The session layer kills a session for a frame beyond 16 MiB,
/// and everything under way with it, so larger ones are refused by the sender.
pub const MAX_ENVELOPE_LEN: usize = 8 * 1024 * 1024 + 4 * 1024;

/// One life of another node, as the transport knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name.
    pub name: NodeName,
    /// Its life.
    pub incarnation: Incarnation,
    /// Where it accepts connections, as `host:port`.
    pub address: String,
}

/// Why an envelope was not taken. It was not and will not be sent.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum SendError {
    /// There is no session with the peer.
    #[error("no session with the peer")]
    Unreachable,
    /// The envelope is beyond [`MAX_ENVELOPE_LEN`].
    #[error("an envelope of {len} bytes is refused: the limit is {MAX_ENVELOPE_LEN}")]
    TooLarge {
        /// Its length.
        len: usize,
    },
}

/// Where a transport delivers to.
///
/// Its functions return soon and never block. They may call [`Transport::send`],
/// [`Transport::discovered`], [`Transport::address`] and
/// [`Transport::is_settled`].
pub trait Inbox: fmt::Debug + Send + Sync + 'static {
    /// A session with a peer is ready.
    fn peer_up(&self, peer: Peer);

    /// The session with a peer has ended.
    fn peer_down(&self, incarnation: Incarnation);

    /// An envelope has arrived.
    fn deliver(&self, from: Incarnation, envelope: Bytes);
}

/// Moves envelopes between nodes.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Starts to accept, to dial and to deliver. Called once.
    ///
    /// # Errors
    ///
    /// [`Startup`](crate::ErrorKind::Startup) when it can't listen.
    async fn start(&self, inbox: Arc<dyn Inbox>) -> Result<(), Error>;

    /// The address at which peers reach this node, known once it is started.
    fn address(&self) -> String;

    /// Takes a copy of an envelope for a peer and returns at once. Envelopes of one `lane`
    /// keep their order; different lanes may overtake each other.
    ///
    /// # Errors
    ///
    /// [`SendError`], and then it is certain that nothing was sent.
    fn send(&self, to: Incarnation, lane: u64, envelope: &[u8]) -> Result<(), SendError>;

    /// Tells of a node that was found elsewhere, so that a session with it is
    /// set up if there is none.
    fn discovered(&self, peer: Peer);

    /// Whether every address that was configured has been tried: it was joined,
    /// or given up on for now.
    fn is_settled(&self) -> bool;

    /// Ends all sessions and stops to accept. Envelopes taken before are handed
    /// to the network first, as far as that goes within a second.
    async fn stop(&self);
}
