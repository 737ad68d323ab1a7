//! Sessions as the failure detector looks at them.

use std::time::Duration;

use tokio::sync::watch;

use super::super::counters::count;
use super::super::detector::Seen;
use super::super::frame::SessionId;
use super::Sessions;

impl Sessions {
    /// Tells whenever a session came or went.
    pub(in crate::network) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// All sessions that are up, as the failure detector looks at them.
    pub(in crate::network) fn seen(&self) -> Vec<Seen> {
        let table = self.table.lock();
        let up = table.up.values().filter_map(|id| table.sessions.get(id));
        up.map(|session| Seen {
            session: session.id(),
            heard: session.switch().heard(),
            peer_waits: session.peer().waits(),
        })
        .collect()
    }

    /// Sends a heartbeat by a session, if it is up.
    pub(in crate::network) fn beat(&self, id: SessionId) {
        let peer = {
            let table = self.table.lock();
            table
                .sessions
                .get(&id)
                .map(|session| session.peer().incarnation)
        };
        if let Some(link) = peer.and_then(|peer| self.links.load().get(&peer).cloned()) {
            count(&self.counters.heartbeats_sent);
            link.beat();
        }
    }

    /// Ends a session by which nothing has come for so long.
    pub(in crate::network) fn fell_silent(&self, id: SessionId, silent: Duration) {
        let mut table = self.table.lock();
        if let Some(session) = table.sessions.get(&id) {
            tracing::warn!(session = %id, peer = %session.peer().name, ?silent, "a peer is unreachable: its session is ended");
            count(&self.counters.fell_silent);
        }
        self.end_in(&mut table, id);
    }
}
