//! Dials one address, and again whenever the session with whoever is there is lost.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jido_core::Incarnation;
use thiserror::Error as ThisError;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{sleep, timeout};

use super::address;
use super::connection::Connection;
use super::cookie::Cookie;
use super::counters::count;
use super::frame::SessionId;
use super::handshake::{Handshake, Refused};
use super::hello::READY_WITHIN;
use super::sessions::Sessions;
use super::stream::configure;
use super::tls::{self, Tls};
use crate::environment::Environment;

const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A node that was found elsewhere is given up after so many failures in a row,
/// about 40 seconds; whoever still finds it tells of it again.
const FOUND_ATTEMPTS: u32 = 12;

/// What is dialed.
#[derive(Debug)]
pub(super) enum Target {
    /// A configured address, for ever: whoever is there.
    Seed(String),
    /// A node that was found elsewhere.
    Found {
        /// The life that was found.
        incarnation: Incarnation,
        /// Where it accepts.
        address: String,
    },
}

/// How many addresses have not been tried yet.
#[derive(Debug, Default)]
pub(super) struct Unsettled(AtomicUsize);

impl Unsettled {
    pub(super) fn new(count: usize) -> Self {
        Self(AtomicUsize::new(count))
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }

    /// Takes one of those that were counted at first.
    pub(super) fn settling(self: &Arc<Self>) -> Settling {
        Settling(self.clone())
    }
}

/// An address that has not been tried yet: it was when this is dropped.
#[derive(Debug)]
pub(super) struct Settling(Arc<Unsettled>);

impl Settling {
    /// One more, beside this one.
    #[cfg(feature = "dns")]
    pub(super) fn another(&self) -> Self {
        self.0.0.fetch_add(1, Ordering::AcqRel);
        Self(self.0.clone())
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What all dialers of a node share.
#[derive(Debug, Clone)]
pub(super) struct Dialing {
    pub(super) sessions: Arc<Sessions>,
    pub(super) cookie: Cookie,
    pub(super) tls: Option<Tls>,
}

/// What came of a dial.
enum Reached {
    /// A peer, and there is a session with it, this one or another.
    Peer(Incarnation),
    /// This node, and whoever else the name of the host stands for can't be reached.
    Myself,
}

#[derive(Debug, ThisError)]
enum DialError {
    #[error("it can't be reached: {0}")]
    Connect(#[from] io::Error),
    #[error("no encryption with it comes about: {0}")]
    Encrypt(io::Error),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("no session with {0} came of it")]
    NoSession(String),
    #[error("the session was not ready within {READY_WITHIN:?}")]
    TooSlow,
}

/// Dials as long as it makes sense: for ever, but for an IP address that is our own
/// or a node that is gone.
pub(super) async fn dial(target: Target, dialing: Dialing, mut settling: Option<Settling>) {
    let sessions = &dialing.sessions;
    let environment = sessions.environment();
    let (address, expected) = match target {
        Target::Seed(address) => (address, None),
        Target::Found {
            incarnation,
            address,
        } => (address, Some(incarnation)),
    };
    let mut known = expected;
    let mut failures = 0_u32;
    let mut is_own = false;
    loop {
        let up = known
            .filter(|known| sessions.is_up(*known))
            .or_else(|| sessions.up_at(&address));
        let reached = match up {
            Some(peer) => Ok(Reached::Peer(peer)),
            None => attempt(&address, expected, &dialing).await,
        };
        match reached {
            Ok(Reached::Peer(peer)) => {
                drop(settling.take());
                known = Some(peer);
                sessions.down(peer).await;
                failures = 0;
            }
            Ok(Reached::Myself) => {
                drop(settling.take());
                if !std::mem::replace(&mut is_own, true) {
                    tracing::debug!(address, "the address is our own");
                }
                // A name may lead to another node the next time.
                if expected.is_some() || address::is_numeric(&address) {
                    return;
                }
                failures = 0;
                sleep(pause(u32::MAX, environment)).await;
                continue;
            }
            Err(error) => {
                drop(settling.take());
                // One failure is usual where both ends start or dial at once, so that
                // the second is told of, and no more before there was a session.
                let is_met = matches!(error, DialError::Refused(Refused::Known(_)));
                if failures == 1 && !is_met {
                    tracing::warn!(address, %error, "no session yet; it is tried again");
                } else {
                    tracing::debug!(address, %error, failures, "still no session");
                }
                failures = failures.saturating_add(1);
                let is_gone = matches!(error, DialError::Refused(Refused::OtherLife))
                    || failures >= FOUND_ATTEMPTS;
                if expected.is_some() && is_gone {
                    return tracing::info!(address, "a node that was found is gone");
                }
            }
        }
        sleep(pause(failures, environment)).await;
    }
}

/// From 100 ms on, doubled by each failure, up to 5 s; the upper half by chance.
fn pause(failures: u32, environment: &dyn Environment) -> Duration {
    let doubled = SHORTEST_PAUSE.saturating_mul(2 << failures.min(16));
    let half = doubled.min(LONGEST_PAUSE) / 2;
    half + environment.jitter(half)
}

async fn attempt(
    address: &str,
    expected: Option<Incarnation>,
    dialing: &Dialing,
) -> Result<Reached, DialError> {
    let reached = async {
        let mut hosts: Vec<SocketAddr> = lookup_host(address).await?.collect();
        let mut is_own = false;
        loop {
            let stream = match TcpStream::connect(&hosts[..]).await {
                Err(_) if is_own => return Ok(Reached::Myself),
                connected => connected?,
            };
            let host = stream.peer_addr()?;
            let reached = meet(stream, expected, dialing).await?;
            let before = hosts.len();
            hosts.retain(|known| *known != host);
            // Systems sort what a name stands for by nearness: it would be this node every time.
            is_own = matches!(reached, Reached::Myself) && hosts.len() < before;
            if !is_own {
                return Ok(reached);
            }
        }
    };
    timeout(READY_WITHIN, reached)
        .await
        .unwrap_or(Err(DialError::TooSlow))
}

/// Finds out who is at the other end of a connection, and opens a session with it.
async fn meet(
    stream: TcpStream,
    expected: Option<Incarnation>,
    dialing: &Dialing,
) -> Result<Reached, DialError> {
    let Dialing {
        sessions,
        cookie,
        tls,
    } = dialing;
    let environment = sessions.environment();
    let id = SessionId(environment.random_128());
    configure(&stream)?;
    let connected = Connection::connect(stream, tls.as_ref()).await;
    let mut stream = connected.map_err(|error| {
        if tls::is_wrong_certificate(&error) {
            count(&sessions.counters().wrong_certificate);
        }
        DialError::Encrypt(error)
    })?;
    let handshake = Handshake {
        sessions,
        cookie,
        nonce: environment.random_128(),
    };
    let mut there = None;
    let shaken = handshake.dial(&mut stream, id, |peer| {
        there = Some(peer.incarnation);
        match expected {
            Some(expected) if expected != peer.incarnation => Err(Refused::OtherLife),
            _ => Ok(()),
        }
    });
    let opening = match shaken.await {
        Ok(opening) => opening,
        Err(Refused::Myself) => return Ok(Reached::Myself),
        Err(error) => {
            // It may have dialed us.
            return match there.filter(|peer| sessions.is_up(*peer)) {
                Some(peer) => Ok(Reached::Peer(peer)),
                None => Err(error.into()),
            };
        }
    };
    let (name, peer) = (opening.peer().name.to_string(), opening.peer().incarnation);
    if opening.open(stream).await || sessions.is_up(peer) {
        return Ok(Reached::Peer(peer));
    }
    Err(DialError::NoSession(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::SystemEnvironment;

    #[test]
    fn pauses_grow_up_to_a_limit() {
        for (failures, least) in [
            (0, 100),
            (1, 200),
            (2, 400),
            (5, 2500),
            (40, 2500),
            (u32::MAX, 2500),
        ] {
            let pause = pause(failures, &SystemEnvironment).as_millis();
            assert!((least..=2 * least).contains(&pause), "{failures}: {pause}");
        }
    }
}
