//! From a connection to a session that both ends want.
//!
//! Both say [hello](super::hello); then each says one word, with a [proof](super::proof) that it
//! has the cookie, the dialer first. Only what was shown so reaches the session layer: until then an
//! end reads a hello of at most 2 KiB, and one word.
//!
//! Where both ends dial at once, or one dials again while the other has not noticed that
//! their session broke, there must be one session in the end, and at best no other before it. So one end
//! decides, alone: the one that stands first by name. It refuses a connection while it has a session
//! with the other end, ready or opening. The other end gives up what it has when that one says go.

use std::io;

use thiserror::Error as ThisError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::connection::Connection;
use super::cookie::Cookie;
use super::counters::count;
use super::frame::SessionId;
use super::hello::{self, Hello, HelloError};
use super::proof::{CODE_LEN, Side, Transcript, Word};
use super::sessions::{Opening, Sessions};

/// Why no session came of a connection.
#[derive(Debug, ThisError)]
pub(super) enum Refused {
    #[error(transparent)]
    Hello(#[from] HelloError),
    #[error("this node is there itself")]
    Myself,
    #[error("it belongs to the cluster {0}")]
    Cluster(String),
    #[error("another life of the node is there")]
    OtherLife,
    #[error("the certificate is not for {0}, which it says it is")]
    Certificate(String),
    #[error("{0} has another cookie")]
    Cookie(String),
    #[error("{0} says that this node has another cookie")]
    OwnCookie(String),
    #[error("there is a session with {0} already")]
    Known(String),
    #[error("{0} is stopping")]
    Closing(String),
    #[error("sessions with {0} don't last: it is left alone for a while")]
    Later(String),
    #[error("{0} says what no node says")]
    Word(String),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Hello(error.into())
    }
}

/// What a handshake needs of this node.
pub(super) struct Handshake<'a> {
    pub(super) sessions: &'a Sessions,
    pub(super) cookie: &'a Cookie,
    /// Drawn for this connection.
    pub(super) nonce: u128,
}

impl<'a> Handshake<'a> {
    /// As the end that has dialed. `check` looks at who is there.
    pub(super) async fn dial(
        &self,
        stream: &mut Connection,
        session: SessionId,
        check: impl FnOnce(&Hello) -> Result<(), Refused>,
    ) -> Result<Opening<'a>, Refused> {
        let me = self.sessions.me();
        let dialer = hello::say(stream, &me.for_session(session, self.nonce)).await?;
        let (peer, acceptor) = hello::hear(stream).await?;
        if peer.incarnation == me.incarnation {
            return Err(Refused::Myself);
        }
        if peer.cluster != me.cluster {
            return Err(Refused::Cluster(peer.cluster.to_string()));
        }
        self.check_certificate(stream, &peer)?;
        check(&peer)?;
        let transcript = Transcript {
            dialer,
            acceptor,
            channel: stream.channel()?,
        };
        // Taken in before the word is given, if it is this end that decides.
        let mut opening = None;
        let word = if me.decides_over(&peer) {
            let taken = self.sessions.take_in(session, peer.clone());
            taken.map_or_else(
                |word| word,
                |taken| {
                    opening = Some(taken);
                    Word::Go
                },
            )
        } else {
            Word::Go
        };
        self.say(stream, &transcript, Side::Dialer, word).await?;
        if word != Word::Go {
            return Err(refusal(word, &peer));
        }
        match self
            .hear(stream, &transcript, Side::Acceptor, &peer)
            .await?
        {
            Word::Go => {}
            Word::Cookie => return Err(Refused::OwnCookie(peer.name.to_string())),
            word => return Err(refusal(word, &peer)),
        }
        match opening {
            Some(opening) => Ok(opening),
            None => self
                .sessions
                .take_in(session, peer.clone())
                .map_err(|word| refusal(word, &peer)),
        }
    }

    /// As the end that was dialed.
    pub(super) async fn accept(&self, stream: &mut Connection) -> Result<Opening<'a>, Refused> {
        let me = self.sessions.me();
        let counters = self.sessions.counters();
        let (peer, dialer) = hello::hear(stream).await.inspect_err(|error| {
            if error.is_unreadable() {
                count(&counters.unreadable);
            }
        })?;
        self.check_certificate(stream, &peer)?;
        let session = peer.session();
        // Answered even where no session comes of it: the dialer then knows why.
        let acceptor = hello::say(stream, &me.for_session(session, self.nonce)).await?;
        if peer.incarnation == me.incarnation {
            return Err(Refused::Myself);
        }
        if peer.cluster != me.cluster {
            if count(&counters.wrong_cluster) {
                tracing::warn!(peer = %peer.name, cluster = %peer.cluster, "a node of another cluster is refused");
            }
            return Err(Refused::Cluster(peer.cluster.to_string()));
        }
        let transcript = Transcript {
            dialer,
            acceptor,
            channel: stream.channel()?,
        };
        match self.hear(stream, &transcript, Side::Dialer, &peer).await {
            Ok(Word::Go) => {}
            Ok(word) => return Err(refusal(word, &peer)),
            Err(refused) => {
                if matches!(refused, Refused::Cookie(_)) {
                    self.say(stream, &transcript, Side::Acceptor, Word::Cookie)
                        .await?;
                }
                return Err(refused);
            }
        }
        let taken = self.sessions.take_in(session, peer.clone());
        let word = taken.as_ref().map_or_else(|word| *word, |_| Word::Go);
        self.say(stream, &transcript, Side::Acceptor, word).await?;
        taken.map_err(|word| refusal(word, &peer))
    }

    /// The name in the other end's certificate has to be the one that it says.
    fn check_certificate(&self, stream: &Connection, peer: &Hello) -> Result<(), Refused> {
        if stream.may_be(&peer.name) {
            return Ok(());
        }
        if count(&self.sessions.counters().wrong_certificate) {
            tracing::warn!(peer = %peer.name, "a peer's certificate is not for its name: it is refused");
        }
        Err(Refused::Certificate(peer.name.to_string()))
    }

    async fn say(
        &self,
        stream: &mut Connection,
        transcript: &Transcript,
        side: Side,
        word: Word,
    ) -> io::Result<()> {
        let mut bytes = [0; 1 + CODE_LEN];
        bytes[0] = word as u8;
        if word != Word::Cookie {
            bytes[1..].copy_from_slice(&transcript.code(self.cookie, side, word));
        }
        stream.write_all(&bytes).await?;
        stream.flush().await
    }

    async fn hear(
        &self,
        stream: &mut Connection,
        transcript: &Transcript,
        side: Side,
        peer: &Hello,
    ) -> Result<Word, Refused> {
        let mut bytes = [0; 1 + CODE_LEN];
        stream.read_exact(&mut bytes).await?;
        let counters = self.sessions.counters();
        let Some(word) = Word::read(bytes[0]) else {
            count(&counters.unreadable);
            return Err(Refused::Word(peer.name.to_string()));
        };
        // Without the cookie nobody can prove anything, so this word says no more than that.
        if word == Word::Cookie && side == Side::Acceptor {
            count(&counters.wrong_cookie);
            return Ok(word);
        }
        if !transcript.proves(self.cookie, side, word, &bytes[1..]) {
            if count(&counters.wrong_cookie) {
                tracing::warn!(peer = %peer.name, "a peer has another cookie: it is refused");
            }
            return Err(Refused::Cookie(peer.name.to_string()));
        }
        Ok(word)
    }
}

fn refusal(word: Word, peer: &Hello) -> Refused {
    let name = peer.name.to_string();
    match word {
        Word::Known => Refused::Known(name),
        Word::Closing => Refused::Closing(name),
        Word::Later => Refused::Later(name),
        Word::Go | Word::Cookie => Refused::Word(name),
    }
}
