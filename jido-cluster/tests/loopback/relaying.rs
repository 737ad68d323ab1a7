//! Nodes that can't reach each other, and one that reaches both.

mod budgets;
mod envelopes;

use std::time::Duration;

use jido_cluster::{Agent, ErrorKind, Executed, Handle, Node, RequestId, Takeover, Timestamp};

use crate::harness::{Cluster, Counter, Message, eventually, key_on, met};

/// After how long agents hibernate here.
const IDLE: Duration = Duration::from_secs(3);

type Nodes = Vec<(Node, Handle<Counter>)>;

/// Nodes that take nothing over while its owner lives.
async fn nodes(cluster: &Cluster, count: usize) -> Nodes {
    let mut nodes = Vec::new();
    for i in 1..=count {
        let node = cluster.node(&format!("n{i}")).start().await.unwrap();
        let manager = cluster.manager().takeover(Takeover::AfterLease);
        let handle = manager.idle_timeout(IDLE).start(&node).await.unwrap();
        nodes.push((node, handle));
    }
    for (node, _) in &nodes {
        met(node, count).await;
    }
    nodes
}

/// Cuts the way between two of the nodes, and waits until both have noticed.
async fn cut<A: Agent>(cluster: &Cluster, nodes: &[(Node, Handle<A>)], a: usize, b: usize) {
    let (a, b) = (&nodes[a].0, &nodes[b].0);
    cluster.network.cut(a.incarnation(), b.incarnation());
    let sees = |node: &Node, other: &Node| {
        let members = node.members();
        members.iter().any(|m| m.incarnation == other.incarnation())
    };
    eventually(|| !sees(a, b) && !sees(b, a)).await;
}

/// Keys that the first node places on each of the nodes, now that all have met.
async fn placed(nodes: &Nodes, each: usize) -> Vec<(String, usize)> {
    let mut placed = vec![0; nodes.len()];
    let mut keys = Vec::new();
    for i in 0.. {
        let key = format!("key-{i}");
        let name = nodes[0].1.owner(&key).await.unwrap().placed.unwrap();
        let at = nodes
            .iter()
            .position(|(node, _)| node.me().name == name)
            .unwrap();
        if placed[at] < each {
            placed[at] += 1;
            keys.push((key, at));
        }
        if placed.iter().all(|placed| *placed == each) {
            break;
        }
    }
    keys
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_to_an_owner_out_of_reach_gets_there_by_way_of_another_node() {
    let cluster = Cluster::new();
    let nodes = nodes(&cluster, 3).await;
    let keys = placed(&nodes, 10).await;
    let (running, cold) = keys.split_at(keys.len() / 2);
    for (key, _) in running {
        nodes[0].1.call(key, Message::Add(1)).await.unwrap();
    }
    cut(&cluster, &nodes, 0, 1).await;
    for (key, at) in running {
        // From the sides of the cut in turn, so that both learn of the owner anew.
        for (from, (_, handle)) in nodes.iter().enumerate() {
            let reply = handle.request(key, Message::Add(1)).send().await.unwrap();
            assert_eq!(reply.owner, nodes[*at].0.me().name, "{key} from {from}");
            assert_eq!((reply.value, reply.epoch.0), (2 + from as i64, 1), "{key}");
            handle.cast(key, Message::Add(0)).await.unwrap();
        }
    }
    // Those that slept are activated where the first that asks places them, and stay there.
    for (count, (key, _)) in cold.iter().enumerate() {
        let mut owner = None;
        for i in 0..nodes.len() {
            let (_, handle) = &nodes[(count + i) % nodes.len()];
            let reply = handle.request(key, Message::Add(1)).send().await.unwrap();
            assert_eq!((reply.value, reply.epoch.0), (1 + i as i64, 1), "{key}");
            assert_eq!(*owner.get_or_insert(reply.owner.clone()), reply.owner);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn messages_that_are_passed_on_keep_their_order() {
    let cluster = Cluster::new();
    let nodes = nodes(&cluster, 3).await;
    let key = key_on(&nodes[0].1, &nodes[1].0).await;
    nodes[0].1.call(&key, Message::Get).await.unwrap();
    cut(&cluster, &nodes, 0, 1).await;
    nodes[0].1.call(&key, Message::Get).await.unwrap();
    let calls = (1..=200).map(|i| {
        let (handle, key) = (nodes[0].1.clone(), key.clone());
        async move { (i, handle.call(&key, Message::Add(1)).await.unwrap()) }
    });
    for (sent, reply) in futures_util::future::join_all(calls).await {
        assert_eq!(sent, reply);
    }
}

#[tokio::test(start_paused = true)]
async fn errands_are_passed_on_too() {
    let cluster = Cluster::new();
    let nodes = nodes(&cluster, 3).await;
    for (from, to) in [(0, 1), (1, 0)] {
        let key = key_on(&nodes[2].1, &nodes[to].0).await;
        nodes[to].1.call(&key, Message::Add(5)).await.unwrap();
        cut(&cluster, &nodes, from, to).await;
        let handle = &nodes[from].1;
        assert!(handle.lookup(&key).await.unwrap().is_some());
        assert!(handle.stop(&key).await.unwrap());
        assert!(handle.lookup(&key).await.unwrap().is_none());
        // It runs on the other side again, and this side finds it there.
        nodes[to].1.get(&key).await.unwrap();
        let agent = handle.get(&key).await.unwrap();
        assert_eq!(agent.call(Message::Get).await.unwrap(), 5);
        let reply = handle.request(&key, Message::Get).send().await.unwrap();
        assert_eq!((reply.value, reply.epoch.0), (5, 2));
        assert_eq!(reply.owner, nodes[to].0.me().name);
        handle.delete(&key).await.unwrap();
        assert_eq!(nodes[to].1.call(&key, Message::Get).await.unwrap(), 0);
        let (a, b) = (nodes[from].0.incarnation(), nodes[to].0.incarnation());
        cluster.network.heal(a, b);
        met(&nodes[from].0, 3).await;
        met(&nodes[to].0, 3).await;
    }
}

#[tokio::test(start_paused = true)]
async fn guards_hold_across_a_cut_and_are_told_when_they_end() {
    let cluster = Cluster::new();
    let nodes = nodes(&cluster, 3).await;
    let key = key_on(&nodes[0].1, &nodes[1].0).await;
    let held = nodes[0].1.attach(&key).await.unwrap();
    cut(&cluster, &nodes, 0, 1).await;
    let other = key_on(&nodes[1].1, &nodes[1].0).await;
    let runs = async |key: &str| nodes[1].1.lookup(key).await.unwrap().is_some();
    let during = nodes[0].1.attach(&other).await.unwrap();
    tokio::time::sleep(IDLE * 20).await;
    for key in [&key, &other] {
        let reply = nodes[2].1.request(key, Message::Get).send().await.unwrap();
        assert_eq!(reply.epoch.0, 1, "{key} never slept");
    }
    drop(during);
    drop(held);
    tokio::time::sleep(IDLE * 2).await;
    assert!(!runs(&key).await && !runs(&other).await);
}

#[tokio::test(start_paused = true)]
async fn without_any_way_the_caller_is_told_that_nothing_was_done() {
    let cluster = Cluster::new();
    let nodes = nodes(&cluster, 4).await;
    let keys = placed(&nodes, 3).await;
    let of_second: Vec<_> = keys.iter().filter(|(_, at)| *at == 1).collect();
    let mut awake = Vec::new();
    for (key, _) in &of_second {
        nodes[1].1.call(key, Message::Add(1)).await.unwrap();
        awake.push(nodes[1].1.attach(key).await.unwrap());
    }
    for other in [0, 2, 3] {
        cut(&cluster, &nodes, 1, other).await;
    }
    for (key, _) in &of_second {
        let handle = &nodes[0].1;
        let time = Duration::from_secs(2);
        let call = handle.call_timeout(key, Message::Add(1), time).await;
        let got = handle.get(key).await.map(drop);
        let stopped = handle.stop(key).await.map(drop);
        let deleted = handle.delete(key).await;
        // It runs, and that is not to be denied.
        let found = handle.lookup(key).await.map(drop);
        for (what, error) in [
            ("call", call.map(drop).unwrap_err()),
            ("get", got.unwrap_err()),
            ("stop", stopped.unwrap_err()),
            ("delete", deleted.unwrap_err()),
            ("lookup", found.unwrap_err()),
        ] {
            assert!(error.is_retryable(), "{what}: {error:?}");
            assert_eq!(error.executed(), Executed::No, "{what}: {error:?}");
        }
        assert_eq!(nodes[1].1.call(key, Message::Get).await.unwrap(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn no_try_is_begun_when_the_pause_before_it_has_used_up_the_time() {
    let cluster = Cluster::new();
    let nodes = nodes(&cluster, 4).await;
    let key = key_on(&nodes[0].1, &nodes[1].0).await;
    nodes[1].1.call(&key, Message::Add(1)).await.unwrap();
    let _awake = nodes[1].1.attach(&key).await.unwrap();
    // The others are asked to pass the call on, and can't.
    for other in [0, 2, 3] {
        cut(&cluster, &nodes, 1, other).await;
    }
    // Some of these end while a pause does, whatever the pauses' lengths are drawn to be.
    for ms in (400..=440).cycle().take(1000) {
        let time = Duration::from_millis(ms);
        let call = nodes[0].1.call_timeout(&key, Message::Add(1), time).await;
        let error = call.map(drop).unwrap_err();
        assert_eq!(error.executed(), Executed::No, "within {ms} ms: {error:?}");
    }
    assert_eq!(nodes[1].1.call(&key, Message::Get).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_whose_session_ends_may_have_been_made() {
    let cluster = Cluster::new();
    let nodes = nodes(&cluster, 2).await;
    let key = key_on(&nodes[0].1, &nodes[1].0).await;
    nodes[1].1.call(&key, Message::Add(1)).await.unwrap();
    let (busy, busy_key) = (nodes[1].1.clone(), key.clone());
    let minute = Duration::from_secs(60);
    let slow = Message::Slow(10_000);
    let slow = tokio::spawn(async move { busy.call_timeout(&busy_key, slow, minute).await });
    tokio::time::sleep(Duration::from_millis(1)).await;
    let (handle, deleted) = (nodes[0].1.clone(), key.clone());
    let deleted = tokio::spawn(async move { handle.delete(&deleted).await });
    tokio::time::sleep(Duration::from_millis(1)).await;
    cut(&cluster, &nodes, 0, 1).await;
    // The rest of its time goes by without a way.
    let error = deleted.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.executed(), Executed::Maybe);
    slow.await.unwrap().unwrap();
    assert_eq!(nodes[1].1.call(&key, Message::Get).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn once_there_is_a_session_again_it_is_used() {
    let cluster = Cluster::new();
    let nodes = nodes(&cluster, 3).await;
    let keys = placed(&nodes, 3).await;
    for (key, at) in &keys {
        nodes[*at].1.call(key, Message::Add(1)).await.unwrap();
    }
    cut(&cluster, &nodes, 0, 1).await;
    for (key, _) in &keys {
        nodes[0].1.call(key, Message::Add(1)).await.unwrap();
    }
    let (a, b) = (nodes[0].0.incarnation(), nodes[1].0.incarnation());
    cluster.network.heal(a, b);
    met(&nodes[0].0, 3).await;
    met(&nodes[1].0, 3).await;
    // Now there is no other way.
    cut(&cluster, &nodes, 0, 2).await;
    cut(&cluster, &nodes, 1, 2).await;
    for (key, at) in keys.iter().filter(|(_, at)| *at != 2) {
        let reply = nodes[0].1.request(key, Message::Add(1)).send().await;
        let reply = reply.unwrap();
        assert_eq!((reply.value, reply.epoch.0), (3, 1), "{key} on {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_way_breaks_may_have_been_executed_and_is_applied_once() {
    applied_once(true).await;
    applied_once(false).await;
}

/// The relay goes away, or its way to the owner does, while the owner is at work.
async fn applied_once(relay_goes: bool) {
    let cluster = Cluster::new();
    let nodes = nodes(&cluster, 3).await;
    let key = key_on(&nodes[0].1, &nodes[1].0).await;
    nodes[0].1.call(&key, Message::Get).await.unwrap();
    cut(&cluster, &nodes, 0, 1).await;
    let (handle, id) = (&nodes[0].1, RequestId::new(7, 7));
    let request = |time| {
        let request = handle.request(&key, Message::Slow(500));
        request
            .id(id)
            .issued_at(Timestamp(5))
            .timeout(Duration::from_millis(time))
            .send()
    };
    let relay = nodes[2].0.incarnation();
    let breaks = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        match relay_goes {
            true => cluster.network.disconnect(relay),
            false => cluster.network.cut(relay, nodes[1].0.incarnation()),
        }
    };
    let (lost, ()) = tokio::join!(request(2_000), breaks);
    let lost = lost.unwrap_err();
    assert_eq!(lost.executed(), Executed::Maybe, "{lost:?}");
    let (a, b) = (nodes[0].0.incarnation(), nodes[1].0.incarnation());
    cluster.network.heal(a, b);
    assert_eq!(request(5_000).await.unwrap().value, 1);
    assert_eq!(handle.call(&key, Message::Get).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_relay_forgets_what_nobody_waits_for_any_more() {
    let cluster = Cluster::new();
    let nodes = nodes(&cluster, 3).await;
    let key = key_on(&nodes[0].1, &nodes[1].0).await;
    nodes[0].1.call(&key, Message::Get).await.unwrap();
    cut(&cluster, &nodes, 0, 1).await;
    let time = Duration::from_millis(300);
    let call = nodes[0]
        .1
        .call_timeout(&key, Message::Slow(3_600_000), time);
    let late = call.await.unwrap_err();
    assert_eq!(
        (late.kind(), late.executed()),
        (ErrorKind::Timeout, Executed::Maybe)
    );
    let began = tokio::time::Instant::now();
    nodes[2].0.drain().await;
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn with_takeover_on_disconnect_all_is_served_on_both_sides_and_nothing_is_lost() {
    let cluster = Cluster::new();
    let nodes = cluster.start_many(3).await;
    let keys = placed(&nodes, 10).await;
    for (key, _) in &keys {
        nodes[0].1.call(key, Message::Add(1)).await.unwrap();
    }
    cut(&cluster, &nodes, 0, 1).await;
    for round in 0..3 {
        for (key, at) in &keys {
            for (from, (_, handle)) in nodes.iter().enumerate() {
                let value = handle.call(key, Message::Add(1)).await.unwrap();
                let expected = 2 + round * 3 + from as i64;
                assert_eq!(value, expected, "{key} of {at} from {from}");
            }
        }
    }
}
