//! What an owner answers that may not be one any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jido_cluster::{Executed, Handle, Node, Reads, RequestId};

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
    let storage = Faulty::new();
    cut_off_owner_on([storage.clone(), storage], reads).await
}

/// The same, where each node has its own way to storage.
async fn cut_off_owner_on(
    storages: [Arc<Faulty>; 2],
    reads: Reads,
) -> (Vec<(Node, Handle<Counter>)>, String) {
    let mut cluster = Cluster::new();
    let mut nodes = Vec::new();
    for (name, storage) in ["n1", "n2"].into_iter().zip(storages) {
        cluster.storage = storage;
        let node = cluster.node(name).environment(TokioClock::new());
        let node = node.lease_ttl(TTL).start().await.unwrap();
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
    // As the docs say: its lease has not ended.
    assert_eq!(read_of_a_cut_off_owner(Reads::Leased).await, 1);
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
    let (nodes, key) = cut_off_owner_on([storage, own.clone()], Reads::Leased).await;
    let read = || nodes[1].1.call_timeout(&key, Message::Get, TTL / 100);
    assert_eq!(read().await.unwrap(), 1, "the lease has not ended");
    own.set(Fault::Unavailable);
    while read().await.is_ok() {
        tokio::time::sleep(TTL / 100).await;
    }
    // Nobody has declared it dead by now, and the other is still cut off.
    own.set(Fault::None);
    let first = loop {
        match read().await {
            Ok(first) => break first,
            Err(_not_yet) => tokio::time::sleep(TTL / 100).await,
        }
    };
    assert_eq!(first, 11);
    assert_eq!(nodes[1].0.members().len(), 1);
    assert!(nodes[1].0.ready().await.is_ok());
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
