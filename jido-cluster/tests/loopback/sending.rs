//! Messages that nobody waits for.

use std::time::Duration;

use jido_cluster::{ErrorKind, Executed, Seq, decode_payload};

use crate::harness::{Cluster, Message, key_on};

/// So many of a manager may be on their way without anybody waiting for them.
const MAX_UNDER_WAY: usize = 65_536;

/// Tasks that are started one after the other don't begin in that order where there are
/// several threads, nor even on one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_arrive_in_order_on_this_node_and_on_another() {
    let nodes = Cluster::new().start_many(2).await;
    for (node, _) in &nodes {
        let handle = nodes[0].1.clone();
        let key = key_on(&handle, node).await;
        let agent = handle.get(&key).await.unwrap();
        let sender = tokio::spawn(async move {
            for i in 0..500 {
                agent.send_message(Message::Note(i.to_string())).unwrap();
                if i % 50 == 49 {
                    agent.call(Message::Get).await.unwrap();
                }
            }
        });
        sender.await.unwrap();
        let thread = handle.thread(&key, Seq(0), 1_000).await.unwrap();
        let notes = thread.iter().map(|entry| {
            let note: String = decode_payload(&entry.payload).unwrap();
            note.parse::<i32>().unwrap()
        });
        assert_eq!(notes.collect::<Vec<_>>(), (0..500).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn one_for_which_there_is_no_room_is_refused() {
    let cluster = Cluster::new();
    let node = cluster.node("n1").start().await.unwrap();
    let manager = cluster.manager().mailbox_limit(3);
    let handle = manager.start(&node).await.unwrap();
    let agent = handle.get("a").await.unwrap();
    let send = || agent.send_message(Message::Slow(10));
    let refused: Vec<_> = (0..10).filter_map(|_| send().err()).collect();
    assert_eq!(refused.len(), 7);
    for error in refused {
        assert_eq!(error.kind(), ErrorKind::Overloaded);
        assert_eq!(error.executed(), Executed::No);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    send().unwrap();
    assert_eq!(agent.call(Message::Get).await.unwrap(), 4);
}

#[tokio::test(start_paused = true)]
async fn no_more_are_on_their_way_than_may_be_to_all_nodes_together() {
    let nodes = Cluster::new().start_many(3).await;
    // To each of them half as many may be open.
    let mut agents = Vec::new();
    for (node, _) in &nodes[1..] {
        let key = key_on(&nodes[0].1, node).await;
        agents.push(nodes[0].1.get(&key).await.unwrap());
    }
    for _ in 0..2 {
        // No answer comes before this task lets others go on.
        let refused: Vec<_> = (0..MAX_UNDER_WAY + 10)
            .filter_map(|i| agents[i % 2].send_message(Message::Get).err())
            .collect();
        assert_eq!(refused.len(), 10);
        for error in refused {
            assert_eq!(error.kind(), ErrorKind::Overloaded);
            assert_eq!(error.executed(), Executed::No);
        }
        // All are taken or dropped.
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    agents[0].send_message(Message::Add(1)).unwrap();
    assert_eq!(agents[0].call(Message::Get).await.unwrap(), 1);
}
