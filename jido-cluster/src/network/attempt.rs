//! One try to reach whoever an address stands for, and to open a session.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use jido_core::Incarnation;
use thiserror::Error as ThisError;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{sleep, timeout, timeout_at};

use super::connection::Connection;
use super::counters::count;
use super::dialer::Dialing;
use super::frame::SessionId;
use super::handshake::{Handshake, Refused};
use super::hello::READY_WITHIN;
use super::stream::configure;
use super::tls;

/// How long a connection to one of many hosts is waited for at the least.
const CONNECTED_WITHIN: Duration = Duration::from_secs(1);

/// What came of a try.
#[derive(Debug)]
pub(super) enum Reached {
    /// A peer, and there is a session with it, this one or another.
    Peer(Incarnation),
    /// This node, and whoever else the name of the host stands for can't be reached.
    Myself,
}

#[derive(Debug, ThisError)]
pub(super) enum DialError {
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

/// The hosts of a name of which nothing came, in the order in which they failed.
#[derive(Debug, Default)]
pub(super) struct Failed(Vec<SocketAddr>);

impl Failed {
    fn note(&mut self, host: SocketAddr) {
        self.forget(host);
        self.0.push(host);
    }

    fn forget(&mut self, host: SocketAddr) {
        self.0.retain(|failed| *failed != host);
    }

    /// Puts hosts in the order in which they are tried: the system's, and then those that failed, of
    /// which the last comes last. So the next try does not end at the same host.
    fn order(&mut self, hosts: &mut [SocketAddr]) {
        self.0.retain(|failed| hosts.contains(failed));
        hosts.sort_by_key(|host| {
            let failed = self.0.iter().position(|failed| failed == host);
            failed.map_or(0, |at| at + 1)
        });
    }
}

/// Tries whatever an address stands for, one host after the other, until there is a session with one.
pub(super) async fn attempt(
    address: &str,
    expected: Option<Incarnation>,
    dialing: &Dialing,
    failed: &mut Failed,
) -> Result<Reached, DialError> {
    let hosts = async { Ok(lookup_host(address).await?.collect()) };
    let reach = |host, within| reach(host, within, expected, dialing);
    first_of(hosts, failed, reach).await
}

/// Tries one host after the other. Each gets its share of what is left of the time to be connected to, as it
/// may be that nothing comes back from there, and then all that is left.
async fn first_of<F>(
    hosts: impl Future<Output = io::Result<Vec<SocketAddr>>>,
    failed: &mut Failed,
    reach: impl Fn(SocketAddr, Duration) -> F,
) -> Result<Reached, DialError>
where
    F: Future<Output = Result<Reached, DialError>>,
{
    // The first host, as long as it is tried.
    let mut first = None;
    let deadline = sleep(READY_WITHIN).deadline();
    let left = || deadline.saturating_duration_since(sleep(Duration::ZERO).deadline());
    let reached = async {
        let mut hosts = hosts.await?;
        failed.order(&mut hosts);
        let count = hosts.len();
        let (mut is_own, mut refused, mut unreached) = (false, None, None);
        for (at, host) in hosts.into_iter().enumerate() {
            first = (at == 0).then_some(host);
            let sharing = u32::try_from(count - at).unwrap_or(u32::MAX);
            let share = (left() / sharing).max(CONNECTED_WITHIN);
            match reach(host, share).await {
                Ok(Reached::Peer(peer)) => {
                    failed.forget(host);
                    return Ok(Reached::Peer(peer));
                }
                // Systems sort what a name stands for by nearness: it would be this node every time.
                Ok(Reached::Myself) => is_own = true,
                Err(error @ DialError::Connect(_)) => unreached = Some(error),
                Err(error) => refused = Some(error),
            }
            failed.note(host);
        }
        match (refused, unreached) {
            (Some(error), _) => Err(error),
            _ if is_own => Ok(Reached::Myself),
            (None, Some(error)) => Err(error),
            (None, None) => Err(io::Error::from(io::ErrorKind::NotFound).into()),
        }
    };
    match timeout_at(deadline, reached).await {
        Ok(reached) => reached,
        Err(_) => {
            // One that came later had less than all of the time: it comes first the next time.
            if let Some(host) = first {
                failed.note(host);
            }
            Err(DialError::TooSlow)
        }
    }
}

/// Connects to one host, and opens a session with whoever is there.
async fn reach(
    host: SocketAddr,
    connected_within: Duration,
    expected: Option<Incarnation>,
    dialing: &Dialing,
) -> Result<Reached, DialError> {
    let connected = timeout(connected_within, TcpStream::connect(host)).await;
    let stream = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    meet(stream, expected, dialing).await
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
    use std::sync::Mutex;

    use super::*;

    const PEER: Incarnation = Incarnation(7);

    fn host(at: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, at], 1))
    }

    /// What a host does to whoever dials it.
    #[derive(Debug, Clone, Copy)]
    enum Host {
        /// Nothing comes back.
        Drops,
        Refuses,
        /// It is connected to, and then says nothing.
        Hangs,
        IsOther,
        IsMyself,
        /// It takes so many seconds until the session is ready.
        IsPeer(u64),
        /// It takes so many seconds until it is connected to.
        IsFar(u64),
    }

    use Host::{Drops, Hangs, IsFar, IsMyself, IsOther, IsPeer, Refuses};

    async fn answer(host: Host, within: Duration) -> Result<Reached, DialError> {
        match host {
            Drops => {
                tokio::time::sleep(within).await;
                Err(io::Error::from(io::ErrorKind::TimedOut).into())
            }
            Refuses => Err(io::Error::from(io::ErrorKind::ConnectionRefused).into()),
            Hangs => std::future::pending().await,
            IsOther => Err(DialError::NoSession("n9".to_owned())),
            IsMyself => Ok(Reached::Myself),
            IsPeer(seconds) => {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                Ok(Reached::Peer(PEER))
            }
            IsFar(seconds) if within < Duration::from_secs(seconds) => {
                tokio::time::sleep(within).await;
                Err(io::Error::from(io::ErrorKind::TimedOut).into())
            }
            IsFar(seconds) => {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                Ok(Reached::Peer(PEER))
            }
        }
    }

    /// Tries hosts in the order of the system; which were tried.
    async fn try_all(
        hosts: &[Host],
        failed: &mut Failed,
    ) -> (Result<Reached, DialError>, Vec<usize>) {
        let all = (0..hosts.len()).map(|at| host(at as u8)).collect();
        let tried = Mutex::new(Vec::new());
        let reach = |at: SocketAddr, within: Duration| {
            let known = |known: &usize| host(*known as u8) == at;
            let at = (0..hosts.len()).find(known).unwrap();
            tried.lock().unwrap().push(at);
            answer(hosts[at], within)
        };
        let reached = first_of(async { Ok(all) }, failed, reach).await;
        (reached, tried.into_inner().unwrap())
    }

    fn is_peer(reached: &Result<Reached, DialError>) -> bool {
        matches!(reached, Ok(Reached::Peer(PEER)))
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_answer_or_refuses_hides_no_other() {
        for before in [Drops, Refuses, IsOther, IsMyself] {
            let mut failed = Failed::default();
            let hosts = [before, IsPeer(1)];
            let (reached, tried) = try_all(&hosts, &mut failed).await;
            assert!(is_peer(&reached), "{before:?}: {reached:?}");
            assert_eq!(tried, [0, 1]);
            // The next time the other one is first.
            let (reached, tried) = try_all(&hosts, &mut failed).await;
            assert!(is_peer(&reached), "{before:?}: {reached:?}");
            assert_eq!(tried, [1]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_leave_of_their_time_is_there_for_the_rest() {
        let hosts = [Refuses, Refuses, IsFar(4)];
        let (reached, tried) = try_all(&hosts, &mut Failed::default()).await;
        assert!(is_peer(&reached), "{reached:?}");
        assert_eq!(tried, [0, 1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_all_of_the_time_comes_last_the_next_time() {
        let mut failed = Failed::default();
        let hosts = [Hangs, Hangs, IsPeer(4)];
        for first in [0, 1] {
            let (reached, tried) = try_all(&hosts, &mut failed).await;
            assert!(matches!(reached, Err(DialError::TooSlow)), "{reached:?}");
            assert_eq!(tried, [first]);
        }
        assert!(is_peer(&try_all(&hosts, &mut failed).await.0));

        // One that is slow and has too little time left is the first the next time.
        let mut failed = Failed::default();
        let hosts = [Drops, Drops, IsPeer(4)];
        let (reached, tried) = try_all(&hosts, &mut failed).await;
        assert!(matches!(reached, Err(DialError::TooSlow)), "{reached:?}");
        assert_eq!(tried, [0, 1, 2]);
        let (reached, tried) = try_all(&hosts, &mut failed).await;
        assert!(is_peer(&reached), "{reached:?}");
        assert_eq!(tried, [2]);
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_that_do_not_answer_all_are_tried_in_turn() {
        let mut failed = Failed::default();
        let mut hosts = [Drops; 20];
        hosts[19] = IsPeer(1);
        for attempt in 0.. {
            let (reached, _) = try_all(&hosts, &mut failed).await;
            if is_peer(&reached) {
                break;
            }
            assert!(attempt < 5, "{reached:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_told_where_nobody_is_reached() {
        let mut failed = Failed::default();
        let mut told = async |hosts: &[Host]| try_all(hosts, &mut failed).await.0;
        for hosts in [[IsMyself, Refuses], [Refuses, IsMyself]] {
            assert!(matches!(told(&hosts).await, Ok(Reached::Myself)));
        }
        for hosts in [
            &[IsOther, Refuses][..],
            &[Refuses, IsOther],
            &[IsMyself, IsOther],
        ] {
            assert!(matches!(told(hosts).await, Err(DialError::NoSession(_))));
        }
        for hosts in [&[Drops, Refuses][..], &[]] {
            assert!(matches!(told(hosts).await, Err(DialError::Connect(_))));
        }
    }
}
