//! A reference to one agent.

use std::fmt;
use std::time::Duration;

use jido_core::{Agent, AgentKey};

use crate::attachment::Attachment;
use crate::error::Error;
use crate::handle::{DEFAULT_CALL_TIMEOUT, Handle};
use crate::router::{Current, RequestOptions, stopped};
use crate::telemetry::Trace;

/// Refers to one agent, wherever in the cluster it is, as an `ActorRef` refers to
/// an actor. It stays good when the agent hibernates, moves or is taken over:
/// every message finds its way anew.
pub struct AgentRef<A: Agent> {
    handle: Handle<A>,
    key: AgentKey,
}

impl<A: Agent> AgentRef<A> {
    pub(crate) fn new(handle: Handle<A>, key: AgentKey) -> Self {
        Self { handle, key }
    }

    /// The agent's key.
    pub fn key(&self) -> &str {
        self.key.as_str()
    }

    pub(crate) fn agent_key(&self) -> &AgentKey {
        &self.key
    }

    pub(crate) fn router(&self) -> Current<'_, A> {
        self.handle.router()
    }

    /// Keeps the agent awake, activating it; see [`Handle::attach`].
    ///
    /// # Errors
    ///
    /// As [`Handle::attach`].
    pub async fn attach(&self) -> Result<Attachment<A>, Error> {
        Attachment::to(self.clone()).await
    }

    /// Sends a message and returns at once. While the agent stays where it is, and this node knows
    /// where, messages that one task sends arrive in order; one that is refused there and
    /// goes on to another node may be overtaken. One that can't be delivered
    /// within [`DEFAULT_CALL_TIMEOUT`], or that is refused later, here or there, is dropped; the log tells of
    /// the first of these, the second, the fourth and so on. To know what became of
    /// it, [`call`](AgentRef::call).
    ///
    /// # Errors
    ///
    /// The message was not sent: [`Stopped`](crate::ErrorKind::Stopped) when this node's manager has
    /// stopped; [`Overloaded`](crate::ErrorKind::Overloaded) when too much waits already: for the agent
    /// on this node, for its node, or (65,536 messages of the manager) on its way from here without anybody
    /// waiting for it; [`InvalidInput`](crate::ErrorKind::InvalidInput) when it goes to
    /// another node and does not serialize, or is larger than an envelope may be.
    pub fn send_message(&self, message: A::Message) -> Result<(), Error> {
        let router = self.handle.router();
        if router.is_stopped() {
            return Err(stopped());
        }
        let request = Some(self.handle.next_request(None, None)?);
        let trace = Trace::call(router.whose(self.key.as_str()), "send", None);
        let options = RequestOptions {
            cast: true,
            request,
            timeout: DEFAULT_CALL_TIMEOUT,
            trace,
        };
        router.send(&self.key, message, options)
    }

    /// Sends a message and waits for the reply; see [`Handle::call`].
    ///
    /// # Errors
    ///
    /// As [`Handle::call`].
    pub async fn call(&self, message: A::Message) -> Result<A::Reply, Error> {
        self.handle.call(&self.key, message).await
    }

    /// Sends a message and waits for the reply for up to `timeout`; see
    /// [`Handle::call_timeout`].
    ///
    /// # Errors
    ///
    /// As [`Handle::call`].
    pub async fn call_timeout(
        &self,
        message: A::Message,
        timeout: Duration,
    ) -> Result<A::Reply, Error> {
        self.handle.call_timeout(&self.key, message, timeout).await
    }
}

impl<A: Agent> Clone for AgentRef<A> {
    fn clone(&self) -> Self {
        Self {
            handle: self.handle.clone(),
            key: self.key.clone(),
        }
    }
}

impl<A: Agent> fmt::Debug for AgentRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentRef")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
