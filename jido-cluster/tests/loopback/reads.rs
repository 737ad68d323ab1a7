//! What an owner answers that may not be one any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jido_cluster::transport::{Inbox, Peer, SendError, Transport};
use jido_cluster::{Error, Executed, Handle, Incarnation, Node, Reads, RequestId};

use crate::faults::{Fault, Faulty};
use crate::harness::{Cluster, Counter, Message, TokioClock, key_on, met};

/// The request under which the cut-off owner's successor adds.
const REQUEST: (u128, u64) = (7, 7);

const TTL: Duration = Duration::from_secs(10);

/// What a cut-off owner says whose key was taken over and added to.
async fn read_of_a_cut_off_owner(reads: Reads) -> i64 {
    let (nodes, key) = cut_off_owner(reads).await;
    nodes[1].1.call(&key, Message::Get).await.unwrap()
}

/// Two nodes, the second of which is cut off after the first took this key over and
/// added 10 to the 1 of it, under [`REQUEST`].
async fn cut_off_owner(reads: Reads) -> (Vec<(Node, Handle<Counter>)>, String) {
    let cluster = Cluster::new();
    let mut nodes = Vec::new();
    for name in ["n1", "n2"] {
        let node = cluster.node(name).start().await.unwrap();
        let handle = cluster.manager().reads(reads).start(&node).await.unwrap();
        nodes.push((node, handle));
    }
    met(&nodes[0].0, 2).await;
    met(&nodes[1].0, 2).await;
    let key = key_on(&nodes[0].1, &nodes[1].0).await;
    nodes[1].1.call(&key, Message::Add(1)).await.unwrap();
    cluster.network.disconnect(nodes[1].0.incarnation());
    met(&nodes[0].0, 1).await;
    met(&nodes[1].0, 1).await;
    let added = nodes[0]
        .1
        .request(&key, Message::Add(10))
        .id(RequestId::new(REQUEST.0, REQUEST.1));
    assert_eq!(added.send().await.unwrap().value, 11);
    (nodes, key)
}

#[tokio::test(start_paused = true)]
async fn a_strict_read_is_never_stale_where_a_local_one_is() {
    assert_eq!(read_of_a_cut_off_owner(Reads::Strict).await, 11);
    assert_eq!(read_of_a_cut_off_owner(Reads::Local).await, 1);
    // As the docs say: it knows that it has no session with the other.
    assert_eq!(read_of_a_cut_off_owner(Reads::Leased).await, 11);
}

#[tokio::test(start_paused = true)]
async fn leased_reads_are_confirmed_while_another_that_goes_on_is_away() {
    let storage = Faulty::new();
    let cluster = Cluster::on(storage.clone());
    let [(n1, other), (n2, handle)] = cluster.start_pair(TTL).await;
    let key = key_on(&other, &n2).await;
    handle.call(&key, Message::Add(1)).await.unwrap();
    let confirmed = async || {
        let before = storage.heads.load(Ordering::SeqCst);
        assert_eq!(handle.call(&key, Message::Get).await.unwrap(), 1);
        storage.heads.load(Ordering::SeqCst) != before
    };
    assert!(!confirmed().await);
    let (a, b) = (n1.incarnation(), n2.incarnation());
    cluster.network.cut(a, b);
    met(&n2, 1).await;
    for _ in 0..10 {
        assert!(confirmed().await);
        tokio::time::sleep(TTL).await;
    }
    // Until it is back.
    cluster.network.heal(a, b);
    met(&n2, 2).await;
    tokio::time::sleep(TTL).await;
    assert!(!confirmed().await);
    // Or is dead.
    n1.halt().await;
    met(&n2, 1).await;
    assert!(confirmed().await);
    tokio::time::sleep(2 * TTL).await;
    assert!(!confirmed().await);
}

/// A transport whose node doesn't hear that a session has ended.
#[derive(Debug)]
struct Unaware<T>(T);

#[derive(Debug)]
struct UnawareInbox(Arc<dyn Inbox>);

impl Inbox for UnawareInbox {
    fn peer_up(&self, peer: Peer) {
        self.0.peer_up(peer);
    }

    fn peer_down(&self, _: Incarnation) {}

    fn deliver(&self, from: Incarnation, envelope: Bytes) {
        self.0.deliver(from, envelope);
    }
}

#[async_trait]
impl<T: Transport> Transport for Unaware<T> {
    async fn start(&self, inbox: Arc<dyn Inbox>) -> Result<(), Error> {
        self.0.start(Arc::new(UnawareInbox(inbox))).await
    }

    fn address(&self) -> String {
        self.0.address()
    }

    fn send(&self, to: Incarnation, lane: u64, envelope: &[u8]) -> Result<(), SendError> {
        self.0.send(to, lane, envelope)
    }

    fn discovered(&self, peer: Peer) {
        self.0.discovered(peer);
    }

    fn is_settled(&self) -> bool {
        self.0.is_settled()
    }

    async fn stop(&self) {
        self.0.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_ends_that_is_taken_over_late_or_has_seen_no_session_end() {
    for unaware in [false, true] {
        let storage = Faulty::new();
        let (first, second) = (Cluster::on(storage.beside()), Cluster::on(storage.clone()));
        let second = Cluster {
            network: first.network.clone(),
            ..second
        };
        let network = first.network.transports();
        let taker = second.node("n1").environment(TokioClock::new());
        let taker = taker.lease_ttl(TTL).start().await.unwrap();
        let successor = second.manager().start(&taker).await.unwrap();
        let owner = first
            .node("n2")
            .environment(TokioClock::new())
            .lease_ttl(TTL);
        let owner = match unaware {
            true => owner.transport(move |name, life| Unaware(network(name, life))),
            false => owner,
        };
        let owner = owner.start().await.unwrap();
        let handle = first.manager().start(&owner).await.unwrap();
        met(&taker, 2).await;
        met(&owner, 2).await;
        let key = key_on(&successor, &owner).await;
        handle.call(&key, Message::Add(1)).await.unwrap();
        storage.set(Fault::SlowTakeover);
        let (a, b) = (owner.incarnation(), taker.incarnation());
        first.network.cut(a, b);
        met(&taker, 1).await;
        let adds = successor.call(&key, Message::Add(10));
        let heals = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            first.network.heal(a, b);
        };
        // Long after the owner had its agents confirmed, if it did.
        assert_eq!(tokio::join!(adds, heals).0.unwrap(), 11);
        met(&taker, 2).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let read = handle.call(&key, Message::Get).await;
        assert_eq!(read.unwrap(), 11, "unaware: {unaware}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_further_try_of_a_request_is_answered_by_who_has_applied_it() {
    for reads in [Reads::Local, Reads::Leased, Reads::Strict] {
        let (nodes, key) = cut_off_owner(reads).await;
        // It changes nothing here and now, so that no commit shows that this owner is none.
        let again = nodes[1]
            .1
            .request(&key, Message::Get)
            .id(RequestId::new(REQUEST.0, REQUEST.1));
        assert_eq!(again.send().await.unwrap().value, 11, "{reads:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_leased_read_ends_with_the_lease_and_comes_back_with_it() {
    let storage = Faulty::new();
    let cluster = Cluster::on(storage.clone());
    let ttl = Duration::from_secs(2);
    let node = cluster.node("n1").environment(TokioClock::new());
    let node = node.lease_ttl(ttl).start().await.unwrap();
    let handle = cluster.manager().start(&node).await.unwrap();
    handle.call("a", Message::Add(1)).await.unwrap();
    storage.set(Fault::Unavailable);
    let read = || handle.call_timeout("a", Message::Get, Duration::from_millis(200));
    assert_eq!(read().await.unwrap(), 1, "the lease goes on for a while");
    tokio::time::sleep(ttl).await;
    let error = read().await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert_eq!(error.executed(), Executed::No);
    // A call that waits gets its answer as soon as the lease is renewed.
    let waiting = handle.call("a", Message::Get);
    let heals = async {
        tokio::time::sleep(ttl).await;
        storage.set(Fault::None);
    };
    assert_eq!(tokio::join!(waiting, heals).0.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_owner_whose_lease_ended_answers_nothing_from_before_once_it_is_renewed() {
    let storage = Faulty::new();
    let own = storage.beside();
    let (first, second) = (Cluster::on(storage), Cluster::on(own.clone()));
    let network = first.network.transports();
    let other = first.node("n1").environment(TokioClock::new());
    let other = other.lease_ttl(TTL).start().await.unwrap();
    let successor = first.manager().start(&other).await.unwrap();
    let node = second.node("n2").environment(TokioClock::new());
    let node = node.transport(move |name, life| Unaware(network(name, life)));
    let node = node.lease_ttl(TTL).start().await.unwrap();
    let handle = second.manager().start(&node).await.unwrap();
    met(&other, 2).await;
    let key = key_on(&successor, &node).await;
    handle.call(&key, Message::Add(1)).await.unwrap();
    first.network.cut(node.incarnation(), other.incarnation());
    met(&other, 1).await;
    assert_eq!(successor.call(&key, Message::Add(10)).await.unwrap(), 11);
    let read = || handle.call_timeout(&key, Message::Get, TTL / 100);
    assert_eq!(read().await.unwrap(), 1, "nothing has told it");
    own.set(Fault::Unavailable);
    while read().await.is_ok() {
        tokio::time::sleep(TTL / 100).await;
    }
    // Nobody has declared it dead by now.
    own.set(Fault::None);
    let refused = loop {
        match read().await {
            Ok(stale) => panic!("it answered {stale}"),
            Err(error) if node.ready().await.is_ok() => break error,
            Err(_) => tokio::time::sleep(TTL / 100).await,
        }
    };
    assert!(refused.is_retryable(), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_is_never_answered_is_made_again_before_the_lease_ends() {
    let storage = Faulty::new();
    let cluster = Cluster::on(storage.clone());
    let ttl = Duration::from_secs(9);
    let node = cluster.node("n1").environment(TokioClock::new());
    let node = node.lease_ttl(ttl).start().await.unwrap();
    let handle = cluster.manager().start(&node).await.unwrap();
    handle.call("a", Message::Add(1)).await.unwrap();
    for _ in 0..3 {
        storage.set(Fault::SilentRenewal);
        let end = tokio::time::Instant::now() + 2 * ttl;
        while tokio::time::Instant::now() < end {
            let read = handle.call_timeout("a", Message::Get, Duration::from_millis(200));
            assert_eq!(read.await.unwrap(), 1);
            tokio::time::sleep(ttl / 100).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_that_waited_for_a_commit_looks_at_the_clock_when_it_leaves() {
    let storage = Faulty::new();
    let cluster = Cluster::on(storage.clone());
    let node = cluster.node("n1").environment(TokioClock::new());
    let node = node.lease_ttl(Duration::from_secs(1)).start().await;
    let node = node.unwrap();
    let handle = cluster.manager().start(&node).await.unwrap();
    handle.call("a", Message::Add(1)).await.unwrap();
    storage.set(Fault::SlowAcks);
    let begun = tokio::time::Instant::now();
    let timeout = Duration::from_secs(10);
    let write = async {
        let reply = handle.call_timeout("a", Message::Add(1), timeout).await;
        (reply.unwrap(), begun.elapsed().as_secs())
    };
    // It sees what the commit in flight writes, and waits for it. When that is known to
    // have taken effect, another owner may have written since: the lease has run out.
    let read = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let reply = handle.call_timeout("a", Message::Get, timeout).await;
        (reply.unwrap(), begun.elapsed().as_secs())
    };
    let heals = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        storage.set(Fault::None);
    };
    let (write, read, ()) = tokio::join!(write, read, heals);
    assert_eq!((write, read), ((2, 3), (2, 5)));
    drop(node);
}

#[tokio::test(start_paused = true)]
async fn strict_reads_share_their_trips_to_storage() {
    let storage = Faulty::new();
    let cluster = Cluster::on(storage.clone());
    let node = cluster.node("n1").start().await.unwrap();
    let handle = cluster.manager().reads(Reads::Strict).start(&node).await;
    let handle = handle.unwrap();
    for i in 0..30 {
        let key = format!("key-{i}");
        handle.call(&key, Message::Add(1)).await.unwrap();
    }
    let reads = (0..90).map(|i| handle.call(format!("key-{}", i % 30), Message::Get));
    for reply in futures_util::future::join_all(reads).await {
        assert_eq!(reply.unwrap(), 1);
    }
    let trips = storage.heads.load(Ordering::SeqCst);
    assert!((1..=3).contains(&trips), "{trips} trips for 90 reads");

    storage.set(Fault::Unavailable);
    let read = handle.call_timeout("key-1", Message::Get, Duration::from_millis(200));
    let error = read.await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
}
