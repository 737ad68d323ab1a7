//! The floor: `ractor_cluster`'s own remote calls.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ractor::rpc::CallResult;
use ractor::{Actor, ActorProcessingErr, ActorRef, BytesConvertable, RpcReplyPort, pg};
use ractor_cluster::{NodeServer, NodeServerMessage, RactorClusterMessage};

use crate::load::Caller;
use crate::{AGENTS, CALL_TIMEOUT};

pub(crate) const NAME: &str = "ractor_cluster";

/// Bytes that travel as they are: the library itself converts a `Vec<u8>` byte by
/// byte.
struct Payload(Vec<u8>);

impl BytesConvertable for Payload {
    fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

#[derive(RactorClusterMessage)]
enum Message {
    #[rpc]
    Echo(Payload, RpcReplyPort<Payload>),
}

struct Echo;

impl Actor for Echo {
    type Msg = Message;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Message>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        Message::Echo(payload, reply): Message,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(reply.send(payload)?)
    }
}

fn group() -> String {
    "echo".to_owned()
}

async fn start_server(name: &str) -> (ActorRef<NodeServerMessage>, u16) {
    // The library doesn't tell which port it got by itself.
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let server = NodeServer::new(
        port,
        "bench".to_owned(),
        name.to_owned(),
        format!("{name}.localhost"),
        None,
        None,
    )
    .with_listen_addr(Ipv4Addr::LOCALHOST.into());
    let (server, _) = Actor::spawn(None, server, ()).await.unwrap();
    (server, port)
}

pub(crate) async fn serve() -> String {
    let mut actors = Vec::with_capacity(AGENTS);
    for _ in 0..AGENTS {
        let (actor, _) = Actor::spawn(None, Echo, ()).await.unwrap();
        actors.push(actor.get_cell());
    }
    pg::join(group(), actors);
    let (_, port) = start_server("server").await;
    format!("127.0.0.1:{port}")
}

#[derive(Clone)]
pub(crate) struct Actors(Arc<[ActorRef<Message>]>);

pub(crate) async fn connect(address: &str) -> Actors {
    let (server, _) = start_server("caller").await;
    ractor_cluster::client_connect(&server, address)
        .await
        .unwrap();
    loop {
        let found = pg::get_members(&group());
        if found.len() == AGENTS {
            return Actors(found.into_iter().map(ActorRef::from).collect());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

impl Caller for Actors {
    async fn call(&self, agent: usize, message: &Bytes) {
        let echo = |reply| Message::Echo(Payload(message.to_vec()), reply);
        match self.0[agent].call(echo, Some(CALL_TIMEOUT)).await {
            Ok(CallResult::Success(reply)) => assert_eq!(reply.0.len(), message.len()),
            Ok(_) => panic!("a call had no reply"),
            Err(error) => panic!("a call failed: {error}"),
        }
    }
}
