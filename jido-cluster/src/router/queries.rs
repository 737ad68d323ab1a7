//! Who owns an agent, which agents there are, and how many run where.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jido_core::{
    Agent, AgentKey, Answer, AnswerStatus, Executed, Incarnation, NodeName, Operation,
    decode_payload,
};
use jido_storage::{AgentRecord, Cursor, DirectoryPage, DirectoryQuery, NodeState};

use super::Router;
use super::attempt::interrupted;
use super::errands::errand_answer;
use super::request::in_time;
use crate::error::{Error, ErrorKind};
use crate::exchange::{AskError, Question};
use crate::rebalance::Migrations;
use crate::transport::SendError;

/// Where an agent is and where it ought to be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ownership {
    /// The node that the key is placed on by the members as this node sees them;
    /// none while all of them are leaving.
    pub placed: Option<NodeName>,
    /// The live member that owns the agent; none when it is dormant, or when its
    /// owner is not a member any more.
    pub owner: Option<NodeName>,
}

/// How many agents of a manager are active: running, or parked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// By node, for every member that answered.
    pub by_node: BTreeMap<NodeName, u64>,
    /// In total.
    pub total: u64,
    /// How many of them are parked.
    pub parked: u64,
    /// How many moves these nodes had made, as [leaders](crate::rebalance), since they started.
    pub migrations: Migrations,
}

/// What those members told who keep their records in another storage.
pub(crate) struct Apart {
    /// One that runs the agent.
    pub(crate) node: Option<Incarnation>,
    /// Whether all of them told.
    pub(crate) all_told: bool,
}

/// A page of a manager's agents.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentPage {
    /// The agents, dormant ones too.
    pub agents: Vec<AgentRecord>,
    /// Where the next page starts; none after the last.
    pub next: Option<Cursor>,
}

impl<A: Agent> Router<A> {
    /// The node that runs the agent, as far as it can be told without starting it.
    pub(crate) async fn locate(
        &self,
        key: &AgentKey,
        timeout: Duration,
    ) -> Result<Option<Incarnation>, Error> {
        if self.local.contains(key.as_str()) {
            return Ok(Some(self.core.incarnation));
        }
        let expires = self.core.deadlines.now() + timeout;
        let stored = in_time(timeout, Executed::No, self.owner_in_storage(key));
        if let Some(owner) = stored.await? {
            return Ok(Some(owner));
        }
        let apart = self.runs_apart(key, self.left(expires)).await?;
        if apart.node.is_none() && !apart.all_told {
            let why = "a node with a storage of its own did not say whether it runs the agent";
            return Err(Error::new(ErrorKind::Unavailable, why));
        }
        Ok(apart.node)
    }

    /// The node that owns the agent, unless it is gone.
    async fn owner_in_storage(&self, key: &AgentKey) -> Result<Option<Incarnation>, Error> {
        let head = self.settings.storage.head(&self.agent_id(key)).await?;
        match head.and_then(|record| record.owner) {
            Some(owner) if self.is_up(owner).await? => Ok(Some(owner)),
            _ => Ok(None),
        }
    }

    /// Whether a node is a member or, as storage says, lives where others may reach it.
    async fn is_up(&self, node: Incarnation) -> Result<bool, Error> {
        if self.core.members.view().contains(node) {
            return Ok(true);
        }
        let nodes = self.settings.storage.nodes(&self.core.cluster).await?;
        let mut up = nodes.iter().filter(|node| node.state == NodeState::Up);
        Ok(up.any(|up| up.incarnation == node))
    }

    /// Asks those members that keep their records in another storage whether they run
    /// the agent: all of them where storage is this process's own, and none where all
    /// share it. There is nobody else to ask.
    pub(crate) async fn runs_apart(
        &self,
        key: &AgentKey,
        timeout: Duration,
    ) -> Result<Apart, Error> {
        let expires = self.core.deadlines.now() + timeout;
        let sharing = in_time(timeout, Executed::No, self.sharing()).await?;
        let mut apart = self.others();
        apart.retain(|member| sharing.as_ref().is_some_and(|all| !all.contains(member)));
        let answers = self
            .ask_all(apart, Some(key), Operation::Lookup, self.left(expires))
            .await;
        let mut told = answers
            .iter()
            .map(|(member, answer)| (*member, answer.as_ref().map(|answer| answer.status)));
        let all_told = told
            .clone()
            .all(|(_, status)| matches!(status, Some(AnswerStatus::Ok | AnswerStatus::NotOwner)));
        let found = told.find(|(_, status)| *status == Some(AnswerStatus::Ok));
        Ok(Apart {
            node: found.map(|(member, _)| member),
            all_told,
        })
    }

    /// The other members that run this manager.
    fn others(&self) -> Vec<Incarnation> {
        let view = self.core.members.view();
        let others = view.members().iter().filter(|member| {
            member.incarnation != self.core.incarnation
                && member.managers.contains(&self.settings.name)
        });
        others.map(|member| member.incarnation).collect()
    }

    pub(crate) async fn ownership(
        &self,
        key: &AgentKey,
        timeout: Duration,
    ) -> Result<Ownership, Error> {
        let owner = self.locate(key, timeout).await?;
        let view = self.core.members.view();
        let name = |incarnation| view.get(incarnation).map(|member| member.name.clone());
        Ok(Ownership {
            placed: view
                .place(
                    &self.settings.name,
                    key.as_str(),
                    self.key_hash(key.as_str()),
                )
                .and_then(name),
            owner: owner.and_then(name),
        })
    }

    /// Whether the agent runs on some node.
    pub(crate) async fn is_running(
        &self,
        key: &AgentKey,
        timeout: Duration,
    ) -> Result<bool, Error> {
        let expires = self.core.deadlines.now() + timeout;
        let node = match self.locate(key, timeout).await? {
            None => return Ok(false),
            Some(node) if node == self.core.incarnation => {
                return Ok(self.local.contains(key.as_str()));
            }
            Some(node) => node,
        };
        let left = self.left(expires);
        let question = self.question(key, Operation::Lookup, false, left);
        let asked = async { self.reach(node, &question).await.map_err(Error::from) };
        // Where its owner does not tell, it may run as well as not.
        let Some(answer) = in_time(left, Executed::No, asked).await? else {
            return Err(interrupted().with_executed(Executed::No));
        };
        errand_answer(&answer)?.told(|| AskError::Send(SendError::Unreachable).into())
    }

    /// The time that is left until then.
    fn left(&self, expires: Duration) -> Duration {
        expires.saturating_sub(self.core.deadlines.now())
    }

    /// How many agents are active here, how many of them are parked, and how many moves
    /// this node had made.
    pub(super) fn stats_here(&self) -> (u64, u64, Migrations) {
        let (active, parked) = (self.local.len(), self.local.parked_len());
        (active as u64, parked as u64, self.rebalancer.done())
    }

    pub(crate) async fn stats(&self, timeout: Duration) -> Result<Stats, Error> {
        let mut by_node = BTreeMap::new();
        let (active, mut parked, mut migrations) = self.stats_here();
        by_node.insert(self.core.name.clone(), active);
        let answers = self
            .ask_all(self.others(), None, Operation::Stats, timeout)
            .await;
        let view = self.core.members.view();
        for (member, answer) in answers {
            let Some(member) = view.get(member) else {
                continue;
            };
            let answer = answer.filter(|answer| answer.status == AnswerStatus::Ok);
            let Some(Answer { payload, .. }) = answer else {
                continue;
            };
            let told: (u64, u64, Migrations) = decode_payload(&payload).map_err(|error| {
                Error::new(ErrorKind::Incompatible, error.to_string()).caused_by(error)
            })?;
            let (active, parked_there, migrations_there) = told;
            migrations.add(migrations_there);
            // Of two lives of a name for a moment, both are counted.
            *by_node.entry(member.name.clone()).or_insert(0) += active;
            parked += parked_there;
        }
        let total = by_node.values().sum();
        Ok(Stats {
            by_node,
            total,
            parked,
            migrations,
        })
    }

    pub(crate) async fn agents(
        &self,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<AgentPage, Error> {
        let query = DirectoryQuery {
            cluster: self.core.cluster.clone(),
            manager: self.settings.name.clone(),
            after,
            limit,
        };
        let DirectoryPage { agents, next } = self.settings.storage.directory(query).await?;
        Ok(AgentPage { agents, next })
    }

    /// Asks these members; gives the answer of each that answered in time.
    async fn ask_all(
        &self,
        members: Vec<Incarnation>,
        key: Option<&AgentKey>,
        operation: Operation,
        timeout: Duration,
    ) -> Vec<(Incarnation, Option<Answer>)> {
        let asked: FuturesUnordered<_> = members
            .into_iter()
            .map(|member| {
                let question = Question {
                    key: key.cloned(),
                    ..Question::of_node(operation, timeout, Bytes::new())
                };
                let asked = self
                    .core
                    .exchange
                    .ask(member, &self.settings.name, question);
                async move {
                    let Ok(asked) = asked else {
                        return (member, None);
                    };
                    // A member that is too slow is left out.
                    let answer = tokio::time::timeout(timeout, asked).await;
                    (member, answer.ok().flatten())
                }
            })
            .collect();
        let mut answers: Vec<_> = asked.collect().await;
        answers.sort_by_key(|(member, _)| *member);
        answers
    }
}
