//! Accepts connections from other nodes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{AbortHandle, Abortable};
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout_at};

use super::connection::Connection;
use super::cookie::Cookie;
use super::counters::{Counters, count};
use super::handshake::{Handshake, Refused};
use super::hello::READY_WITHIN;
use super::sessions::{Opening, Sessions};
use super::stream::configure;
use super::tls::{self, Tls};

/// The pause after the system refused to accept, as when it is out of files.
const PAUSE: Duration = Duration::from_millis(100);

/// How many connections there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// That have not shown yet that they are of this cluster.
    pub(super) strangers: usize,
    /// Sessions, ready or opening.
    pub(super) sessions: usize,
}

/// A connection that has shown that it is of this cluster.
struct Known<'a> {
    session: Opening<'a>,
    stream: Connection,
    /// When its session has to be ready.
    deadline: Instant,
}

/// Accepts until it is dropped. Each connection opens on its own, so that one
/// which says nothing keeps none waiting.
///
/// Of those that have shown nothing yet so many are kept: one that comes on top takes the place of the
/// oldest, which had the longest to do so. So strangers that hold their
/// connections open keep no node out, and a node loses its place only if so many
/// come in the few milliseconds that it takes.
pub(super) async fn accept(
    listener: TcpListener,
    sessions: Arc<Sessions>,
    cookie: Cookie,
    tls: Option<Tls>,
    limits: Limits,
) {
    let mut strangers = FuturesUnordered::new();
    // By the order of their coming.
    let mut ends: BTreeMap<u64, AbortHandle> = BTreeMap::new();
    let mut opening = FuturesUnordered::new();
    let counters = sessions.counters();
    let mut next = 0_u64;
    loop {
        let accepted = tokio::select! { biased;
            Some(()) = opening.next(), if !opening.is_empty() => continue,
            Some((number, known)) = strangers.next(), if !strangers.is_empty() => {
                ends.remove(&number);
                if let Ok(Some(known)) = known {
                    opening.push(open(known, counters));
                }
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                sleep(PAUSE).await;
                continue;
            }
        };
        count(&counters.accepted);
        if sessions.count() >= limits.sessions {
            if count(&counters.turned_away) {
                tracing::warn!(%from, limit = limits.sessions, "there are too many sessions: a connection is closed");
            }
            continue;
        }
        if ends.len() >= limits.strangers
            && let Some((_, oldest)) = ends.pop_first()
        {
            if count(&counters.turned_away) {
                tracing::warn!(
                    limit = limits.strangers,
                    "too many connections are opening: the oldest is closed"
                );
            }
            oldest.abort();
        }
        let (end, ended) = AbortHandle::new_pair();
        let number = next;
        next += 1;
        ends.insert(number, end);
        let meeting = Abortable::new(meet(stream, from, &sessions, &cookie, tls.as_ref()), ended);
        strangers.push(async move { (number, meeting.await) });
    }
}

/// Meets whoever has connected; none if it has no business here.
async fn meet<'a>(
    stream: TcpStream,
    from: SocketAddr,
    sessions: &'a Sessions,
    cookie: &'a Cookie,
    tls: Option<&Tls>,
) -> Option<Known<'a>> {
    let deadline = sleep(READY_WITHIN).deadline();
    match timeout_at(deadline, shake(stream, sessions, cookie, tls)).await {
        Ok(Ok((session, stream))) => Some(Known {
            session,
            stream,
            deadline,
        }),
        Ok(Err(error)) => {
            // How many there are is a stranger's to choose, so that counts tell of them.
            tracing::debug!(%from, %error, "a connection is refused");
            None
        }
        Err(_) => {
            count(&sessions.counters().too_slow);
            tracing::debug!(%from, "a connection is ended: it has not said who it is in time");
            None
        }
    }
}

async fn shake<'a>(
    stream: TcpStream,
    sessions: &'a Sessions,
    cookie: &'a Cookie,
    tls: Option<&Tls>,
) -> Result<(Opening<'a>, Connection), Refused> {
    configure(&stream)?;
    let mut stream = Connection::accept(stream, tls).await.inspect_err(|error| {
        let counters = sessions.counters();
        if tls::is_wrong_certificate(error) {
            count(&counters.wrong_certificate);
        } else if tls::is_unreadable(error) {
            count(&counters.unreadable);
        }
    })?;
    let handshake = Handshake {
        sessions,
        cookie,
        nonce: sessions.environment().random_128(),
    };
    let opening = handshake.accept(&mut stream).await?;
    Ok((opening, stream))
}

/// Opens the session of a connection, in what is left of its time.
async fn open(known: Known<'_>, counters: &Counters) {
    let Known {
        session,
        stream,
        deadline,
    } = known;
    let name = session.peer().name.clone();
    match timeout_at(deadline, session.open(stream)).await {
        Ok(true) => {}
        Ok(false) => tracing::info!(peer = %name, "no session came of a connection"),
        Err(_) => {
            count(&counters.too_slow);
            tracing::info!(peer = %name, "a connection is ended: its session was not ready in time");
        }
    }
}
