//! What callers hold.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jido_core::{
    Agent, AgentKey, Entry, Executed, RequestId, RequestTry, Seq, Timestamp, decode_payload,
};
use jido_storage::Cursor;

use crate::activation::Errand;
use crate::agent_ref::AgentRef;
use crate::attachment::Attachment;
use crate::error::{Error, ErrorKind};
use crate::rebalance::{MAX_MIGRATIONS, RebalancePlan, Rebalanced};
use crate::request::{Numbers, Request, RequestOutcome};
use crate::router::{AgentPage, Current, Ownership, Router, Stats};

/// How long a call waits unless it is told otherwise.
pub const DEFAULT_CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest time that a call may be given.
pub const MAX_CALL_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// How far a request may be made ahead of its node's clock, as its caller says. Records of requests
/// go by that time, the earliest first: those from a far future would drive out all others.
const MAX_AHEAD: Duration = Duration::from_secs(5 * 60);

/// Reaches the agents of one manager by key, wherever in the cluster they are.
/// Cloning is cheap; clones number their requests together.
pub struct Handle<A: Agent> {
    router: Arc<Router<A>>,
    requests: Arc<Numbers>,
}

impl<A: Agent> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self {
            router: self.router.clone(),
            requests: self.requests.clone(),
        }
    }
}

impl<A: Agent> fmt::Debug for Handle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("router", &self.router)
            .finish()
    }
}

impl<A: Agent> Handle<A> {
    pub(crate) fn new(router: Arc<Router<A>>) -> Self {
        let client = router.core().environment.incarnation().0;
        Self {
            router,
            requests: Arc::new(Numbers::new(client)),
        }
    }

    /// Sends a message and waits for the reply, for [`DEFAULT_CALL_TIMEOUT`].
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`] for what to do about each, and [`Error::executed`] for
    /// whether the message may be repeated.
    pub async fn call(&self, key: impl AsRef<str>, message: A::Message) -> Result<A::Reply, Error> {
        self.call_timeout(key, message, DEFAULT_CALL_TIMEOUT).await
    }

    /// Sends a message and waits for the reply, for up to `timeout`
    /// ([`MAX_CALL_TIMEOUT`] at the most).
    ///
    /// # Errors
    ///
    /// As [`call`](Handle::call).
    pub async fn call_timeout(
        &self,
        key: impl AsRef<str>,
        message: A::Message,
        timeout: Duration,
    ) -> Result<A::Reply, Error> {
        let request = self.request(key.as_ref(), message).timeout(timeout);
        let (answered, _) = request.answered().await?;
        Ok(answered.value)
    }

    /// Sends a message and waits until the agent has taken it, not for what comes
    /// of it. If it must not be lost, [`call`](Handle::call).
    ///
    /// # Errors
    ///
    /// As [`call`](Handle::call), when the message could not be handed over.
    pub async fn cast(&self, key: impl AsRef<str>, message: A::Message) -> Result<(), Error> {
        self.request(key.as_ref(), message).cast().await
    }

    /// A request that can be configured before it is sent, and whose answer says
    /// who gave it.
    pub fn request<'a>(&'a self, key: &'a str, message: A::Message) -> Request<'a, A> {
        Request::new(self, key, message)
    }

    /// What became of a request that was made under an id of the caller's own, or under
    /// one that a [`Request::id`] was given: for whoever got no answer and doesn't want
    /// to send it again. What the agent has taken is first made durable or undone, so
    /// the answer is final but for tries that are still on their way: those end with
    /// their time-out.
    ///
    /// # Errors
    ///
    /// As [`call`](Handle::call); [`Incompatible`](ErrorKind::Incompatible) when the
    /// reply was written by code that this code can't read.
    pub async fn outcome(
        &self,
        key: impl AsRef<str>,
        request: impl Into<RequestId>,
    ) -> Result<RequestOutcome<A::Reply>, Error> {
        let (key, request) = (AgentKey::new(key)?, request.into());
        let router = self.router();
        let id = router.agent_id(&key);
        let storage = &router.settings().storage;
        let mut kept = storage.reply_of(&id, request).await?;
        // Where no records are kept there is nothing to wait for.
        if kept.is_none() && router.settings().requests.is_some() {
            router
                .run(&key, Errand::Settle, DEFAULT_CALL_TIMEOUT)
                .await?;
            kept = storage.reply_of(&id, request).await?;
        }
        if let Some(kept) = kept {
            let reply = decode_payload(&kept.reply).map_err(|error| {
                Error::new(ErrorKind::Incompatible, error.to_string())
                    .caused_by(error)
                    .with_executed(Executed::Yes)
            })?;
            return Ok(RequestOutcome::Committed(reply));
        }
        let floor = match storage.load(&id).await? {
            Some(loaded) => loaded.requests.floor,
            None => Timestamp::default(),
        };
        // One that doesn't tell when it was made may be as old as any that was forgotten.
        let made = request.issued_at().unwrap_or_default();
        match router.settings().requests {
            Some(_) if made >= floor => Ok(RequestOutcome::NotApplied),
            _ => Ok(RequestOutcome::Unknown),
        }
    }

    /// Activates an agent, wherever it belongs, and gives a reference to it.
    ///
    /// # Errors
    ///
    /// As [`call`](Handle::call); [`Unreadable`](ErrorKind::Unreadable) when its
    /// stored state can't be read.
    pub async fn get(&self, key: impl AsRef<str>) -> Result<AgentRef<A>, Error> {
        let agent = self.agent(key)?;
        self.router()
            .run(agent.agent_key(), Errand::Activate, DEFAULT_CALL_TIMEOUT)
            .await?;
        Ok(agent)
    }

    /// A reference to an agent, if it runs on some node.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a key that is refused,
    /// [`Unavailable`](ErrorKind::Unavailable) when storage can't be asked, or its owner is out of
    /// reach; [`Interrupted`](ErrorKind::Interrupted) when the session with that ends, and
    /// [`Timeout`](ErrorKind::Timeout) when there is no answer within 5 s. Whether it runs is not
    /// known then: ask again.
    pub async fn lookup(&self, key: impl AsRef<str>) -> Result<Option<AgentRef<A>>, Error> {
        let agent = self.agent(key)?;
        let runs = self
            .router()
            .is_running(agent.agent_key(), DEFAULT_CALL_TIMEOUT)
            .await?;
        Ok(runs.then_some(agent))
    }

    /// A reference to an agent, whether it runs or not. Its first message activates it.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a key that is refused.
    pub fn agent(&self, key: impl AsRef<str>) -> Result<AgentRef<A>, Error> {
        Ok(AgentRef::new(self.clone(), AgentKey::new(key)?))
    }

    /// Activates an agent and keeps it awake, wherever it runs, until the guard is dropped.
    ///
    /// # Errors
    ///
    /// As [`get`](Handle::get). The agent is not kept awake then.
    pub async fn attach(&self, key: impl AsRef<str>) -> Result<Attachment<A>, Error> {
        self.agent(key)?.attach().await
    }

    /// Hibernates an agent wherever it runs: its state is written and its claim
    /// given back. Answers whether it ran.
    ///
    /// # Errors
    ///
    /// As [`call`](Handle::call). On an error it may run on.
    pub async fn stop(&self, key: impl AsRef<str>) -> Result<bool, Error> {
        self.router()
            .stop(&AgentKey::new(key)?, DEFAULT_CALL_TIMEOUT)
            .await
    }

    /// Deletes an agent with its state, its thread and its records. Its next message
    /// meets a fresh one.
    ///
    /// # Errors
    ///
    /// As [`call`](Handle::call).
    pub async fn delete(&self, key: impl AsRef<str>) -> Result<(), Error> {
        self.router()
            .run(&AgentKey::new(key)?, Errand::Delete, DEFAULT_CALL_TIMEOUT)
            .await?;
        Ok(())
    }

    /// Where an agent is and where it ought to be.
    ///
    /// # Errors
    ///
    /// As [`lookup`](Handle::lookup).
    pub async fn owner(&self, key: impl AsRef<str>) -> Result<Ownership, Error> {
        self.router()
            .ownership(&AgentKey::new(key)?, DEFAULT_CALL_TIMEOUT)
            .await
    }

    /// How many agents are active, by node and in total. A member that doesn't
    /// answer within a second is left out.
    ///
    /// # Errors
    ///
    /// [`Incompatible`](ErrorKind::Incompatible) when a member answers in a way that
    /// this version doesn't read.
    pub async fn stats(&self) -> Result<Stats, Error> {
        self.router().stats(Duration::from_secs(1)).await
    }

    /// Moves agents that run elsewhere than they are placed, as the leader does [by
    /// itself](crate::rebalance) from time to time: at most
    /// [`max_migrations`](crate::ManagerBuilder::max_migrations). Waits for up to `timeout` for what comes of it; it goes
    /// on after that.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) while no node takes agents of the manager,
    /// [`Timeout`](ErrorKind::Timeout), and [`Interrupted`](ErrorKind::Interrupted) when the leader has gone: ask again.
    pub async fn rebalance(&self, timeout: Duration) -> Result<Rebalanced, Error> {
        self.router().rebalance(timeout.min(MAX_CALL_TIMEOUT)).await
    }

    /// The same without waiting for it. Events and [`stats`](Handle::stats) tell what came of it.
    pub fn trigger_rebalance(&self) {
        self.router().trigger_rebalance();
    }

    /// What a rebalance would move, without moving it: at most `limit` moves
    /// ([`MAX_MIGRATIONS`] at the most), as this node sees it. It asks every member that runs the manager.
    pub async fn rebalance_plan(&self, limit: usize) -> RebalancePlan {
        self.router()
            .rebalance_plan(limit.min(MAX_MIGRATIONS))
            .await
    }

    /// A page of all agents that storage knows of, dormant ones too: at most `limit`
    /// of them, from where the page before ended.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a cursor that no page gave,
    /// [`Unavailable`](ErrorKind::Unavailable) when storage can't be asked.
    pub async fn keys(&self, after: Option<Cursor>, limit: usize) -> Result<AgentPage, Error> {
        self.router().agents(after, limit).await
    }

    /// A page of an agent's thread, as storage has it: at most `limit` entries from place
    /// `from` on, in order; fewer at the end, or where the storage bounds the bytes of a
    /// page. None where there are no entries.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a key that is refused,
    /// [`Unavailable`](ErrorKind::Unavailable) when storage can't be asked.
    pub async fn thread(
        &self,
        key: impl AsRef<str>,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        let router = self.router();
        let id = router.agent_id(&AgentKey::new(key)?);
        let storage = &router.settings().storage;
        Ok(storage.read_thread(&id, from, limit).await?)
    }

    /// The router of the node's present life.
    pub(crate) fn router(&self) -> Current<'_, A> {
        self.router.current()
    }

    /// A request that is about to be made: under the caller's id, which may have been
    /// tried before, or numbered here. Refused where the caller says that it was made too far
    /// ahead.
    pub(crate) fn next_request(
        &self,
        id: Option<RequestId>,
        issued_at: Option<Timestamp>,
    ) -> Result<RequestTry, Error> {
        // An id that tells it is asked first: by this its outcome is told later.
        let made = id.and_then(RequestId::issued_at).or(issued_at);
        let wall = || self.router.core().environment.wall();
        let ahead = made.map_or(0, |made| made.0.saturating_sub(wall().0));
        let ahead = Duration::from_millis(ahead);
        if ahead > MAX_AHEAD {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "issued_at is {} s ahead of this node's clock: it is at most {} s",
                    ahead.as_secs(),
                    MAX_AHEAD.as_secs()
                ),
            ));
        }
        Ok(RequestTry {
            id: id.unwrap_or_else(|| self.requests.next()),
            issued_at: match (made, self.router.settings().requests) {
                (Some(made), _) => made,
                (None, Some(_)) => wall(),
                // Nobody will ask.
                (None, None) => Timestamp::default(),
            },
            first: id.is_none(),
        })
    }
}
