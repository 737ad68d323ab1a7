//! A guard that keeps an agent awake.

use std::fmt;

use jido_core::Agent;

use crate::agent_ref::AgentRef;
use crate::error::Error;
use crate::handle::DEFAULT_CALL_TIMEOUT;

/// Keeps an agent awake, wherever it runs, until it is dropped: the agent does not
/// hibernate for want of messages, is not parked, and does not make room for others. Its
/// idle time begins when the last guard is gone.
///
/// A guard holds on through moves: when the agent was handed over to another node, or its
/// node was lost, it is activated and kept awake where it belongs then, within a third of
/// the manager's [`idle_timeout`](crate::ManagerBuilder::idle_timeout) or
/// [`park_after`](crate::ManagerBuilder::park_after), whichever is shorter, but no sooner
/// than 100 ms and no later than 10 s. [`Handle::stop`](crate::Handle::stop) and
/// [`delete`](crate::Handle::delete) are carried out all the same, and the agent is
/// activated again after as long. A guard ends with the node that it was taken on, even if
/// it is not dropped.
///
/// ```
/// # use jido_cluster::*;
/// # async fn example<A: Agent>(sessions: Handle<A>, message: A::Message) -> Result<(), Error> {
/// let session = sessions.attach("session-1").await?;
/// session.agent().call(message).await?;
/// drop(session);
/// # Ok(()) }
/// ```
#[must_use = "the agent is kept awake only until this is dropped"]
pub struct Attachment<A: Agent> {
    agent: AgentRef<A>,
}

impl<A: Agent> Attachment<A> {
    /// Attaches to an agent, activating it.
    pub(crate) async fn to(agent: AgentRef<A>) -> Result<Self, Error> {
        agent.router().hold(agent.agent_key());
        // From here on it is undone by dropping.
        let attachment = Self { agent };
        let agent = &attachment.agent;
        let router = agent.router();
        router
            .attach(agent.agent_key(), DEFAULT_CALL_TIMEOUT)
            .await?;
        Ok(attachment)
    }

    /// The agent.
    pub fn agent(&self) -> &AgentRef<A> {
        &self.agent
    }
}

impl<A: Agent> Drop for Attachment<A> {
    fn drop(&mut self) {
        self.agent.router().release(self.agent.agent_key());
    }
}

impl<A: Agent> fmt::Debug for Attachment<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment")
            .field("agent", &self.agent)
            .finish()
    }
}
