//! Clients of simulated nodes.

use std::fmt;

use jido_cluster::{Agent, Handle, Incarnation};

use super::life::Life;

/// A client outside of a node that talks to it: it gets no answer once the node is
/// killed, and none while it is paused.
#[derive(Clone)]
pub struct Client<A: Agent> {
    life: Life<A>,
    handle: Handle<A>,
}

impl<A: Agent> Client<A> {
    pub(super) fn new(handle: Handle<A>, life: Life<A>) -> Self {
        Self { life, handle }
    }

    /// The node's life.
    pub fn incarnation(&self) -> Option<Incarnation> {
        self.life.node().map(|node| node.incarnation())
    }

    /// Lets the node do something; none if it is killed before the answer.
    pub async fn ask<F: Future>(&self, ask: impl FnOnce(Handle<A>) -> F) -> Option<F::Output> {
        let asked = async {
            self.life.awake().await;
            let answer = Box::pin(ask(self.handle.clone())).await;
            self.life.awake().await;
            answer
        };
        tokio::select! {
            biased;
            () = self.life.killed() => None,
            answer = asked => Some(answer),
        }
    }
}

impl<A: Agent> fmt::Debug for Client<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
