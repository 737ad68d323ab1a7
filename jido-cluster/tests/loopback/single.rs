//! One live instance of a key, wherever it is called from.

use std::collections::BTreeSet;

use jido_cluster::{Error, ErrorKind, Executed, ManagerMessage};
use ractor::Actor;

use crate::harness::{Cluster, Message, key_on};

#[tokio::test(start_paused = true)]
async fn every_node_reaches_the_same_agent() {
    let nodes = Cluster::new().start_many(3).await;
    for i in 0..30 {
        let key = format!("key-{i}");
        for (n, (_, handle)) in nodes.iter().enumerate() {
            assert_eq!(
                handle.call(&key, Message::Add(1)).await.unwrap(),
                n as i64 + 1
            );
        }
        let mut owners = BTreeSet::new();
        for (_, handle) in &nodes {
            let ownership = handle.owner(&key).await.unwrap();
            assert_eq!(ownership.owner, ownership.placed);
            owners.insert(ownership.owner.unwrap());
        }
        assert_eq!(owners.len(), 1);
    }
    let stats = nodes[1].1.stats().await.unwrap();
    assert_eq!(stats.total, 30);
    assert_eq!(stats.by_node.len(), 3);
    assert!(stats.by_node.values().all(|n| *n > 0));
}

#[tokio::test(start_paused = true)]
async fn two_nodes_that_race_to_create_a_key_get_one_activation() {
    let nodes = Cluster::new().start_many(2).await;
    for i in 0..50 {
        let key = format!("race-{i}");
        let (a, b) = tokio::join!(
            nodes[0].1.request(&key, Message::Add(1)).send(),
            nodes[1].1.request(&key, Message::Add(1)).send(),
        );
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!(a.epoch.0, 1);
        assert_eq!((&a.owner, a.epoch), (&b.owner, b.epoch));
        assert_eq!(BTreeSet::from([a.value, b.value]), BTreeSet::from([1, 2]));
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_calls_to_one_key_each_get_a_value_of_their_own() {
    let nodes = Cluster::new().start_many(3).await;
    let calls = (0..300).map(|i| {
        let handle = nodes[i % 3].1.clone();
        async move { handle.request("hot", Message::Add(1)).send().await.unwrap() }
    });
    let replies = futures_util::future::join_all(calls).await;
    let values: BTreeSet<i64> = replies.iter().map(|reply| reply.value).collect();
    assert_eq!(values, (1..=300).collect());
    // Messages share commits while one is in flight.
    assert!(replies.iter().all(|reply| reply.revision.0 <= 300));
}

#[tokio::test(start_paused = true)]
async fn a_read_commits_nothing() {
    let nodes = Cluster::new().start_many(2).await;
    let handle = &nodes[0].1;
    assert_eq!(
        handle
            .request("a", Message::Get)
            .send()
            .await
            .unwrap()
            .revision
            .0,
        0
    );
    assert_eq!(
        handle
            .request("a", Message::Add(1))
            .send()
            .await
            .unwrap()
            .revision
            .0,
        1
    );
    assert_eq!(
        handle
            .request("a", Message::Get)
            .send()
            .await
            .unwrap()
            .revision
            .0,
        1
    );
    assert_eq!(
        handle
            .request("a", Message::Add(0))
            .send()
            .await
            .unwrap()
            .revision
            .0,
        1
    );
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_refused_say_why_and_the_node_keeps_serving() {
    let nodes = Cluster::new().start_many(2).await;
    let handle = &nodes[0].1;
    for (key, word) in [
        ("", "empty"),
        ("a\0", "NUL"),
        (&"x".repeat(1_025), "1025 bytes"),
    ] {
        let error = handle.call(key, Message::Get).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.executed()),
            (ErrorKind::InvalidInput, Executed::No)
        );
        assert!(error.to_string().contains(word), "{error}");
        assert!(handle.get(key).await.is_err());
        assert!(handle.stop(key).await.is_err());
    }
    let error = handle
        .request("a", Message::Get)
        .timeout(std::time::Duration::ZERO)
        .send()
        .await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(
        handle
            .call("x".repeat(1_024), Message::Add(1))
            .await
            .unwrap(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn casts_arrive_in_order_from_either_side() {
    let nodes = Cluster::new().start_many(2).await;
    for (node, _) in &nodes {
        let key = key_on(&nodes[0].1, node).await;
        let agent = nodes[0].1.get(&key).await.unwrap();
        for i in 0..100 {
            agent.send_message(Message::Note(i.to_string())).unwrap();
        }
        nodes[0].1.cast(&key, Message::Add(5)).await.unwrap();
        // A call comes after the casts of the same lane.
        assert_eq!(agent.call(Message::Get).await.unwrap(), 5);
        assert_eq!(agent.key(), key);
    }
}

#[tokio::test(start_paused = true)]
async fn a_manager_can_be_spawned_and_messaged_like_any_actor() {
    struct Root;
    impl Actor for Root {
        type Msg = ManagerMessage<crate::harness::Counter>;
        type State = ();
        type Arguments = ();
        async fn pre_start(
            &self,
            _: ractor::ActorRef<Self::Msg>,
            (): (),
        ) -> Result<(), ractor::ActorProcessingErr> {
            Ok(())
        }
    }
    let cluster = Cluster::new();
    let node = cluster.node("n1").start().await.unwrap();
    let (root, _) = Actor::spawn(None, Root, ()).await.unwrap();
    let manager = cluster.manager().build(&node).await.unwrap();
    let (actor, _) = Actor::spawn_linked(None, manager, (), root.get_cell())
        .await
        .unwrap();
    actor
        .cast(ManagerMessage::Cast("a".into(), Message::Add(1)))
        .unwrap();
    let count = ractor::call!(actor, ManagerMessage::Call, "a".to_owned(), Message::Add(1));
    assert_eq!(count.unwrap().unwrap(), 2);
    let agent = ractor::call!(actor, ManagerMessage::Get, "a".to_owned())
        .unwrap()
        .unwrap();
    assert_eq!(agent.call(Message::Get).await.unwrap(), 2);
    assert_eq!(
        ractor::call!(actor, ManagerMessage::Stats)
            .unwrap()
            .unwrap()
            .total,
        1
    );
    assert!(
        ractor::call!(actor, ManagerMessage::Stop, "a".to_owned())
            .unwrap()
            .unwrap()
    );
    let gone = ractor::call!(actor, ManagerMessage::Lookup, "a".to_owned())
        .unwrap()
        .unwrap();
    assert!(gone.is_none());

    // Stopped like any actor, it hibernates its agents first.
    assert_eq!(agent.call(Message::Add(1)).await.unwrap(), 3);
    actor.stop_and_wait(None, None).await.unwrap();
    let error: Error = agent.send_message(Message::Get).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stopped);
    let next = cluster.start("n2").await;
    assert_eq!(next.1.call("a", Message::Get).await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn managers_and_activations_are_invisible_to_other_nodes() {
    let nodes = Cluster::new().start_many(2).await;
    for i in 0..20 {
        nodes[0]
            .1
            .call(format!("key-{i}"), Message::Add(1))
            .await
            .unwrap();
    }
    let actors = ractor::registry::pid_registry::get_all_pids();
    assert!(actors.len() >= 20, "{}", actors.len());
    assert!(actors.iter().all(|actor| !actor.supports_remoting()));
}
