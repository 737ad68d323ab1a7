//! The two actors of a node that other nodes can reach.
//!
//! No other actor has a message type that can go to another node: each one that
//! had would be announced to every peer.

use std::sync::Arc;

use bytes::Bytes;
use jido_core::{Incarnation, NodeName};
use ractor::message::{BoxedDowncastErr, SerializedMessage};
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr, pg};
use tokio::task::JoinHandle;

use super::sessions::Sessions;

/// Gateways of a node. An envelope's lane chooses one of them.
pub(super) const GATEWAYS: usize = 2;

/// A frame, as the session layer carries it.
#[derive(Debug)]
pub(super) struct Frame(pub(super) Vec<u8>);

impl ractor::Message for Frame {
    fn serializable() -> bool {
        true
    }

    fn serialize(self) -> Result<SerializedMessage, BoxedDowncastErr> {
        Ok(SerializedMessage::Cast {
            variant: String::new(),
            args: self.0,
            metadata: None,
        })
    }

    fn deserialize(message: SerializedMessage) -> Result<Self, BoxedDowncastErr> {
        match message {
            SerializedMessage::Cast { args, .. } => Ok(Self(args)),
            SerializedMessage::Call { .. } | SerializedMessage::CallReply(..) => {
                Err(BoxedDowncastErr)
            }
        }
    }
}

struct Gateway;

impl Actor for Gateway {
    type Msg = Frame;
    type State = Arc<Sessions>;
    type Arguments = Arc<Sessions>;

    async fn pre_start(
        &self,
        _myself: ActorRef<Frame>,
        sessions: Arc<Sessions>,
    ) -> Result<Arc<Sessions>, ActorProcessingErr> {
        Ok(sessions)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Frame>,
        frame: Frame,
        sessions: &mut Arc<Sessions>,
    ) -> Result<(), ActorProcessingErr> {
        sessions.receive(Bytes::from(frame.0));
        Ok(())
    }
}

/// The process group in which peers find a node's gateway.
fn group(name: &NodeName, incarnation: Incarnation, index: usize) -> String {
    format!("gateway/{name}/{incarnation}/{index}")
}

/// Starts a gateway. It has no name: the end of its stand-in on another node would
/// take the name from a local actor there.
pub(super) async fn start(
    sessions: Arc<Sessions>,
    index: usize,
) -> Result<(ActorCell, JoinHandle<()>), SpawnErr> {
    let me = sessions.me();
    let group = group(&me.name, me.incarnation, index);
    let (gateway, ended) = Actor::spawn(None, Gateway, sessions).await?;
    pg::join(group, vec![gateway.get_cell()]);
    Ok((gateway.get_cell(), ended))
}

/// The stand-ins, in one session, for a peer's gateways. They are known before
/// the session is ready, unless one of the peer's gateways has died.
pub(super) fn stand_ins(
    name: &NodeName,
    incarnation: Incarnation,
    session_node: u64,
) -> Option<[ActorRef<Frame>; GATEWAYS]> {
    let mut found = Vec::with_capacity(GATEWAYS);
    for index in 0..GATEWAYS {
        let members = pg::get_members(&group(name, incarnation, index));
        let of_session = |member: &ActorCell| matches!(member.get_id(), ActorId::Remote { node_id, .. } if node_id == session_node);
        found.push(ActorRef::from(members.into_iter().find(of_session)?));
    }
    found.try_into().ok()
}
