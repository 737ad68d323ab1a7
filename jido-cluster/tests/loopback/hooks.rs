//! What agents do when they start and stop.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jido_cluster::{
    Agent, AgentError, Context, Durability, ErrorKind, Handle, InstanceManager, Node,
};
use serde::{Deserialize, Serialize};

use crate::faults::{Fault, Faulty};
use crate::harness::Cluster;

#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Session {
    started: u32,
    stopped: u32,
    trouble: Trouble,
    /// No state: set anew by each start.
    #[serde(skip)]
    ready: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Trouble {
    #[default]
    None,
    StartFails,
    StartPanics,
    StopFails,
    StopPanics,
}

#[derive(Debug, Serialize, Deserialize)]
enum Message {
    Look,
    Trouble(Trouble),
}

impl Agent for Session {
    const KIND: &'static str = "session";
    type Message = Message;
    type Reply = (u32, u32, bool);

    async fn handle(
        &mut self,
        message: Message,
        _: &mut Context<'_>,
    ) -> Result<(u32, u32, bool), AgentError> {
        if let Message::Trouble(trouble) = message {
            self.trouble = trouble;
        }
        Ok((self.started, self.stopped, self.ready))
    }

    async fn started(&mut self, ctx: &mut Context<'_>) -> Result<(), AgentError> {
        self.started += 1;
        self.ready = true;
        ctx.append("started", &self.started)?;
        match self.trouble {
            Trouble::StartFails => Err(AgentError::new("failed as asked")),
            Trouble::StartPanics => panic!("panicked as asked"),
            _ => Ok(()),
        }
    }

    async fn stopping(&mut self, ctx: &mut Context<'_>) -> Result<(), AgentError> {
        self.stopped += 1;
        ctx.append("stopped", &self.stopped)?;
        match self.trouble {
            Trouble::StopFails => Err(AgentError::new("failed as asked")),
            Trouble::StopPanics => panic!("panicked as asked"),
            _ => Ok(()),
        }
    }
}

async fn sessions(cluster: &Cluster, durability: Durability) -> (Node, Handle<Session>) {
    let node = cluster.node("n1").start().await.unwrap();
    let handle = InstanceManager::<Session>::builder("sessions")
        .shared_storage(cluster.storage.clone())
        .durability(durability)
        .start(&node)
        .await
        .unwrap();
    (node, handle)
}

#[tokio::test(start_paused = true)]
async fn what_hooks_change_is_kept_with_all_else() {
    for durability in [Durability::Command, Durability::Hibernate] {
        let cluster = Cluster::new();
        let (_node, handle) = sessions(&cluster, durability).await;
        assert_eq!(handle.call("a", Message::Look).await.unwrap(), (1, 0, true));
        assert!(handle.stop("a").await.unwrap());
        assert_eq!(handle.call("a", Message::Look).await.unwrap(), (2, 1, true));
        assert!(handle.stop("a").await.unwrap());
        let page = handle.keys(None, 10).await.unwrap();
        // Started and stopped twice.
        assert_eq!(page.agents[0].thread_len.0, 4, "{durability:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_start_tells_its_callers_and_keeps_its_state() {
    let cluster = Cluster::new();
    let (_node, handle) = sessions(&cluster, Durability::Command).await;
    for trouble in [Trouble::StartFails, Trouble::StartPanics] {
        let key = format!("{trouble:?}");
        handle.call(&key, Message::Trouble(trouble)).await.unwrap();
        assert!(handle.stop(&key).await.unwrap());
        for _ in 0..2 {
            let error = handle.call(&key, Message::Look).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Agent);
            assert!(error.to_string().contains("as asked"), "{error}");
        }
        let page = handle.keys(None, 10).await.unwrap();
        let stored = page
            .agents
            .iter()
            .find(|agent| agent.id.key.as_str() == key);
        let stored = stored.unwrap();
        assert_eq!(stored.owner, None, "the claim is given back");
        assert_eq!(stored.thread_len.0, 2, "nothing of it is kept");
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_stop_well_stops_all_the_same() {
    let cluster = Cluster::new();
    let (_node, handle) = sessions(&cluster, Durability::Command).await;
    for trouble in [Trouble::StopFails, Trouble::StopPanics] {
        let key = format!("{trouble:?}");
        handle.call(&key, Message::Trouble(trouble)).await.unwrap();
        assert!(handle.stop(&key).await.unwrap());
        let (started, stopped, _) = handle.call(&key, Message::Look).await.unwrap();
        assert_eq!((started, stopped), (2, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_whose_start_could_not_be_committed_starts_again() {
    for fault in [Fault::FailBefore, Fault::UnknownNotApplied] {
        let storage = Faulty::new();
        let cluster = Cluster::on(storage.clone());
        let (_node, handle) = sessions(&cluster, Durability::Command).await;
        storage.set(fault);
        let look = handle.call("a", Message::Look);
        let heals = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            storage.set(Fault::None);
        };
        let (looked, ()) = tokio::join!(look, heals);
        assert_eq!(looked.unwrap(), (1, 0, true), "{fault:?}");
    }
}

/// Calls another one as it starts.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Child {
    #[serde(skip)]
    family: Option<Arc<OnceLock<Handle<Child>>>>,
}

impl Agent for Child {
    const KIND: &'static str = "child";
    type Message = ();
    type Reply = ();

    async fn handle(&mut self, (): (), _: &mut Context<'_>) -> Result<(), AgentError> {
        Ok(())
    }

    async fn started(&mut self, ctx: &mut Context<'_>) -> Result<(), AgentError> {
        let family = self.family.as_ref().and_then(|family| family.get());
        match (family, ctx.id().key.as_str()) {
            (Some(family), "child") => family
                .call("parent", ())
                .await
                .map_err(|error| AgentError::new(error.to_string())),
            _ => Ok(()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_starts_may_have_another_started() {
    let cluster = Cluster::new();
    let node = cluster.node("n1").start().await.unwrap();
    let family = Arc::new(OnceLock::new());
    let known = family.clone();
    let handle = InstanceManager::<Child>::builder("children")
        .shared_storage(cluster.storage.clone())
        .concurrent_activations(1)
        .prepare(move |child, _| child.family = Some(known.clone()))
        .start(&node)
        .await
        .unwrap();
    family.set(handle.clone()).unwrap();
    handle.call("child", ()).await.unwrap();
    assert_eq!(handle.stats().await.unwrap().total, 2);
}

/// Never ends once it stops.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Clinger;

impl Agent for Clinger {
    const KIND: &'static str = "clinger";
    type Message = ();
    type Reply = ();

    async fn handle(&mut self, (): (), _: &mut Context<'_>) -> Result<(), AgentError> {
        Ok(())
    }

    async fn stopping(&mut self, ctx: &mut Context<'_>) -> Result<(), AgentError> {
        if ctx.id().key.as_str() == "clings" {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_stop_keeps_no_other_in_memory() {
    let cluster = Cluster::new();
    let node = cluster.node("n1").start().await.unwrap();
    let handle = InstanceManager::<Clinger>::builder("clingers")
        .shared_storage(cluster.storage.clone())
        .idle_timeout(Duration::from_secs(1))
        .start(&node)
        .await
        .unwrap();
    handle.call("clings", ()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    handle.call("a", ()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(handle.stats().await.unwrap().total, 1);
    // It was told once, and isn't waited for again.
    for _ in 0..5 {
        handle.call("a", ()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        assert_eq!(handle.stats().await.unwrap().total, 1);
    }
}
