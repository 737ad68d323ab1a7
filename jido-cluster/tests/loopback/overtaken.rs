//! A first try that a session still delivers which its sender has given up, after a
//! further try was applied elsewhere.

use std::time::Duration;

use bytes::Bytes;
use jido_cluster::transport::{Inbox, Peer, Transport};
use jido_cluster::{
    AgentKey, ErrorKind, Handle, Incarnation, ManagerName, NodeName, RequestId, Timestamp,
    encode_payload,
};
use jido_core::{Answer, AnswerStatus, Ask, Envelope, Operation, RequestTry, Route};
use tokio::sync::mpsc;

use crate::harness::{Cluster, Counter, Message, eventually};

/// The sender, as the owner sees it: it keeps what it is answered.
#[derive(Debug)]
struct Sender(mpsc::UnboundedSender<Answer>);

impl Inbox for Sender {
    fn peer_up(&self, _: Peer) {}

    fn peer_down(&self, _: Incarnation) {}

    fn deliver(&self, _: Incarnation, envelope: Bytes) {
        if let Ok(Envelope::Answer(answer)) = Envelope::decode(envelope) {
            self.0.send(answer).unwrap();
        }
    }
}

/// A further try of a request that adds this much.
type Further = (RequestId, i64);

/// What a first try that adds 1 is answered of a request made at a time, and how much the
/// agent counts then.
async fn late_first_try(id: RequestId, made: Timestamp, before: &[Further]) -> (Answer, i64) {
    let cluster = Cluster::new();
    let node = cluster.node("n1").start().await.unwrap();
    let manager = cluster.manager().request_window(1, Duration::from_secs(60));
    let handle: Handle<Counter> = manager.start(&node).await.unwrap();
    for (at, (id, by)) in (5..).zip(before) {
        let request = handle.request("a", Message::Add(*by)).id(*id);
        request.issued_at(Timestamp(at)).send().await.unwrap();
    }
    // The owner has loaded the agent after that.
    assert!(handle.stop("a").await.unwrap());
    handle.call("a", Message::Get).await.unwrap();
    let peer = Peer {
        name: NodeName::new("n2").unwrap(),
        incarnation: Incarnation(2),
        address: String::new(),
    };
    let transport = cluster.network.transport(peer);
    let (sender, mut answers) = mpsc::unbounded_channel();
    transport
        .start(std::sync::Arc::new(Sender(sender)))
        .await
        .unwrap();
    eventually(|| node.members().len() == 2).await;
    let ask = Ask {
        correlation: 7,
        operation: Operation::Call,
        verify: false,
        route: Route::Direct,
        budget_ms: 5_000,
        manager: ManagerName::new("counters").unwrap(),
        key: Some(AgentKey::new("a").unwrap()),
        request: Some(RequestTry {
            id,
            issued_at: made,
            first: true,
        }),
        trace: None,
        payload: encode_payload(&Message::Add(1)).unwrap(),
    };
    transport
        .send(node.incarnation(), 0, &ask.encode())
        .unwrap();
    let answer = answers.recv().await.unwrap();
    (answer, handle.call("a", Message::Get).await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn it_is_applied_once() {
    let (id, other) = (RequestId::new(1, 1), RequestId::new(1, 2));
    // Nobody was faster.
    let (answer, count) = late_first_try(id, Timestamp(9), &[(other, 1)]).await;
    assert_eq!((answer.status, count), (AnswerStatus::Ok, 2));
    // A further try was: it gets the same answer.
    let (answer, count) = late_first_try(id, Timestamp(5), &[(id, 1)]).await;
    assert_eq!((answer.status, count), (AnswerStatus::Ok, 1));
    // It was, and changed nothing: what was answered then goes for this one too.
    let (answer, count) = late_first_try(id, Timestamp(5), &[(id, 0)]).await;
    assert_eq!((answer.status, count), (AnswerStatus::Ok, 0));
    // It was, and is forgotten by now.
    let (answer, count) = late_first_try(id, Timestamp(5), &[(id, 1), (other, 1)]).await;
    let code = ErrorKind::Expired as u8;
    assert_eq!(
        (answer.status, answer.code, count),
        (AnswerStatus::Failed, code, 2)
    );
}
