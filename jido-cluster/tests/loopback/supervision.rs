//! What the supervisor of a manager hears of.

use std::time::Duration;

use jido_cluster::{Durability, ErrorKind, Handle, ManagerBuilder, ManagerMessage, Node};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::mpsc;

use crate::harness::{Cluster, Counter, Message, eventually};

#[derive(Debug, PartialEq)]
enum Event {
    Started(ActorId),
    Failed(ActorId, String),
    Terminated(ActorId),
}

/// Passes on what it hears.
struct Root(mpsc::UnboundedSender<Event>);

#[derive(Debug)]
enum Nothing {}

impl ractor::Message for Nothing {}

impl Actor for Root {
    type Msg = Nothing;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Nothing>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Nothing>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let event = match event {
            SupervisionEvent::ActorStarted(who) => Event::Started(who.get_id()),
            SupervisionEvent::ActorFailed(who, why) => Event::Failed(who.get_id(), why.to_string()),
            SupervisionEvent::ActorTerminated(who, ..) => Event::Terminated(who.get_id()),
            _ => return Ok(()),
        };
        self.0.send(event)?;
        Ok(())
    }
}

struct Supervised {
    node: Node,
    handle: Handle<Counter>,
    manager: ActorRef<ManagerMessage<Counter>>,
    events: mpsc::UnboundedReceiver<Event>,
}

async fn supervised(escalates: bool) -> Supervised {
    supervised_on(&Cluster::new(), escalates).await
}

async fn supervised_on(cluster: &Cluster, escalates: bool) -> Supervised {
    let node = cluster.node("n1").start().await.unwrap();
    let (sender, events) = mpsc::unbounded_channel();
    let (root, _) = Actor::spawn(None, Root(sender), ()).await.unwrap();
    let manager = cluster.manager().durability(Durability::Command);
    let manager = manager.escalate_failures(escalates);
    let manager = manager.prepare(|_, key| {
        assert!(key.as_str() != "unprepared", "panicked as asked");
    });
    let manager = manager.build(&node).await.unwrap();
    let handle = manager.handle();
    let (manager, _) = Actor::spawn_linked(None, manager, (), root.get_cell())
        .await
        .unwrap();
    Supervised {
        node,
        handle,
        manager,
        events,
    }
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_wants_to_hears_of_every_panic_and_the_agent_goes_on() {
    let mut here = supervised(true).await;
    let manager = here.manager.get_id();
    assert_eq!(here.events.recv().await, Some(Event::Started(manager)));
    here.handle.call("a", Message::Add(1)).await.unwrap();
    let mut failed = Vec::new();
    for _ in 0..2 {
        let error = here.handle.call("a", Message::Panic).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Agent);
        let Some(Event::Failed(who, why)) = here.events.recv().await else {
            panic!("something else came");
        };
        assert!(
            why.contains("counters/a") && why.contains("panicked as asked"),
            "{why}"
        );
        failed.push(who);
    }
    assert_eq!(failed[0], failed[1], "it is the same activation");
    assert_ne!(failed[0], manager);
    // An error is an answer.
    here.handle.call("a", Message::Fail).await.unwrap_err();
    let reply = here.handle.request("a", Message::Get).send().await.unwrap();
    assert_eq!((reply.value, reply.epoch.0), (1, 1));
    // One that can't be made is told of as well.
    let unprepared = here.handle.call("unprepared", Message::Get).await;
    assert_eq!(unprepared.unwrap_err().kind(), ErrorKind::Agent);
    let Some(Event::Failed(_, why)) = here.events.recv().await else {
        panic!("something else came");
    };
    assert!(why.contains("counters/unprepared"), "{why}");
    here.manager.stop_and_wait(None, None).await.unwrap();
    assert_eq!(here.events.recv().await, Some(Event::Terminated(manager)));
}

#[tokio::test(start_paused = true)]
async fn unless_it_asks_it_hears_of_the_manager_alone() {
    let mut here = supervised(false).await;
    let manager = here.manager.get_id();
    here.handle.call("a", Message::Panic).await.unwrap_err();
    assert_eq!(here.handle.call("a", Message::Add(1)).await.unwrap(), 1);
    here.manager.stop_and_wait(None, None).await.unwrap();
    assert_eq!(here.events.recv().await, Some(Event::Started(manager)));
    assert_eq!(here.events.recv().await, Some(Event::Terminated(manager)));
}

/// The next manager of the same name, as a supervisor starts it that has just heard of the
/// end of the one before.
async fn again(node: &Node, manager: ManagerBuilder<Counter>) -> Handle<Counter> {
    let manager = manager.build(node).await.unwrap();
    let handle = manager.handle();
    Actor::spawn(None, manager, ()).await.unwrap();
    handle
}

#[tokio::test(start_paused = true)]
async fn a_manager_follows_one_that_was_stopped_or_killed() {
    let cluster = Cluster::new();
    for kills in [false, true] {
        let mut here = supervised_on(&cluster, false).await;
        let manager = here.manager.get_id();
        assert_eq!(here.events.recv().await, Some(Event::Started(manager)));
        let before = here.handle.call("a", Message::Add(1)).await.unwrap();
        let two = cluster.manager().build(&here.node).await.unwrap();
        assert!(Actor::spawn(None, two, ()).await.is_err(), "one runs");
        match kills {
            true => here.manager.kill(),
            false => here.manager.stop(None),
        }
        assert_eq!(here.events.recv().await, Some(Event::Terminated(manager)));
        let handle = again(&here.node, cluster.manager()).await;
        let after = handle.call("a", Message::Add(1)).await.unwrap();
        assert_eq!(after, before + 1);
        // The one before takes no more, and has no part in leaving.
        let short = Duration::from_secs(1);
        let late = here.handle.call_timeout("a", Message::Get, short).await;
        assert!(late.is_err(), "{late:?}");
        let mut managers = 0;
        tokio::select! {
            biased;
            () = here.node.drain() => {}
            () = eventually(|| {
                managers = managers.max(here.node.drain_progress().len());
                false
            }) => {}
        }
        assert_eq!(managers, 1);
    }
}

/// Starts the next manager while it deals with the end of the one before.
struct Restarting {
    node: Node,
    cluster: Cluster,
    handles: mpsc::UnboundedSender<(ActorRef<ManagerMessage<Counter>>, Handle<Counter>)>,
}

impl Restarting {
    async fn manager(&self, myself: ActorRef<Nothing>) -> Result<(), ActorProcessingErr> {
        let manager = self.cluster.manager().build(&self.node).await?;
        let handle = manager.handle();
        let (manager, _) = Actor::spawn_linked(None, manager, (), myself.get_cell()).await?;
        self.handles.send((manager, handle))?;
        Ok(())
    }
}

impl Actor for Restarting {
    type Msg = Nothing;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, me: ActorRef<Nothing>, (): ()) -> Result<(), ActorProcessingErr> {
        self.manager(me).await
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<Nothing>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(..) => self.manager(me).await,
            _ => Ok(()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_restarts_a_manager_in_its_own_handler() {
    let cluster = Cluster::new();
    let node = cluster.node("n1").start().await.unwrap();
    let (handles, mut started) = mpsc::unbounded_channel();
    let supervisor = Restarting {
        node,
        cluster,
        handles,
    };
    Actor::spawn(None, supervisor, ()).await.unwrap();
    for count in 1..=4 {
        let (manager, handle) = started.recv().await.unwrap();
        assert_eq!(handle.call("a", Message::Add(1)).await.unwrap(), count);
        let began = tokio::time::Instant::now();
        match count % 2 {
            0 => manager.stop(None),
            _ => manager.kill(),
        }
        let agent = handle.agent("a").unwrap();
        while agent.send_message(Message::Get).is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "{:?}",
            began.elapsed()
        );
    }
}
