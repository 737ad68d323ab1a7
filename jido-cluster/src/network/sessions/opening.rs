//! A session on its way from a handshake to being ready.

use std::sync::Arc;
use std::time::Duration;

use ractor_cluster::NodeServerMessage;
use tokio::time::timeout;

use super::super::connection::Connection;
use super::super::hello::Hello;
use super::super::session::{Session, Stage};
use super::super::stream::SessionStream;
use super::Sessions;

/// How long a session waits for the end of the one before it, which the session layer would
/// take it for.
const END_WITHIN: Duration = Duration::from_secs(1);

/// A session that is not ready yet, and is ended if nobody waits for it any more.
pub(in crate::network) struct Opening<'a> {
    pub(super) sessions: &'a Sessions,
    pub(super) session: Arc<Session>,
}

impl Opening<'_> {
    /// Who is at the other end.
    pub(in crate::network) fn peer(&self) -> &Hello {
        self.session.peer()
    }

    /// Hands the connection to the session layer, and waits until the session is ready or
    /// over. Answers which; dropped before that, it ends what there is of one.
    pub(in crate::network) async fn open(self, stream: Connection) -> bool {
        let (sessions, id) = (self.sessions, self.session.id());
        let peer = self.peer().incarnation;
        let is_first = || {
            let table = sessions.table.lock();
            !table.handed.values().any(|handed| *handed == peer)
        };
        if timeout(END_WITHIN, sessions.until(is_first)).await.is_err() {
            tracing::debug!(session = %id, "the session before this one doesn't end");
        }
        let mut stage = self.session.stage();
        if sessions.hand_over(&self.session, stream).is_none() {
            return false;
        }
        let opened = stage.wait_for(|stage| *stage != Stage::Opening).await;
        opened.is_ok_and(|stage| *stage == Stage::Ready)
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        let mut table = self.sessions.table.lock();
        if *self.session.stage().borrow() != Stage::Ready {
            self.sessions.end_in(&mut table, self.session.id());
        }
    }
}

impl Sessions {
    /// Hands a session that was taken in to the session layer; none if it is over already.
    fn hand_over(&self, session: &Session, stream: Connection) -> Option<()> {
        let mut table = self.table.lock();
        if !table.sessions.contains_key(&session.id()) {
            return None;
        }
        let stream = Box::new(SessionStream {
            session: session.id(),
            stream,
            switch: session.switch().clone(),
            busy_poll: self.busy_poll,
        });
        // The end that decides is the server there, whoever has dialed.
        let is_server = self.me.decides_over(session.peer());
        let server = table.server.as_ref()?;
        server
            .cast(NodeServerMessage::ConnectionOpenedExternal { stream, is_server })
            .ok()?;
        let peer = session.peer().incarnation;
        table.handed.insert(session.id(), peer);
        Some(())
    }
}
