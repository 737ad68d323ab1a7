//! Accepts connections from other nodes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::hello::{self, HelloError, READY_WITHIN};
use super::sessions::Sessions;
use super::stream::configure;

/// Connections that may be opening at the same time. One that comes on top is
/// closed, and its dialer tries again.
const MAX_OPENING: usize = 256;
/// The pause after the system refused to accept, as when it is out of files.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts until it is dropped. Each connection opens on its own, so that one
/// which says nothing keeps none waiting.
pub(super) async fn accept(listener: TcpListener, sessions: Arc<Sessions>) {
    let mut opening = FuturesUnordered::new();
    let mut turned_away = 0_u64;
    loop {
        let accepted = tokio::select! { biased;
            Some(()) = opening.next(), if !opening.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(_) if opening.len() >= MAX_OPENING => {
                turned_away += 1;
                if turned_away.is_power_of_two() {
                    tracing::warn!(
                        limit = MAX_OPENING,
                        turned_away,
                        "too many connections are opening"
                    );
                }
            }
            Ok((stream, from)) => opening.push(admit(stream, from, &sessions)),
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn admit(stream: TcpStream, from: SocketAddr, sessions: &Sessions) {
    match timeout(READY_WITHIN, open(stream, from, sessions)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::info!(%from, %error, "a connection is refused"),
        Err(_) => tracing::info!(%from, "a connection is ended: it was not ready in time"),
    }
}

async fn open(
    mut stream: TcpStream,
    from: SocketAddr,
    sessions: &Sessions,
) -> Result<(), HelloError> {
    configure(&stream)?;
    let me = sessions.me();
    let peer = hello::hear(&mut stream).await?;
    let id = peer.session();
    // Answered even where no session comes of it: the dialer then knows why.
    hello::say(&mut stream, &me.for_session(id)).await?;
    if peer.cluster != me.cluster {
        tracing::warn!(%from, peer = %peer.name, cluster = %peer.cluster, "a node of another cluster is refused");
        return Ok(());
    }
    if peer.incarnation == me.incarnation {
        return Ok(());
    }
    let name = peer.name.clone();
    if !sessions.open(stream, id, peer, true).await {
        return Err(io::Error::other(format!("no session with {name} came of it")).into());
    }
    Ok(())
}
