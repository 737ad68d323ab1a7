//! All sessions of this node: which are opening, which peers are up.
//!
//! The session layer's events drive it, one after the other. There is at most one
//! session with a peer, ready or opening: the [handshake](super::handshake) sees to it.

mod opening;
mod watching;

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
use tokio::sync::watch;

pub(super) use self::opening::Opening;
use super::counters::{Counters, count};
use super::flaps::Flaps;
use super::frame::{self, Content, FrameError, SessionId};
use super::gateway;
use super::hello::Hello;
use super::link::Link;
use super::proof::Word;
use super::session::Session;
use super::stream::Switch;
use crate::environment::Environment;
use crate::transport::{Inbox, SendError};

/// The sessions of this node.
///
/// Locks are taken in this order: the table, then a session's inbound. Calls to
/// the inbox are made under either, so an inbox must not call back into what
/// takes the table; sending takes neither.
pub(super) struct Sessions {
    me: Hello,
    inbox: Arc<dyn Inbox>,
    environment: Arc<dyn Environment>,
    counters: Arc<Counters>,
    busy_poll: bool,
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
    /// Those that the session layer has, until it says that they are over.
    handed: BTreeMap<SessionId, Incarnation>,
    flaps: Flaps,
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
    pub(super) fn new(
        me: Hello,
        inbox: Arc<dyn Inbox>,
        environment: Arc<dyn Environment>,
        counters: Arc<Counters>,
        busy_poll: bool,
    ) -> Self {
        Self {
            me,
            inbox,
            environment,
            counters,
            busy_poll,
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

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(super) fn environment(&self) -> &dyn Environment {
        &*self.environment
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
        envelope: &[u8],
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

    /// Takes in a session that is about to open, unless there is to be none. The end that
    /// decides refuses it while it has another one with the peer, or if those don't last; the other
    /// end gives its own up.
    pub(super) fn take_in(&self, id: SessionId, peer: Hello) -> Result<Opening<'_>, Word> {
        let mut table = self.table.lock();
        if table.is_closed || table.server.is_none() {
            return Err(Word::Closing);
        }
        if table.sessions.contains_key(&id) {
            return Err(Word::Known);
        }
        let with_peer = |(_, session): &(&SessionId, &Arc<Session>)| {
            session.peer().incarnation == peer.incarnation
        };
        let other = table.sessions.iter().find(with_peer).map(|(id, _)| *id);
        match (other, self.me.decides_over(&peer)) {
            (Some(_), true) => return Err(Word::Known),
            (Some(other), false) => self.end_in(&mut table, other),
            (None, true) => {
                let now = self.environment.elapsed();
                let pause = table.flaps.pause(peer.incarnation, now);
                if !pause.is_zero() {
                    tracing::warn!(peer = %peer.name, ?pause, "sessions with a peer don't last: it is left alone for a while");
                    return Err(Word::Later);
                }
            }
            (None, false) => {}
        }
        let session = Arc::new(Session::new(id, peer, Switch::default()));
        table.sessions.insert(id, session.clone());
        Ok(Opening {
            sessions: self,
            session,
        })
    }

    /// The session layer says that it is done with a session.
    pub(super) fn ended(&self, id: SessionId) {
        let mut table = self.table.lock();
        table.handed.remove(&id);
        self.end_in(&mut table, id);
        drop(table);
        self.changed();
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
        if shown != Some(peer.session_name().as_str()) {
            tracing::warn!(session = %id, peer = %peer.name, "a peer is not who it said it was: its session is ended");
            return session.switch().cut();
        }
        let Some(gateways) = gateway::stand_ins(&peer.name, peer.incarnation, node) else {
            tracing::warn!(session = %id, peer = %peer.name, "a peer has no gateways: its session is ended");
            return session.switch().cut();
        };
        let link = Link::open(
            peer.peer(),
            id,
            session.switch(),
            gateways,
            self.environment.clone(),
        );
        table.up.insert(peer.incarnation, id);
        self.change_links(|links| {
            links.insert(peer.incarnation, Arc::new(link));
        });
        count(&self.counters.sessions);
        tracing::info!(session = %id, peer = %peer.name, incarnation = %peer.incarnation, "a peer is up");
        // With the link in place, so that the inbox can answer at once.
        session.ready(&*self.inbox);
        self.changed();
    }

    /// Ends all sessions.
    pub(super) fn end_all(&self) {
        let mut table = self.table.lock();
        // Those of a session layer that has ended are never told to be over.
        table.handed.clear();
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
            count(&self.counters.ended);
            tracing::info!(session = %id, peer = %peer.name, incarnation = %peer.incarnation, "a peer is down");
            self.inbox.peer_down(peer.incarnation);
            if !session.said_goodbye() && !table.is_closed {
                let now = self.environment.elapsed();
                table.flaps.lost(peer.incarnation, now);
            }
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
                if matches!(content, Content::Heartbeat) {
                    count(&self.counters.heartbeats_received);
                }
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
