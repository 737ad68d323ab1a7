//! The floor: bare actors.

use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use crate::ours::Profile;

pub(crate) struct Bare;

pub(crate) struct Message(RpcReplyPort<u64>);

impl ractor::Message for Message {}

impl Actor for Bare {
    type Msg = Message;
    type State = Profile;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ActorRef<Self::Msg>,
        (): (),
    ) -> Result<Profile, ActorProcessingErr> {
        Ok(Profile::default())
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        Message(reply): Message,
        state: &mut Profile,
    ) -> Result<(), ActorProcessingErr> {
        state.count += 1;
        let _ = reply.send(state.count);
        Ok(())
    }
}

async fn spawn() -> ActorRef<Message> {
    let (actor, _) = Actor::spawn(None, Bare, ()).await.unwrap();
    let reply = actor.call(Message, None).await.unwrap();
    assert!(reply.is_success());
    actor
}

pub(crate) async fn resident_each() -> f64 {
    let mut actors = Vec::with_capacity(crate::HOT);
    let before = crate::resident();
    for _ in 0..crate::HOT {
        actors.push(spawn().await);
    }
    (crate::resident() - before) / crate::HOT as f64
}

pub(crate) async fn spawned() -> Duration {
    let mut actors = Vec::with_capacity(crate::WOKEN);
    let start = Instant::now();
    for _ in 0..crate::WOKEN {
        actors.push(spawn().await);
    }
    let took = start.elapsed();
    for actor in actors {
        actor.stop_and_wait(None, None).await.unwrap();
    }
    took
}
