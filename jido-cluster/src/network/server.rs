//! The session layer's own server, its events, and the tasks that keep actors alive.

use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use ractor::registry::pid_registry;
use ractor::{Actor, ActorCell, SpawnErr};
use ractor_cluster::node::{NodeConnectionMode, NodeServerSessionInformation};
use ractor_cluster::{NodeEventSubscription, NodeServer, NodeServerMessage};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::cookie::Cookie;
use super::frame::SessionId;
use super::sessions::Sessions;

/// How long a stopping actor may take, and how long one that can't be started
/// again is left alone.
const PATIENCE: Duration = Duration::from_secs(1);

/// How far the transport's own end has come. Each task waits for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Course {
    Running,
    /// Nobody is dialed or accepted any more; what was sent is handed over.
    Leaving,
    Stopped,
}

/// Waits until the transport's end has come as far as that.
pub(super) async fn reached(course: &mut watch::Receiver<Course>, stage: Course) {
    // An error means that the transport was dropped, which is as far as it gets.
    let _ = course.wait_for(|course| *course >= stage).await;
}

/// Starts the session layer's server.
///
/// It would print the cookie if it were printed, so nothing here does. Its own
/// listener is not used, since it awaits one handshake at a time; what comes in
/// through it is ended.
pub(super) async fn start(
    sessions: Arc<Sessions>,
    cookie: Cookie,
) -> Result<(ActorCell, JoinHandle<()>), SpawnErr> {
    let me = sessions.me();
    let server = NodeServer::new(
        0,
        cookie.expose().to_owned(),
        me.session_node(),
        me.session_host(),
        None,
        Some(NodeConnectionMode::Isolated),
    )
    .with_listen_addr(Ipv4Addr::LOCALHOST.into());
    let (server, ended) = Actor::spawn(None, server, ()).await?;
    let subscription = Box::new(Events(sessions.clone()));
    // It can only fail if the server has ended, which the caller sees by itself.
    let _ = server.cast(NodeServerMessage::SubscribeToEvents {
        id: "sessions".to_owned(),
        subscription,
    });
    let cell = server.get_cell();
    sessions.served_by(server);
    Ok((cell, ended))
}

/// Turns the session layer's events into ours.
struct Events(Arc<Sessions>);

fn session_of(event: &NodeServerSessionInformation) -> Option<SessionId> {
    u128::from_str_radix(&event.peer_addr, 16)
        .ok()
        .map(SessionId)
}

impl NodeEventSubscription for Events {
    fn node_session_opened(&self, event: NodeServerSessionInformation) {
        // Ended in the meantime, or it came in through the server's own listener.
        if !session_of(&event).is_some_and(|session| self.0.knows(session)) {
            event.actor.stop(None);
        }
    }

    fn node_session_authenticated(&self, _event: NodeServerSessionInformation) {}

    fn node_session_ready(&self, event: NodeServerSessionInformation) {
        // Or each actor that starts or stops here would be reported to the
        // session, whose peer has no use for it.
        pid_registry::demonitor(event.actor.get_id());
        if let Some(session) = session_of(&event) {
            let shown = event.peer_name.as_ref().map(|name| name.name.as_str());
            self.0.ready(session, event.node_id, shown);
        }
    }

    fn node_session_disconnected(&self, event: NodeServerSessionInformation) {
        if let Some(session) = session_of(&event) {
            self.0.ended(session);
        }
    }
}

/// Keeps an actor running until the transport stops. When it ends by itself, all
/// sessions end with it: it can't be announced again to those that there are.
pub(super) async fn keep<F>(
    what: &'static str,
    (mut actor, mut ended): (ActorCell, JoinHandle<()>),
    sessions: Arc<Sessions>,
    mut course: watch::Receiver<Course>,
    again: impl Fn() -> F + Send,
) where
    F: Future<Output = Result<(ActorCell, JoinHandle<()>), SpawnErr>> + Send,
{
    loop {
        tokio::select! { biased;
            () = reached(&mut course, Course::Stopped) => {
                if let Err(error) = actor.stop_and_wait(None, Some(PATIENCE)).await {
                    tracing::warn!(what, %error, "an actor doesn't stop: it is killed");
                    actor.kill();
                }
                return;
            }
            _ = &mut ended => {}
        }
        tracing::error!(
            what,
            "an actor has ended: all sessions end, and it is started again"
        );
        sessions.end_all();
        (actor, ended) = loop {
            match again().await {
                Ok(started) => break started,
                Err(error) => tracing::error!(what, %error, "an actor can't be started"),
            }
            tokio::select! { biased;
                () = reached(&mut course, Course::Stopped) => return,
                () = sleep(PATIENCE) => {}
            }
        };
    }
}
