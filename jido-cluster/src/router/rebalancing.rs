//! The leader looks for agents that run elsewhere than they are placed, and has them moved.

mod told;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::Guard;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jido_core::{
    Agent, AgentKey, Answer, AnswerStatus, Epoch, Executed, Incarnation, NodeName, Operation,
    Revision, decode_payload, encode_payload,
};
use parking_lot::Mutex;

use super::Router;
use super::attempt::interrupted;
use super::moving::{HandedOver, PAGE};
use super::request::timed_out;
use crate::delivery::Refusal;
use crate::environment::spread;
use crate::error::{Error, ErrorKind};
use crate::exchange::{AnswerPort, Question, Value};
use crate::rebalance::{Migration, Migrations, RebalancePlan, Rebalanced, plan};
use crate::runtime::{self, OwnedTask};
use told::Told;

/// How long a member is given to say what it runs, and an owner to hand one agent over.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many moves are under way at a time.
const CONCURRENCY: usize = 16;

/// How long a rebalance may take that nobody waits for.
const TRIGGERED: Duration = Duration::from_secs(60);

/// What is kept of rebalancing through all lives of a node.
#[derive(Debug, Default)]
pub(super) struct Rebalancer {
    /// Held while moves are planned and carried out. The key that was come to last.
    turn: tokio::sync::Mutex<Option<AgentKey>>,
    /// What this node did as the leader.
    done: Mutex<Migrations>,
}

impl Rebalancer {
    pub(super) fn done(&self) -> Migrations {
        *self.done.lock()
    }
}

/// A plan, and who its nodes are.
struct Planned {
    plan: RebalancePlan,
    nodes: BTreeMap<NodeName, Incarnation>,
}

impl<A: Agent> Router<A> {
    /// Rebalances again and again for as long as the task is kept; none where nobody wants that.
    pub(crate) fn rebalancing(self: &Arc<Self>) -> Option<OwnedTask> {
        let every = self.settings.rebalancing.interval?;
        let router = self.clone();
        Some(OwnedTask::spawn(async move {
            while !router.is_closed() {
                tokio::time::sleep(spread(&*router.core.environment, every)).await;
                if router
                    .leader()
                    .is_some_and(|(_, node)| node == router.core.incarnation)
                {
                    Box::pin(router.rebalance_here()).await;
                }
            }
        }))
    }

    /// The node of the smallest name among those that take the manager's keys.
    fn leader(&self) -> Option<(NodeName, Incarnation)> {
        let view = self.core.members.view();
        let first = view.takers(&self.settings.name).next();
        first.map(|(name, node)| (name.clone(), node))
    }

    /// Has the leader rebalance now, and waits for what comes of it.
    pub(crate) async fn rebalance(&self, timeout: Duration) -> Result<Rebalanced, Error> {
        let (Some(router), Some((_, leader))) = (self.me.upgrade(), self.leader()) else {
            let why = "no node that stays runs the manager";
            return Err(Error::new(ErrorKind::Unavailable, why));
        };
        if leader == self.core.incarnation {
            // In a task, so that it is not left half-way when nobody waits any more.
            let task = runtime::spawn(async move { Box::pin(router.rebalance_here()).await });
            return match tokio::time::timeout(timeout, task).await {
                Ok(Ok(rebalanced)) => Ok(rebalanced),
                Ok(Err(_)) => Err(interrupted()),
                Err(_) => Err(timed_out(timeout, Executed::Maybe)),
            };
        }
        let question = Question::of_node(Operation::Rebalance, timeout, Bytes::new());
        let answer = self.answer_of(leader, question, timeout).await?;
        match answer.status {
            AnswerStatus::Ok => decode_payload(&answer.payload)
                .map_err(|error| Error::new(ErrorKind::Incompatible, error.to_string())),
            _ => Err(unwelcome(&answer)),
        }
    }

    /// The same without waiting.
    pub(crate) fn trigger_rebalance(&self) {
        let Some(router) = self.me.upgrade() else {
            return;
        };
        runtime::spawn(async move {
            if let Err(error) = Box::pin(router.rebalance(TRIGGERED)).await {
                let manager = &router.settings.name;
                tracing::warn!(%manager, %error, "nobody tells what came of a rebalance");
            }
        });
    }

    /// Another node wants this one to rebalance.
    pub(super) fn rebalance_asked(&self, port: AnswerPort) {
        let Some(router) = self.me.upgrade() else {
            return;
        };
        runtime::spawn(async move {
            let rebalanced = Box::pin(router.rebalance_here()).await;
            port.ok(Epoch::ZERO, Revision::ZERO, &Value(&rebalanced));
        });
    }

    /// Plans what is to be moved and carries out as much of it as one time may.
    async fn rebalance_here(&self) -> Rebalanced {
        let mut last = self.rebalancer.turn.lock().await;
        let limit = self.settings.rebalancing.max_migrations;
        let mut planned = self.planned(last.as_ref(), limit).await;
        if planned.plan.moves.is_empty() && last.take().is_some() {
            planned = self.planned(None, limit).await;
        }
        let Planned { plan, nodes } = planned;
        *last = plan.moves.last().map(|migration| migration.key.clone());
        for node in &plan.unanswered {
            tracing::warn!(manager = %self.settings.name, %node, "a member did not say what it runs");
        }
        let moves = futures_util::stream::iter(plan.moves)
            .map(|migration| self.migrate(migration, &nodes))
            .buffer_unordered(CONCURRENCY);
        let migrations = moves
            .fold(Migrations::default(), |mut done, one| {
                done.add(one);
                std::future::ready(done)
            })
            .await;
        Rebalanced {
            by: self.core.name.clone(),
            migrations,
            more: plan.more,
        }
    }

    /// What is to be moved, as this node sees it.
    pub(crate) async fn rebalance_plan(&self, limit: usize) -> RebalancePlan {
        self.planned(None, limit).await.plan
    }

    /// Plans moves of keys after `after`.
    async fn planned(&self, after: Option<&AgentKey>, limit: usize) -> Planned {
        let view = Guard::into_inner(self.core.members.view());
        let name = &self.settings.name;
        let takers: BTreeMap<&NodeName, Incarnation> = view.takers(name).collect();
        // One that isn't well takes no keys, and what it runs is moved for just that reason.
        let mut nodes: BTreeMap<&NodeName, Incarnation> = view.staying(name).collect();
        nodes.extend(&takers);
        let nodes: BTreeMap<NodeName, Incarnation> = nodes
            .into_iter()
            .map(|(name, node)| (name.clone(), node))
            .collect();
        // One more than are moved tells whether there are more.
        let told: FuturesUnordered<_> = nodes
            .iter()
            .map(|(name, node)| async move {
                let keys = self
                    .misplaced_at(*node, after, limit.saturating_add(1))
                    .await;
                (name.clone(), keys)
            })
            .collect();
        let told: BTreeMap<NodeName, Option<Vec<AgentKey>>> = told.collect().await;
        let mut running = BTreeMap::new();
        let mut unanswered = Vec::new();
        for (name, keys) in told {
            match keys {
                Some(keys) => drop(running.insert(name, keys)),
                None => unanswered.push(name),
            }
        }
        let place = |key: &AgentKey| {
            let hash = self.key_hash(key.as_str());
            let taker = view.taker(name, key.as_str(), hash);
            taker.map(|(name, _)| name.clone())
        };
        let mut plan = plan(&running, place, |node| takers.contains_key(node), limit);
        plan.unanswered = unanswered;
        Planned { plan, nodes }
    }

    /// The first keys after `after` that a node runs and would place elsewhere; none if it does
    /// not tell.
    async fn misplaced_at(
        &self,
        node: Incarnation,
        after: Option<&AgentKey>,
        limit: usize,
    ) -> Option<Vec<AgentKey>> {
        if node == self.core.incarnation {
            return Some(self.misplaced_here(after, limit).await);
        }
        let mut keys: Vec<AgentKey> = Vec::new();
        loop {
            let wanted = (limit - keys.len()).min(PAGE);
            let payload = encode_payload(&(keys.last().or(after), wanted)).ok()?;
            let question = Question::of_node(Operation::Misplaced, PATIENCE, payload);
            let answer = self.answer_of(node, question, PATIENCE).await.ok()?;
            if answer.status != AnswerStatus::Ok {
                return None;
            }
            let page: Vec<AgentKey> = decode_payload(&answer.payload).ok()?;
            let is_last = page.len() < wanted;
            keys.extend(page.into_iter().take(wanted));
            if is_last || keys.len() >= limit {
                return Some(keys);
            }
        }
    }

    async fn answer_of(
        &self,
        node: Incarnation,
        question: Question,
        timeout: Duration,
    ) -> Result<Answer, Error> {
        let exchange = &self.core.exchange;
        let asked = exchange.ask(node, &self.settings.name, question);
        let asked = asked.map_err(|_| interrupted().with_executed(Executed::No))?;
        match tokio::time::timeout(timeout, asked).await {
            Ok(answer) => answer.ok_or_else(interrupted),
            Err(_) => Err(timed_out(timeout, Executed::Maybe)),
        }
    }

    /// Has one agent moved, and tells of it.
    async fn migrate(
        &self,
        migration: Migration,
        nodes: &BTreeMap<NodeName, Incarnation>,
    ) -> Migrations {
        let told = Told {
            manager: self.settings.name.as_str(),
            migration: &migration,
        };
        told.start();
        let ended = match (nodes.get(&migration.from), nodes.get(&migration.to)) {
            (Some(from), Some(to)) => self.hand_over_at(*from, &migration.key, *to).await,
            _ => Ok(HandedOver::NotAMember),
        };
        let done = match ended {
            Ok(ended) => told.ended(ended),
            Err(error) => told.failed(&error),
        };
        self.rebalancer.done.lock().add(done);
        self.settings.metrics.migrated(&done);
        done
    }

    async fn hand_over_at(
        &self,
        from: Incarnation,
        key: &AgentKey,
        to: Incarnation,
    ) -> Result<HandedOver, Error> {
        if from == self.core.incarnation {
            let gone = || Refusal::Stopped.into_error();
            let (router, key) = (self.me.upgrade().ok_or_else(gone)?, key.clone());
            // As where another node is asked: it goes on also when it takes longer.
            let ended = runtime::spawn(async move { Box::pin(router.hand_over(&key, to)).await });
            return match tokio::time::timeout(PATIENCE, ended).await {
                Ok(Ok(ended)) => ended,
                // It panicked, or the runtime ends.
                Ok(Err(_)) => Err(interrupted()),
                Err(_) => Err(timed_out(PATIENCE, Executed::Maybe)),
            };
        }
        let question = Question {
            payload: Bytes::copy_from_slice(&to.0.to_be_bytes()),
            ..self.question(key, Operation::HandOver, true, PATIENCE)
        };
        let answer = self.answer_of(from, question, PATIENCE).await?;
        let ended = answer.payload.first().copied();
        let ended = ended.filter(|_| answer.status == AnswerStatus::Ok);
        ended
            .and_then(HandedOver::from_u8)
            .ok_or_else(|| unwelcome(&answer))
    }
}

/// An answer that is not the one that was asked for.
fn unwelcome(answer: &Answer) -> Error {
    match Refusal::from_answer(answer) {
        Ok(refusal) => refusal.into_error(),
        Err(error) => error,
    }
}
