//! What is passed on, envelope by envelope.

use std::sync::Arc;

use bytes::Bytes;
use jido_cluster::loopback::LoopbackTransport;
use jido_cluster::transport::{Inbox, Peer, Transport};
use jido_cluster::{
    AgentKey, Executed, Incarnation, ManagerName, Node, NodeName, RequestId, Timestamp,
    TraceContext, encode_payload,
};
use jido_core::{
    Answer, AnswerStatus, Ask, Envelope, Epoch, Notice, Operation, RequestTry, Revision, Route,
};
use tokio::sync::mpsc;

use super::{Nodes, nodes};
use crate::harness::{Cluster, Message, eventually, key_on};

/// A peer that keeps what it is answered, and takes asks that it never answers.
#[derive(Debug)]
struct Fake(mpsc::UnboundedSender<Envelope>);

impl Inbox for Fake {
    fn peer_up(&self, _: Peer) {}

    fn peer_down(&self, _: Incarnation) {}

    fn deliver(&self, _: Incarnation, envelope: Bytes) {
        match Envelope::decode(envelope).unwrap() {
            Envelope::Notice(_) => {}
            envelope => self.0.send(envelope).unwrap(),
        }
    }
}

/// Its life.
const FAKE: Incarnation = Incarnation(2);

async fn fake(
    cluster: &Cluster,
    nodes: &Nodes,
) -> (LoopbackTransport, mpsc::UnboundedReceiver<Envelope>) {
    fake_of(FAKE, cluster, nodes).await
}

async fn fake_of(
    incarnation: Incarnation,
    cluster: &Cluster,
    nodes: &Nodes,
) -> (LoopbackTransport, mpsc::UnboundedReceiver<Envelope>) {
    let peer = Peer {
        name: NodeName::new("fake").unwrap(),
        incarnation,
        address: String::new(),
    };
    let transport = cluster.network.transport(peer);
    let (sender, came) = mpsc::unbounded_channel();
    transport.start(Arc::new(Fake(sender))).await.unwrap();
    let sees = |node: &Node| {
        let members = node.members();
        members.iter().any(|m| m.incarnation == incarnation)
    };
    eventually(|| nodes.iter().all(|(node, _)| sees(node))).await;
    (transport, came)
}

fn ask(key: &str, route: Route, correlation: u64) -> Ask {
    Ask {
        correlation,
        operation: Operation::Call,
        verify: true,
        route,
        budget_ms: 5_000,
        manager: ManagerName::new("counters").unwrap(),
        key: Some(AgentKey::new(key).unwrap()),
        request: Some(RequestTry {
            id: RequestId::new(3, u64::from(u8::MAX) + correlation),
            issued_at: Timestamp(5),
            first: true,
        }),
        trace: TraceContext::new(6, 7, 1)
            .and_then(|trace| trace.with_state("vendor=opaque"))
            .ok(),
        payload: encode_payload(&Message::Add(1)).unwrap(),
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_passed_on_is_never_passed_on_again() {
    let cluster = Cluster::new();
    let nodes = nodes(&cluster, 2).await;
    let (transport, mut came) = fake(&cluster, &nodes).await;
    let key = key_on(&nodes[0].1, &nodes[1].0).await;
    nodes[1].1.call(&key, Message::Add(1)).await.unwrap();
    let first = nodes[0].0.incarnation();
    let mut answered = async |route, correlation| -> Answer {
        let ask = ask(&key, route, correlation);
        transport.send(first, 0, &ask.encode()).unwrap();
        let Some(Envelope::Answer(answer)) = came.recv().await else {
            panic!("an ask came back");
        };
        assert_eq!(answer.correlation, correlation);
        answer
    };
    let second = nodes[1].0.incarnation();
    // One hop is made, on request.
    let answer = answered(Route::PassOn { to: second }, 1).await;
    assert_eq!(answer.status, AnswerStatus::Ok);
    assert_eq!(answer.by, Some(nodes[1].0.me().name));
    // What has made one comes back with a hint.
    let answer = answered(Route::PassedOn { from: FAKE }, 2).await;
    assert_eq!(
        (answer.status, answer.hint, answer.by),
        (AnswerStatus::NotOwner, Some(second), None)
    );
    // Nobody is there, and what runs no manager of the name is as good as nobody.
    for (to, correlation) in [(Incarnation(99), 3), (FAKE, 4)] {
        let answer = answered(Route::PassOn { to }, correlation).await;
        assert_eq!(
            (answer.status, answer.executed),
            (AnswerStatus::Unreachable, Executed::No)
        );
    }
    assert_eq!(nodes[0].1.call(&key, Message::Get).await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_ask_and_its_answer_are_passed_on_as_they_are() {
    let cluster = Cluster::new();
    let nodes = nodes(&cluster, 1).await;
    let (transport, mut came) = fake(&cluster, &nodes).await;
    let first = nodes[0].0.incarnation();
    let notice = Notice::Serves {
        manager: ManagerName::new("counters").unwrap(),
        serves: true,
    };
    transport.send(first, 0, &notice.encode()).unwrap();
    // To itself, so that it sees both ends.
    let sent = ask("key", Route::PassOn { to: FAKE }, 77);
    transport.send(first, 0, &sent.encode()).unwrap();
    let Some(Envelope::Ask(passed)) = came.recv().await else {
        panic!("no ask came");
    };
    let expected = Ask {
        correlation: passed.correlation,
        route: Route::PassedOn { from: FAKE },
        // A further try may be faster, by a session of its own.
        request: sent.request.map(|request| RequestTry {
            first: false,
            ..request
        }),
        ..sent
    };
    assert_eq!(passed, expected);
    let given = Answer {
        correlation: passed.correlation,
        status: AnswerStatus::Failed,
        executed: Executed::Maybe,
        code: 9,
        epoch: Epoch(4),
        revision: Revision(5),
        hint: Some(Incarnation(6)),
        by: None,
        payload: Bytes::from_static(b"why"),
    };
    transport.send(first, 0, &given.encode()).unwrap();
    let Some(Envelope::Answer(answer)) = came.recv().await else {
        panic!("no answer came");
    };
    let expected = Answer {
        correlation: 77,
        by: Some(NodeName::new("fake").unwrap()),
        ..given
    };
    assert_eq!(answer, expected);
}

#[tokio::test(start_paused = true)]
async fn a_first_try_that_one_by_way_of_another_node_overtook_is_applied_once() {
    // Commits take a while, so that the one is not durable when the other comes.
    let cluster = Cluster::on(crate::faults::slow());
    let nodes = nodes(&cluster, 1).await;
    let (asker, mut of_asker) = fake(&cluster, &nodes).await;
    let (relay, mut of_relay) = fake_of(Incarnation(3), &cluster, &nodes).await;
    let first = nodes[0].0.incarnation();
    nodes[0].1.call("key", Message::Add(1)).await.unwrap();
    let mut further = ask("key", Route::PassedOn { from: FAKE }, 1);
    let late = ask("key", Route::Direct, 1);
    if let Some(request) = &mut further.request {
        request.first = false;
    }
    relay.send(first, 0, &further.encode()).unwrap();
    asker.send(first, 0, &late.encode()).unwrap();
    for came in [&mut of_relay, &mut of_asker] {
        let Some(Envelope::Answer(answer)) = came.recv().await else {
            panic!("no answer came");
        };
        assert_eq!(answer.status, AnswerStatus::Ok);
        assert_eq!(answer.payload, encode_payload(&2_i64).unwrap());
    }
    assert_eq!(nodes[0].1.call("key", Message::Get).await.unwrap(), 2);
}
