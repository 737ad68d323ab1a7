//! Nodes whose own signals say that they aren't well.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use jido_cluster::{ErrorKind, Handle, Node};

use crate::harness::{Cluster, Counter, Message, eventually, met};

const WELL: u8 = 0;
const ILL: u8 = 1;
const BROKEN: u8 = 2;

/// A node whose health is what the number says.
async fn start(cluster: &Cluster, name: &str, health: &Arc<AtomicU8>) -> (Node, Handle<Counter>) {
    let health = health.clone();
    let check = move || match health.load(Ordering::Relaxed) {
        WELL => Ok(()),
        ILL => Err("the disk is full".to_owned()),
        _ => panic!("the check is broken"),
    };
    let node = cluster.node(name).health(check).start().await.unwrap();
    let handle = cluster.manager().start(&node).await.unwrap();
    (node, handle)
}

fn sees(node: &Node, other: &str, healthy: bool) -> bool {
    let members = node.members();
    members
        .iter()
        .any(|member| member.name.as_str() == other && member.healthy == healthy)
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_not_well_leaves_placement_and_keeps_what_it_has() {
    let cluster = Cluster::new();
    let (first, second) = (Arc::new(AtomicU8::new(WELL)), Arc::new(AtomicU8::new(WELL)));
    let (n1, handle) = start(&cluster, "n1", &first).await;
    let (n2, _second) = start(&cluster, "n2", &second).await;
    met(&n1, 2).await;
    met(&n2, 2).await;
    let owner = async |key: String| {
        let reply = handle.request(&key, Message::Add(1)).send().await.unwrap();
        reply.owner.to_string()
    };
    let mut on_second = None;
    for i in 0..20 {
        let key = format!("before-{i}");
        if owner(key.clone()).await == "n2" {
            on_second = Some(key);
        }
    }
    let on_second = on_second.expect("one of twenty keys is placed on the second node");

    second.store(ILL, Ordering::Relaxed);
    eventually(|| sees(&n1, "n2", false) && sees(&n2, "n2", false)).await;
    let error = n2.ready().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("the disk is full"), "{error}");
    n1.ready().await.unwrap();
    for i in 0..20 {
        assert_eq!(owner(format!("while-{i}")).await, "n1");
    }
    assert_eq!(owner(on_second).await, "n2");

    // With nobody well, keys are served all the same.
    first.store(BROKEN, Ordering::Relaxed);
    eventually(|| sees(&n2, "n1", false)).await;
    let error = n1.ready().await.unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");
    let mut owners = Vec::new();
    for i in 0..20 {
        owners.push(owner(format!("ill-{i}")).await);
    }
    assert!(owners.contains(&"n1".to_owned()) && owners.contains(&"n2".to_owned()));

    second.store(WELL, Ordering::Relaxed);
    eventually(|| sees(&n1, "n2", true)).await;
    n2.ready().await.unwrap();
    assert_eq!(owner("well-again".to_owned()).await, "n2");
}

#[tokio::test(start_paused = true)]
async fn whoever_joins_hears_that_a_node_is_not_well() {
    let cluster = Cluster::new();
    let (ill, well) = (Arc::new(AtomicU8::new(ILL)), Arc::new(AtomicU8::new(WELL)));
    let (n1, _first) = start(&cluster, "n1", &ill).await;
    assert!(sees(&n1, "n1", false));
    let (n2, _second) = start(&cluster, "n2", &well).await;
    met(&n2, 2).await;
    eventually(|| sees(&n2, "n1", false)).await;
    ill.store(WELL, Ordering::Relaxed);
    eventually(|| sees(&n2, "n1", true)).await;
    n1.ready().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_has_ended_is_looked_at_no_more() {
    for halts in [false, true] {
        let cluster = Cluster::new();
        let looks = Arc::new(AtomicUsize::new(0));
        let count = looks.clone();
        let check = move || {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        let node = cluster.node("n1").health(check).start().await.unwrap();
        let handle = cluster.manager().start(&node).await.unwrap();
        eventually(|| looks.load(Ordering::Relaxed) > 2).await;
        match halts {
            true => node.halt().await,
            false => node.drain().await,
        }
        let until_then = looks.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(looks.load(Ordering::Relaxed), until_then);
        let error = node.ready().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Stopped);
        assert_eq!(node.drain_progress(), []);
        // What its callers still have keeps nothing going.
        drop((handle, node));
    }
}
