//! Asks that other nodes make of this one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jido_core::{
    Agent, AgentKey, AnswerStatus, Ask, EnvelopeError, Epoch, Incarnation, Operation, Renewal,
    Revision, decode_payload,
};

use super::{Router, Target};
use crate::activation::Errand;
use crate::delivery::{Delivery, Refusal, ReplyTo};
use crate::exchange::{AnswerPort, AskHandler, Value};
use crate::local::Found;
use crate::placement::PlacementPolicy;
use crate::runtime;
use crate::telemetry::Trace;

impl<A: Agent> AskHandler for Router<A> {
    fn ask(&self, from: Incarnation, ask: Ask, port: AnswerPort) {
        match (ask.operation, &ask.key) {
            (Operation::Call | Operation::Cast, Some(key)) => {
                let key = key.clone();
                self.deliver_asked(&key, ask, port);
            }
            (Operation::Stats, _) => {
                port.ok(Epoch::ZERO, Revision::ZERO, &Value(&self.stats_here()));
            }
            (Operation::Lookup, Some(key)) => {
                if self.local.contains(key.as_str()) {
                    port.ok(Epoch::ZERO, Revision::ZERO, &Bytes::new());
                } else {
                    port.refused(AnswerStatus::NotOwner, None, Bytes::new());
                }
            }
            (Operation::Activate, Some(key)) => self.run_asked(key, &ask, Errand::Activate, port),
            (Operation::Stop, Some(key)) => self.run_asked(key, &ask, Errand::Hibernate, port),
            (Operation::Settle, Some(key)) => self.run_asked(key, &ask, Errand::Settle, port),
            (Operation::Delete, Some(key)) => self.run_asked(key, &ask, Errand::Delete, port),
            (Operation::Attach, Some(key)) => self.attach_asked(key, from, &ask, port),
            (Operation::Detach, Some(key)) => {
                self.detached(key, from);
                port.ok(Epoch::ZERO, Revision::ZERO, &Bytes::new());
            }
            (Operation::HandOver, Some(key)) => self.hand_over_asked(key, &ask, port),
            (Operation::Misplaced, _) => self.misplaced_asked(&ask, port),
            (Operation::Rebalance, _) => self.rebalance_asked(port),
            (Operation::Renew, _) => match Renewal::decode(ask.payload) {
                Ok(renewal) => {
                    let missing = self.renewed(from, renewal);
                    port.ok(Epoch::ZERO, Revision::ZERO, &missing.encode());
                }
                Err(error) => unreadable(port, &error),
            },
            // The envelope's decoder lets no operation on an agent through without
            // its key.
            (_, None) => port.refused(AnswerStatus::Incompatible, None, Bytes::from("no key")),
        }
    }

    fn placement(&self) -> Arc<dyn PlacementPolicy> {
        self.settings.placement.clone()
    }

    fn peer_down(&self, peer: Incarnation) {
        self.forget_member(peer);
    }

    fn suspect(&self) {
        if self.takes_over_on_disconnect() {
            self.suspicion.arise();
        }
    }
}

fn unreadable(port: AnswerPort, error: &EnvelopeError) {
    port.refused(
        AnswerStatus::Incompatible,
        None,
        Bytes::from(error.to_string()),
    );
}

impl<A: Agent> Router<A> {
    fn attach_asked(&self, key: &AgentKey, from: Incarnation, ask: &Ask, port: AnswerPort) {
        match Renewal::decode(ask.payload.clone()) {
            Ok(renewal) => {
                // Before it runs, so that it does not have to make room at once. Should
                // the agent not be here, it has no effect, and is forgotten by itself.
                self.attached(key, from, &renewal);
                self.run_asked(key, ask, Errand::Attach, port);
            }
            Err(error) => unreadable(port, &error),
        }
    }

    fn deliver_asked(&self, key: &AgentKey, ask: Ask, port: AnswerPort) {
        // The shortest way, as for callers of this node: an activation that runs here.
        let mut asked = Some((ask, port));
        let here = self.local.find(key.as_str(), |local| {
            let (ask, port) = asked.take()?;
            let delivery = self.asked_delivery(ask, port)?;
            local.deliver(delivery, self.settings.mailbox_limit).err()
        });
        if let Found::Running(Some(back)) = here {
            return self.deliver_here(key, back);
        }
        let Some((ask, port)) = asked else {
            return;
        };
        let admitted = match here {
            Found::Parked => Ok(()),
            Found::Running(_) | Found::Nothing => self.admits(key, ask.verify),
        };
        match admitted {
            Ok(()) => self.deliver_admitted(key, ask, port),
            Err(hint) => self.answer_elsewhere(key, ask, hint, port),
        }
    }

    /// Answers an ask that is neither for an activation here nor for a key placed
    /// here. Should storage say all the same that this node owns the agent (a claim
    /// that could not be given back), nobody else can take it: it runs here again.
    fn answer_elsewhere(
        &self,
        key: &AgentKey,
        mut ask: Ask,
        hint: Option<Incarnation>,
        port: AnswerPort,
    ) {
        // A later session may overtake it while storage is asked.
        if let Some(request) = &mut ask.request {
            request.first = false;
        }
        let Some(router) = self.me.upgrade() else {
            return;
        };
        let key = key.clone();
        runtime::spawn(async move {
            match router.admits_as_owner(&key, hint).await {
                Ok(()) => router.deliver_admitted(&key, ask, port),
                Err(refusal) => refusal.answer(port),
            }
        });
    }

    fn deliver_admitted(&self, key: &AgentKey, ask: Ask, port: AnswerPort) {
        if let Some(delivery) = self.asked_delivery(ask, port) {
            self.deliver_here(key, delivery);
        }
    }

    /// An ask as a message for its agent; none where that can't be read, which is answered.
    fn asked_delivery(&self, ask: Ask, port: AnswerPort) -> Option<Delivery<A>> {
        let message = match decode_payload(&ask.payload) {
            Ok(message) => message,
            Err(error) => {
                let why = Bytes::from(error.to_string());
                port.refused(AnswerStatus::Incompatible, None, why);
                return None;
            }
        };
        let budget = Duration::from_millis(u64::from(ask.budget_ms));
        let deadline = self.core.deadlines.now() + budget;
        let trace = Trace::of_peer(ask.trace);
        let cast = ask.operation == Operation::Cast;
        let reply = ReplyTo::Peer(Box::new(port));
        Some(Delivery::new(
            message,
            cast,
            ask.request,
            deadline,
            reply,
            trace,
        ))
    }

    /// Whether this node answers for a key that it is asked about; if not, who may.
    fn admits(&self, key: &AgentKey, verify: bool) -> Result<(), Option<Incarnation>> {
        if self.local.contains(key.as_str()) {
            return Ok(());
        }
        match self.target(key.as_str(), self.key_hash(key.as_str()), verify) {
            Target::Here => Ok(()),
            Target::There { node, .. } => Err(Some(node)),
            Target::Nowhere => Err(None),
        }
    }

    /// Whether storage says that this node owns an agent which it does not answer for.
    async fn admits_as_owner(
        &self,
        key: &AgentKey,
        hint: Option<Incarnation>,
    ) -> Result<(), Refusal> {
        match self.owns(key).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refusal::NotOwner { hint }),
            // Who is told of may answer all the same.
            Err(_) if hint.is_some() => Err(Refusal::NotOwner { hint }),
            Err(error) => Err(Refusal::unsettled(error.to_string())),
        }
    }

    fn run_asked(&self, key: &AgentKey, ask: &Ask, errand: Errand, port: AnswerPort) {
        let runs = self.local.contains(key.as_str());
        if errand == Errand::Hibernate && !runs {
            // Nothing to stop here; whoever asks looks further.
            return port.refused(AnswerStatus::NotOwner, None, Bytes::new());
        }
        let admitted = self.admits(key, ask.verify);
        let Some(router) = self.me.upgrade() else {
            return;
        };
        let key = key.clone();
        let trace = Trace::of_peer(ask.trace.clone());
        runtime::spawn(async move {
            let run = async {
                if let Err(hint) = admitted {
                    router.admits_as_owner(&key, hint).await?;
                }
                router.run_here(&key, errand, &trace).await
            };
            match run.await {
                Ok(()) => port.ok(Epoch::ZERO, Revision::ZERO, &Bytes::new()),
                Err(refusal) => refusal.answer(port),
            }
        });
    }
}
