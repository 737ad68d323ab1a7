//! All sessions of this node: which are opening, which peers are up.
//!
//! The session layer's events drive it, one after the other. There may be two
//! sessions with a peer for a moment, when both ends dial; the session layer
//! elects one. At most one session of a peer is up here.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use jido_core::Incarnation;
use parking_lot::{Mutex, MutexGuard};
use ractor::ActorRef;
use ractor_cluster::NodeServerMessage;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::frame::{self, FrameError, SessionId};
use super::gateway;
use super::hello::Hello;
use super::link::Link;
use super::session::{Session, Stage};
use super::stream::{SessionStream, Switch};
use crate::transport::{Inbox, SendError};

/// The sessions of this node.
///
/// Locks are taken in this order: the table, then a session's inbound. Calls to
/// the inbox are made under either, so an inbox must not call back into what
/// takes the table; sending takes neither.
pub(super) struct Sessions {
    me: Hello,
    inbox: Arc<dyn Inbox>,
    table: Mutex<Table>,
    /// The peers that are up. Read for every envelope, so without a lock.
    links: ArcSwap<BTreeMap<Incarnation, Arc<Link>>>,
    /// Counts changes of what is up or open.
    changes: watch::Sender<u64>,
    unknown_frames: AtomicU64,
}

#[derive(Default)]
struct Table {
    server: Option<ActorRef<NodeServerMessage>>,
    sessions: BTreeMap<SessionId, Arc<Session>>,
    up: BTreeMap<Incarnation, SessionId>,
    is_closed: bool,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("me", &self.me)
            .finish_non_exhaustive()
    }
}

impl Sessions {
    pub(super) fn new(me: Hello, inbox: Arc<dyn Inbox>) -> Self {
        Self {
            me,
            inbox,
            table: Mutex::default(),
            links: ArcSwap::default(),
            changes: watch::Sender::new(0),
            unknown_frames: AtomicU64::new(0),
        }
    }

    /// Who this node is.
    pub(super) fn me(&self) -> &Hello {
        &self.me
    }

    /// How many sessions there are, whether ready or opening.
    pub(super) fn count(&self) -> usize {
        self.table.lock().sessions.len()
    }

    pub(super) fn is_up(&self, incarnation: Incarnation) -> bool {
        self.links.load().contains_key(&incarnation)
    }

    /// The peer that is up and says that it accepts at an address.
    pub(super) fn up_at(&self, address: &str) -> Option<Incarnation> {
        let links = self.links.load();
        links
            .iter()
            .find(|(_, link)| link.peer().address == address)
            .map(|(&peer, _)| peer)
    }

    /// Waits until a peer is not up, or no longer.
    pub(super) async fn down(&self, incarnation: Incarnation) {
        self.until(|| !self.is_up(incarnation)).await;
    }

    async fn until(&self, reached: impl Fn() -> bool) {
        let mut changes = self.changes.subscribe();
        // The sender lives as long as `self`, so that this fails never.
        while !reached() && changes.changed().await.is_ok() {}
    }

    /// Sends an envelope to a peer that is up.
    pub(super) fn send(
        &self,
        to: Incarnation,
        lane: u64,
        envelope: Bytes,
    ) -> Result<(), SendError> {
        self.links
            .load()
            .get(&to)
            .ok_or(SendError::Unreachable)?
            .send(lane, envelope)
    }

    /// Takes the actor that new connections are handed to.
    pub(super) fn served_by(&self, server: ActorRef<NodeServerMessage>) {
        self.table.lock().server = Some(server);
    }

    /// Hands a connection to the session layer. Returns whether a session came of
    /// it; dropped before that, it ends what there is of one.
    pub(super) async fn open(
        &self,
        stream: TcpStream,
        id: SessionId,
        peer: Hello,
        is_server: bool,
    ) -> bool {
        let switch = Switch::default();
        let session = Arc::new(Session::new(id, peer, switch.clone()));
        let mut stage = session.stage();
        let Some(server) = self.register(session) else {
            return false;
        };
        let _opening = Opening { sessions: self, id };
        let stream = Box::new(SessionStream {
            session: id,
            stream,
            switch,
        });
        if server
            .cast(NodeServerMessage::ConnectionOpenedExternal { stream, is_server })
            .is_err()
        {
            return false;
        }
        stage
            .wait_for(|stage| *stage != Stage::Opening)
            .await
            .is_ok_and(|stage| *stage == Stage::Ready)
    }

    fn register(&self, session: Arc<Session>) -> Option<ActorRef<NodeServerMessage>> {
        let mut table = self.table.lock();
        if table.is_closed || table.sessions.contains_key(&session.id()) {
            return None;
        }
        let server = table.server.clone()?;
        table.sessions.insert(session.id(), session);
        Some(server)
    }

    /// Whether a session is known, ready or opening.
    pub(super) fn knows(&self, id: SessionId) -> bool {
        self.table.lock().sessions.contains_key(&id)
    }

    /// The session layer says that a session is ready. `node` is the number that
    /// it gave the other end, `shown` the name that the other end gave it.
    pub(super) fn ready(&self, id: SessionId, node: u64, shown: Option<&str>) {
        let mut table = self.table.lock();
        let Some(session) = table.sessions.get(&id).cloned() else {
            return;
        };
        if table.is_closed {
            return session.switch().cut();
        }
        let peer = session.peer();
        if shown != Some(peer.session_name().as_str()) || peer.cluster != self.me.cluster {
            tracing::warn!(session = %id, peer = %peer.name, "a peer is not who it said it was: its session is ended");
            return session.switch().cut();
        }
        let Some(gateways) = gateway::stand_ins(&peer.name, peer.incarnation, node) else {
            tracing::warn!(session = %id, peer = %peer.name, "a peer has no gateways: its session is ended");
            return session.switch().cut();
        };
        // The session layer elected this session over one that was up.
        if let Some(older) = table.up.get(&peer.incarnation).copied() {
            self.end_in(&mut table, older);
        }
        let link = Link::open(peer.peer(), id, session.switch(), gateways);
        table.up.insert(peer.incarnation, id);
        self.change_links(|links| {
            links.insert(peer.incarnation, Arc::new(link));
        });
        tracing::info!(session = %id, peer = %peer.name, incarnation = %peer.incarnation, "a peer is up");
        // With the link in place, so that the inbox can answer at once.
        session.ready(&*self.inbox);
        self.changed();
    }

    /// Ends a session, if it is still there, and tells the inbox if it was up.
    pub(super) fn end(&self, id: SessionId) {
        self.end_in(&mut self.table.lock(), id);
    }

    /// Ends all sessions.
    pub(super) fn end_all(&self) {
        let mut table = self.table.lock();
        while let Some(id) = table.sessions.keys().next().copied() {
            self.end_in(&mut table, id);
        }
    }

    fn end_in(&self, table: &mut MutexGuard<'_, Table>, id: SessionId) {
        let Some(session) = table.sessions.remove(&id) else {
            return;
        };
        session.end();
        let peer = session.peer();
        if table.up.get(&peer.incarnation) == Some(&id) {
            table.up.remove(&peer.incarnation);
            // Before the inbox hears of it: who asks again then finds no way.
            self.change_links(|links| {
                links.remove(&peer.incarnation);
            });
            tracing::info!(session = %id, peer = %peer.name, incarnation = %peer.incarnation, "a peer is down");
            self.inbox.peer_down(peer.incarnation);
        }
        self.changed();
    }

    /// Takes no new sessions, says goodbye to all peers, and waits until each has
    /// got what was sent to it and ended its session.
    pub(super) async fn say_goodbye(&self) {
        let links = {
            let mut table = self.table.lock();
            table.is_closed = true;
            // From here on nothing is taken that would come after the goodbye.
            self.links.swap(Arc::default())
        };
        for link in links.values() {
            link.say_goodbye();
        }
        self.until(|| self.table.lock().up.is_empty()).await;
    }

    /// Takes what a gateway got.
    pub(super) fn receive(&self, bytes: Bytes) {
        let session = |id| self.table.lock().sessions.get(&id).cloned();
        match frame::read(bytes) {
            // Frames of a session that has ended are late, and lost with it.
            Ok((id, content)) => {
                if let Some(session) = session(id) {
                    session.receive(content, &*self.inbox);
                }
            }
            Err((id, error)) => match id.and_then(session) {
                Some(session) => session.refuse(error),
                None => self.refuse_unknown(error),
            },
        }
    }

    /// Tells of a frame that doesn't even say which session it came through; not
    /// of each one, since their number is the sender's to choose.
    fn refuse_unknown(&self, error: FrameError) {
        let count = self.unknown_frames.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            tracing::warn!(%error, count, "frames can't be read: they are dropped");
        }
    }

    /// Changes what is up. Only called with the table locked.
    fn change_links(&self, change: impl FnOnce(&mut BTreeMap<Incarnation, Arc<Link>>)) {
        let mut links = BTreeMap::clone(&self.links.load());
        change(&mut links);
        self.links.store(Arc::new(links));
    }

    fn changed(&self) {
        self.changes
            .send_modify(|changes| *changes = changes.wrapping_add(1));
    }
}

/// A session that is not ready yet, and is ended if nobody waits for it any more.
struct Opening<'a> {
    sessions: &'a Sessions,
    id: SessionId,
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        let mut table = self.sessions.table.lock();
        let is_ready = |session: &Arc<Session>| *session.stage().borrow() == Stage::Ready;
        if !table.sessions.get(&self.id).is_some_and(is_ready) {
            self.sessions.end_in(&mut table, self.id);
        }
    }
}
