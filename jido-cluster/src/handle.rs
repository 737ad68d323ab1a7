//! What callers hold.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use jido_core::{Agent, AgentKey, RequestId};
use jido_storage::Cursor;

use crate::activation::Errand;
use crate::agent_ref::AgentRef;
use crate::delivery::{Answered, Reply};
use crate::error::{Error, ErrorKind};
use crate::router::{AgentPage, Given, Ownership, RequestOptions, Router, Stats};
use crate::runtime;

/// How long a call waits unless it is told otherwise.
pub const DEFAULT_CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest time that a call may be given.
pub const MAX_CALL_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// Reaches the agents of one manager by key, wherever in the cluster they are.
/// Cloning is cheap; clones number their requests together.
pub struct Handle<A: Agent> {
    router: Arc<Router<A>>,
    requests: Arc<Requests>,
}

/// A client's requests are numbered in so many rows, so that threads seldom meet at
/// one counter.
const ROWS: usize = 16;

/// Numbers a client's requests.
#[derive(Debug)]
struct Requests {
    client: u128,
    rows: [CachePadded<AtomicU64>; ROWS],
}

impl Requests {
    fn next(&self) -> RequestId {
        let row = runtime::thread_number() % ROWS;
        let count = self.rows[row].fetch_add(1, Ordering::Relaxed);
        RequestId::new(self.client, count * ROWS as u64 + row as u64)
    }
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
            requests: Arc::new(Requests {
                client,
                rows: Default::default(),
            }),
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
        Request {
            handle: self,
            key,
            message,
            timeout: DEFAULT_CALL_TIMEOUT,
            id: None,
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
        self.router
            .run(agent.agent_key(), Errand::Activate, DEFAULT_CALL_TIMEOUT)
            .await?;
        Ok(agent)
    }

    /// A reference to an agent, if it runs on some node.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a key that is refused,
    /// [`Unavailable`](ErrorKind::Unavailable) when storage can't be asked.
    pub async fn lookup(&self, key: impl AsRef<str>) -> Result<Option<AgentRef<A>>, Error> {
        let agent = self.agent(key)?;
        let runs = self
            .router
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

    /// Hibernates an agent wherever it runs: its state is written and its claim
    /// given back. Answers whether it ran.
    ///
    /// # Errors
    ///
    /// As [`call`](Handle::call). On an error it may run on.
    pub async fn stop(&self, key: impl AsRef<str>) -> Result<bool, Error> {
        self.router
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
        self.router
            .run(&AgentKey::new(key)?, Errand::Delete, DEFAULT_CALL_TIMEOUT)
            .await
    }

    /// Where an agent is and where it ought to be.
    ///
    /// # Errors
    ///
    /// As [`lookup`](Handle::lookup).
    pub async fn owner(&self, key: impl AsRef<str>) -> Result<Ownership, Error> {
        self.router
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
        self.router.stats(Duration::from_secs(1)).await
    }

    /// A page of all agents that storage knows of, dormant ones too: at most `limit`
    /// of them, from where the page before ended.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a cursor that no page gave,
    /// [`Unavailable`](ErrorKind::Unavailable) when storage can't be asked.
    pub async fn keys(&self, after: Option<Cursor>, limit: usize) -> Result<AgentPage, Error> {
        self.router.agents(after, limit).await
    }

    pub(crate) fn router(&self) -> &Router<A> {
        &self.router
    }

    pub(crate) fn next_request(&self) -> RequestId {
        self.requests.next()
    }
}

/// A message that is about to be sent.
#[must_use = "a request is sent by `send` or `cast`"]
pub struct Request<'a, A: Agent> {
    handle: &'a Handle<A>,
    key: &'a str,
    message: A::Message,
    timeout: Duration,
    id: Option<RequestId>,
}

impl<A: Agent> Request<'_, A> {
    /// How long to wait: more than zero, [`MAX_CALL_TIMEOUT`] at the most,
    /// [`DEFAULT_CALL_TIMEOUT`] by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The identity of the request, the same for every retry of it, instead of one
    /// that the handle numbers. The agent sees it as
    /// [`Context::request_id`](jido_core::Context::request_id).
    pub fn id(mut self, id: impl Into<RequestId>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sends the message and waits for the reply.
    ///
    /// # Errors
    ///
    /// As [`Handle::call`].
    pub async fn send(self) -> Result<Reply<A::Reply>, Error> {
        let router = &self.handle.router;
        let (answered, owner) = self.answered().await?;
        let Answered {
            value,
            epoch,
            revision,
        } = answered;
        let owner = owner.unwrap_or_else(|| router.core().name.clone());
        Ok(Reply {
            value,
            owner,
            epoch,
            revision,
        })
    }

    async fn answered(self) -> Result<Given<A::Reply>, Error> {
        let options = self.options(false)?;
        let router = &self.handle.router;
        let given = router.request(self.key, self.message, options).await?;
        given.ok_or_else(|| {
            Error::new(
                ErrorKind::Incompatible,
                "the agent's node took the call for a cast",
            )
            .with_executed(jido_core::Executed::Maybe)
        })
    }

    /// Sends the message and waits until the agent has taken it.
    ///
    /// # Errors
    ///
    /// As [`Handle::cast`].
    pub async fn cast(self) -> Result<(), Error> {
        let options = self.options(true)?;
        self.handle
            .router
            .request(self.key, self.message, options)
            .await
            .map(drop)
    }

    fn options(&self, cast: bool) -> Result<RequestOptions, Error> {
        if self.timeout.is_zero() || self.timeout > MAX_CALL_TIMEOUT {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "timeout is {:?}: it is more than 0 and at most 24 h",
                    self.timeout
                ),
            ));
        }
        let request = Some(self.id.unwrap_or_else(|| self.handle.next_request()));
        Ok(RequestOptions {
            cast,
            request,
            timeout: self.timeout,
        })
    }
}

impl<A: Agent> fmt::Debug for Request<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("key", &self.key)
            .field("timeout", &self.timeout)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
