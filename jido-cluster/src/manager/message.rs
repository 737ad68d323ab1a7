//! What a manager can be told through its `ActorRef`.

use std::fmt;
use std::time::Duration;

use jido_core::Agent;
use ractor::RpcReplyPort;

use crate::agent_ref::AgentRef;
use crate::error::Error;
use crate::handle::Handle;
use crate::rebalance::Rebalanced;
use crate::router::Stats;
use crate::runtime;

/// A message to an [`InstanceManager`](crate::InstanceManager), for those who hold
/// its `ActorRef`. Every one does what the [`Handle`]'s method of that name does.
#[non_exhaustive]
pub enum ManagerMessage<A: Agent> {
    /// Sends a message to the agent of a key and answers with its reply.
    Call(String, A::Message, RpcReplyPort<Result<A::Reply, Error>>),
    /// Sends a message to the agent of a key. What can't be delivered is logged.
    Cast(String, A::Message),
    /// Activates an agent and answers with a reference to it.
    Get(String, RpcReplyPort<Result<AgentRef<A>, Error>>),
    /// Answers with a reference to an agent, if it runs.
    Lookup(String, RpcReplyPort<Result<Option<AgentRef<A>>, Error>>),
    /// Hibernates an agent; answers whether it ran.
    Stop(String, RpcReplyPort<Result<bool, Error>>),
    /// Moves agents that run elsewhere than they are placed; answers within the time given what
    /// was done.
    Rebalance(Duration, RpcReplyPort<Result<Rebalanced, Error>>),
    /// Answers how many agents are active.
    Stats(RpcReplyPort<Result<Stats, Error>>),
}

impl<A: Agent> ractor::Message for ManagerMessage<A> {}

impl<A: Agent> ManagerMessage<A> {
    /// Does what the message asks for. What takes time is done in a task, so that
    /// the manager goes on.
    pub(super) fn carry_out(self, handle: Handle<A>) {
        match self {
            Self::Cast(key, message) => {
                // Sent from here and not from a task, to keep the sender's order.
                let sent = handle
                    .agent(&key)
                    .and_then(|agent| agent.send_message(message));
                if let Err(error) = sent {
                    tracing::warn!(%error, "a message was not sent");
                }
            }
            Self::Call(key, message, reply) => {
                answer(reply, async move { handle.call(&key, message).await })
            }
            Self::Get(key, reply) => answer(reply, async move { handle.get(&key).await }),
            Self::Lookup(key, reply) => answer(reply, async move { handle.lookup(&key).await }),
            Self::Stop(key, reply) => answer(reply, async move { handle.stop(&key).await }),
            Self::Rebalance(timeout, reply) => {
                answer(reply, async move { handle.rebalance(timeout).await });
            }
            Self::Stats(reply) => answer(reply, async move { handle.stats().await }),
        }
    }
}

fn answer<T: Send + 'static>(
    reply: RpcReplyPort<T>,
    result: impl Future<Output = T> + Send + 'static,
) {
    runtime::spawn(async move {
        // A caller that has stopped waiting is told nothing.
        let _ = reply.send(Box::pin(result).await);
    });
}

impl<A: Agent> fmt::Debug for ManagerMessage<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, key) = match self {
            Self::Call(key, ..) => ("Call", key.as_str()),
            Self::Cast(key, _) => ("Cast", key.as_str()),
            Self::Get(key, _) => ("Get", key.as_str()),
            Self::Lookup(key, _) => ("Lookup", key.as_str()),
            Self::Stop(key, _) => ("Stop", key.as_str()),
            Self::Rebalance(..) => ("Rebalance", ""),
            Self::Stats(_) => ("Stats", ""),
        };
        f.debug_tuple(name).field(&key).finish()
    }
}
