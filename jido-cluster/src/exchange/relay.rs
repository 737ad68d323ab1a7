//! Asks that are passed on to a node that their asker has no session with.
//!
//! One hop: what is passed on says so, and whoever gets it handles it or refuses it. It
//! keeps its request, its time and its place among the others of its key; it counts against
//! the budgets of both ways; and its answer comes back as it was given.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_utils::CachePadded;
use jido_core::{AnswerStatus, Ask, Executed, Incarnation, RequestTry, Route};
use parking_lot::{RwLock, RwLockReadGuard};

use super::{AskError, Exchange, Question};
use crate::error::Error;
use crate::placement;
use crate::runtime::{self, SHARDS};
use crate::telemetry::{Trace, Whose};
use crate::transport::SendError;

/// Peers that have asked by way of others during their session with this node, as it is seen
/// here: they see it over, and what still comes by it may have been overtaken by further tries.
///
/// Each thread looks at a copy of its own, since each ask is looked up.
#[derive(Debug, Default)]
pub(super) struct Overtaken([CachePadded<RwLock<BTreeSet<Incarnation>>>; SHARDS]);

impl Overtaken {
    pub(super) fn is_by_way_of_others(&self, peer: Incarnation) {
        self.change(|peers| peers.insert(peer));
    }

    /// Takes no ask of such a peer for the first try of its request. The ask is handed over
    /// while what is given is kept, so that none that is passed on comes in between.
    pub(super) fn note(
        &self,
        peer: Incarnation,
        ask: &mut Ask,
    ) -> RwLockReadGuard<'_, BTreeSet<Incarnation>> {
        let peers = self.0[runtime::shard()].read();
        if peers.contains(&peer) {
            ask.request = ask.request.map(overtaken);
        }
        peers
    }

    /// Its session is over, or another begins.
    pub(super) fn forget(&self, peer: Incarnation) {
        self.change(|peers| peers.remove(&peer));
    }

    /// Changes all copies, while no ask is handed over.
    fn change(&self, change: impl Fn(&mut BTreeSet<Incarnation>) -> bool) {
        let mut copies: Vec<_> = self.0.iter().map(|copy| copy.write()).collect();
        for peers in &mut copies {
            change(peers);
        }
    }
}

/// A further try may reach the owner before this one does, by another way: this one goes on
/// when the session there ends.
fn overtaken(request: RequestTry) -> RequestTry {
    RequestTry {
        first: false,
        ..request
    }
}

impl Exchange {
    /// Passes an ask on. When this returns it is on its way, in the order of its key.
    pub(super) fn pass_on(&self, from: Incarnation, to: Incarnation, ask: Ask) {
        let mut port = self.port(from, ask.correlation);
        let view = self.members.view();
        let by = view
            .get(to)
            .filter(|member| member.managers.contains(&ask.manager));
        let (Some(by), Some(me)) = (by, view.get(self.members.me())) else {
            return port.refused(AnswerStatus::Unreachable, None, Bytes::new());
        };
        let (by, me) = (by.name.clone(), me.name.clone());
        drop(view);
        let budget = Duration::from_millis(u64::from(ask.budget_ms));
        let key = ask.key.as_ref().map(|key| key.as_str());
        let trace = Trace::of_peer(ask.trace).pass_on(Whose {
            manager: &ask.manager,
            node: &me,
            key: key.unwrap_or_default(),
        });
        let question = Question {
            operation: ask.operation,
            // The same for all asks of a key, so that they keep their order.
            lane: key.map_or(0, |key| placement::key_hash(0, key)),
            key: ask.key,
            verify: ask.verify,
            request: ask.request.map(overtaken),
            trace: trace.context().cloned(),
            budget,
            relay: 0,
            payload: ask.payload,
        };
        let route = Route::PassedOn { from };
        match self.send_ask(to, route, &ask.manager, question) {
            Ok(answer) => {
                port.begin();
                runtime::spawn(async move {
                    // After its time the asker has given up. Without an answer the port
                    // says that the ask may have been executed.
                    match tokio::time::timeout(budget, answer).await {
                        Ok(Some(answer)) => {
                            trace.ended(match answer.status {
                                AnswerStatus::Ok => "ok",
                                AnswerStatus::Failed => "failed",
                                _ => "refused",
                            });
                            port.pass_back(answer, by);
                        }
                        Ok(None) | Err(_) => trace.ended("unknown"),
                    }
                });
            }
            Err(error) => {
                trace.ended("refused");
                match error {
                    AskError::Overloaded => {
                        port.refused(AnswerStatus::Overloaded, None, Bytes::new());
                    }
                    AskError::Send(SendError::Unreachable) => {
                        port.refused(AnswerStatus::Unreachable, None, Bytes::new());
                    }
                    error => port.failed(&Error::from(error).with_executed(Executed::No)),
                }
            }
        }
    }
}
