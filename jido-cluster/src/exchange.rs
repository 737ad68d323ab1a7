//! Asks and answers over a transport.
//!
//! Every ask gets an answer: from the asked node, or from here when its session
//! ends. What is open to a peer is bounded in number and in bytes, since queues
//! below are not.

mod answer_port;
mod budget;
mod pending;
mod question;
mod relay;
mod scratch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use jido_core::{
    AnswerStatus, Ask, Envelope, EnvelopeError, Incarnation, Labels, ManagerName, Notice, Route,
};
use parking_lot::Mutex;

use crate::delivery::Refusal;
use crate::error::{Error, ErrorKind};
use crate::members::Members;
use crate::placement::PlacementPolicy;
use crate::transport::{Inbox, Peer, SendError, Transport};

pub(crate) use answer_port::AnswerPort;
use answer_port::WaysBack;
use budget::Budgets;
pub(crate) use budget::LANES;
use pending::Pending;
pub(crate) use pending::PendingAnswer;
pub(crate) use question::{Payload, Question, Value};
use relay::Overtaken;

/// Notices keep their order.
const NOTICE_LANE: u64 = 0;

/// How often a node that leaves looks whether all is answered.
const SETTLED_CHECK: Duration = Duration::from_millis(2);

/// Why an ask was not sent. It was not executed.
#[derive(Debug)]
pub(crate) enum AskError {
    Send(SendError),
    Overloaded,
    /// The message does not serialize.
    Encode(jido_core::Error),
}

impl From<AskError> for Error {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Send(SendError::Unreachable) => {
                Self::new(ErrorKind::Unavailable, "the node is out of reach")
            }
            AskError::Send(error) => Self::new(ErrorKind::InvalidInput, error.to_string()),
            AskError::Overloaded => Refusal::Overloaded.into_error(),
            AskError::Encode(error) => error.into(),
        }
    }
}

/// The asks that are under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// To peers.
    pub(crate) open: usize,
    /// The bytes of their messages.
    pub(crate) open_bytes: u64,
    /// From peers.
    pub(crate) unanswered: usize,
}

/// Whoever takes the asks to one manager.
pub(crate) trait AskHandler: std::fmt::Debug + Send + Sync + 'static {
    /// Takes an ask. Never blocks; the port sees to it that an answer goes back.
    fn ask(&self, from: Incarnation, ask: Ask, port: AnswerPort);

    /// How the manager's keys are placed.
    fn placement(&self) -> Arc<dyn PlacementPolicy>;

    /// A peer is a member no longer.
    fn peer_down(&self, peer: Incarnation);
    /// Others may have taken agents over that run here.
    fn suspect(&self);
}

/// The asks and answers of one node.
#[derive(Debug)]
pub(crate) struct Exchange {
    transport: Arc<dyn Transport>,
    members: Arc<Members>,
    pending: Pending,
    budgets: Budgets,
    /// Changed with the lock held; read for every ask, so without it.
    handlers: ArcSwap<BTreeMap<ManagerName, Arc<dyn AskHandler>>>,
    changing: Mutex<()>,
    overtaken: Overtaken,
    ways: WaysBack,
}

impl Exchange {
    pub(crate) fn new(transport: Arc<dyn Transport>, members: Arc<Members>) -> Arc<Self> {
        Arc::new(Self {
            ways: WaysBack::new(&transport),
            transport,
            members,
            pending: Pending::default(),
            budgets: Budgets::default(),
            handlers: ArcSwap::default(),
            changing: Mutex::default(),
            overtaken: Overtaken::default(),
        })
    }

    /// Adds the manager of a name and tells the peers of it; false if there is one
    /// already.
    pub(crate) fn add_handler(&self, name: &ManagerName, handler: Arc<dyn AskHandler>) -> bool {
        let _changing = self.changing.lock();
        let mut handlers = BTreeMap::clone(&self.handlers.load());
        if handlers.contains_key(name) {
            return false;
        }
        self.members.places_by(name, handler.placement());
        handlers.insert(name.clone(), handler);
        self.handlers.store(Arc::new(handlers));
        self.serves(name, true);
        true
    }

    /// Removes a manager and tells the peers of it.
    pub(crate) fn remove_handler(&self, name: &ManagerName) {
        let _changing = self.changing.lock();
        let mut handlers = BTreeMap::clone(&self.handlers.load());
        if handlers.remove(name).is_some() {
            self.handlers.store(Arc::new(handlers));
            self.serves(name, false);
        }
    }

    /// Tells the peers that a manager's agents have all left this node. Asks for them
    /// are still answered.
    pub(crate) fn withdraw(&self, name: &ManagerName) {
        let _changing = self.changing.lock();
        self.serves(name, false);
    }

    fn serves(&self, manager: &ManagerName, serves: bool) {
        self.members.serves(self.members.me(), manager, serves);
        self.notify(&Notice::Serves {
            manager: manager.clone(),
            serves,
        });
    }

    /// Tells the peers what this node's own signals say of its health.
    pub(crate) fn health(&self, healthy: bool) {
        let _changing = self.changing.lock();
        self.members.health(self.members.me(), healthy);
        self.notify(&Notice::Health { healthy });
    }

    /// Sends an ask. When this returns it is on its way, in the order of its lane.
    pub(crate) fn ask<P: Payload>(
        &self,
        to: Incarnation,
        manager: &ManagerName,
        question: Question<P>,
    ) -> Result<PendingAnswer, AskError> {
        let me = self.members.me();
        let hop = self
            .members
            .view()
            .hop(me, to, question.lane, question.relay);
        let hop = hop.ok_or(AskError::Send(SendError::Unreachable))?;
        let route = match hop == to {
            true => Route::Direct,
            false => Route::PassOn { to },
        };
        self.send_ask(hop, route, manager, question)
    }

    fn send_ask<P: Payload>(
        &self,
        to: Incarnation,
        route: Route,
        manager: &ManagerName,
        question: Question<P>,
    ) -> Result<PendingAnswer, AskError> {
        let lane = question.lane % LANES;
        let ask = Ask {
            correlation: 0,
            operation: question.operation,
            verify: question.verify,
            route,
            budget_ms: u32::try_from(question.budget.as_millis()).unwrap_or(u32::MAX),
            manager: manager.clone(),
            key: question.key,
            request: question.request,
            trace: question.trace,
            payload: Bytes::new(),
        };
        let asked = scratch::with(|envelope| {
            ask.encode_into(envelope);
            let head = envelope.len();
            let written = question.payload.write(envelope);
            written.map_err(AskError::Encode)?;
            let spent = self.budgets.take(to, lane, envelope.len() - head);
            let answer = self.pending.open(to, spent.ok_or(AskError::Overloaded)?);
            Ask::correlate(envelope, answer.correlation());
            let sent = self.transport.send(to, lane, envelope);
            answer.sent(sent).map_err(AskError::Send)
        });
        // The session may have ended between the look-up and the send. What was pending
        // then has been answered before this ask was there, and what is kept of the peer
        // was forgotten before this ask began it anew.
        if !self.members.view().contains(to) {
            self.budgets.forget(to);
            if let Ok(answer) = &asked {
                self.pending.interrupt_one(answer.correlation());
            }
        }
        asked
    }

    /// Tells all peers something.
    pub(crate) fn notify(&self, notice: &Notice) {
        let view = self.members.view();
        for member in view.members() {
            self.tell(member.incarnation, notice);
        }
    }

    fn tell(&self, peer: Incarnation, notice: &Notice) {
        // A session that has just ended is followed by another, whose peer is told then, or by
        // none.
        let _ = self.transport.send(peer, NOTICE_LANE, &notice.encode());
    }

    /// This node has taken an agent over from a life that may go on, and that may have been back
    /// for a while by now: it hears of it at once, or as soon as there is a session with it.
    pub(crate) fn took_over(&self, from: Incarnation) {
        if self.members.took_over(from) {
            self.tell(from, &Notice::TookOver);
        }
    }

    /// Storage says that a node is dead. Its session may last, as that of one which is
    /// paused does, but nothing is sent to it or expected of it any more.
    pub(crate) fn died(&self, incarnation: Incarnation) {
        self.peer_down(incarnation);
    }

    /// Others may have taken agents over that run here, unnoticed.
    pub(crate) fn suspect(&self) {
        for handler in self.handlers.load().values() {
            handler.suspect();
        }
    }

    /// Waits until all asks that were taken are answered, and all that were made.
    pub(crate) async fn settled(&self) {
        while self.ways.unanswered() > 0 || !self.pending.is_empty() {
            tokio::time::sleep(SETTLED_CHECK).await;
        }
    }

    /// What is under way.
    pub(crate) fn load(&self) -> Load {
        Load {
            open: self.pending.len(),
            open_bytes: self.budgets.bytes(),
            unanswered: self.ways.unanswered(),
        }
    }

    fn incompatible(&self, to: Incarnation, correlation: u64, why: String) {
        let port = self.port(to, correlation);
        port.refused(AnswerStatus::Incompatible, None, Bytes::from(why));
    }

    /// The way back for an ask that was taken.
    fn port(&self, from: Incarnation, correlation: u64) -> AnswerPort {
        AnswerPort::new(self.ways.here(), from, correlation)
    }

    fn deliver_ask(&self, from: Incarnation, mut ask: Ask) {
        match ask.route {
            Route::Direct => {
                let _kept = self.overtaken.note(from, &mut ask);
                self.hand_over(from, from, ask);
            }
            Route::PassedOn { from: asker } => {
                if self.members.view().contains(asker) {
                    self.overtaken.is_by_way_of_others(asker);
                }
                self.hand_over(from, asker, ask);
            }
            Route::PassOn { to } => self.pass_on(from, to, ask),
        }
    }

    fn hand_over(&self, from: Incarnation, asker: Incarnation, ask: Ask) {
        match self.handlers.load().get(&ask.manager) {
            Some(handler) => {
                let port = self.port(from, ask.correlation);
                handler.ask(asker, ask, port);
            }
            None => self.incompatible(
                from,
                ask.correlation,
                format!("this node has no manager named {}", ask.manager),
            ),
        }
    }
}

impl Inbox for Exchange {
    fn peer_up(&self, peer: Peer) {
        tracing::info!(node = %peer.name, incarnation = %peer.incarnation, "node joined");
        // Under the lock, so that what is told here is not older than what is told
        // to all.
        let _changing = self.changing.lock();
        let incarnation = peer.incarnation;
        self.overtaken.forget(incarnation);
        self.members.joined(peer);
        let view = self.members.view();
        let me = view.get(self.members.me());
        let labels = me.map(|me| &me.labels);
        // First, so that no key is placed before its peers know of them.
        let mut notices: Vec<Notice> = labels
            .filter(|labels| **labels != Labels::default())
            .map(|labels| Notice::Labels(labels.clone()))
            .into_iter()
            .collect();
        let handlers = self.handlers.load();
        notices.extend(handlers.keys().map(|manager| Notice::Serves {
            manager: manager.clone(),
            serves: true,
        }));
        if me.is_some_and(|me| me.leaving) {
            notices.push(Notice::Leaving);
        }
        if me.is_some_and(|me| !me.healthy) {
            notices.push(Notice::Health { healthy: false });
        }
        if self.members.has_taken_from(incarnation) {
            notices.push(Notice::TookOver);
        }
        for notice in notices {
            self.tell(incarnation, &notice);
        }
    }

    fn peer_down(&self, incarnation: Incarnation) {
        if let Some(member) = self.members.view().get(incarnation) {
            tracing::info!(node = %member.name, %incarnation, "session with node ended");
        }
        self.members.left(incarnation);
        self.pending.interrupt(incarnation);
        self.budgets.forget(incarnation);
        self.overtaken.forget(incarnation);
        for handler in self.handlers.load().values() {
            handler.peer_down(incarnation);
        }
    }

    fn deliver(&self, from: Incarnation, envelope: Bytes) {
        match Envelope::decode(envelope) {
            Ok(Envelope::Ask(ask)) => self.deliver_ask(from, ask),
            Ok(Envelope::Answer(answer)) => self.pending.answer(from, answer),
            Ok(Envelope::Notice(Notice::Leaving)) => self.members.leaving(from),
            Ok(Envelope::Notice(Notice::TookOver)) => self.suspect(),
            Ok(Envelope::Notice(Notice::Health { healthy })) => self.members.health(from, healthy),
            Ok(Envelope::Notice(Notice::Labels(labels))) => self.members.labelled(from, labels),
            Ok(Envelope::Notice(Notice::Serves { manager, serves })) => {
                self.members.serves(from, &manager, serves);
            }
            Err(
                error @ EnvelopeError::Version {
                    ask: Some(correlation),
                    ..
                },
            ) => {
                self.incompatible(from, correlation, error.to_string());
            }
            Err(error) => {
                // Without a correlation number nobody can be answered; the asker's
                // own time-out ends the call.
                tracing::warn!(%from, %error, "an envelope was not readable");
            }
        }
    }
}
