//! One agent's life: sleep, failure, deletion, limits.

use std::time::Duration;

use jido_cluster::{ErrorKind, Executed, Handle, Seq};

use crate::faults::{Fault, Faulty};
use crate::harness::{Cluster, Counter, Message, agent_id, eventually, key_on};

#[tokio::test(start_paused = true)]
async fn stop_hibernates_and_the_next_call_thaws() {
    let nodes = Cluster::new().start_many(2).await;
    for key in ["a", "b", "c", "d"] {
        nodes[0].1.call(key, Message::Add(7)).await.unwrap();
        assert!(nodes[1].1.lookup(key).await.unwrap().is_some());
        assert!(nodes[0].1.stop(key).await.unwrap());
        assert!(nodes[1].1.lookup(key).await.unwrap().is_none());
        assert!(!nodes[1].1.stop(key).await.unwrap());
        assert_eq!(nodes[1].1.owner(key).await.unwrap().owner, None);
        let reply = nodes[1].1.request(key, Message::Get).send().await.unwrap();
        assert_eq!((reply.value, reply.epoch.0), (7, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_agent_hibernates_by_itself() {
    let cluster = Cluster::new();
    let node = cluster.node("n1").start().await.unwrap();
    let handle = cluster
        .manager()
        .idle_timeout(Duration::from_secs(60))
        .start(&node)
        .await
        .unwrap();
    handle.call("a", Message::Add(1)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(handle.lookup("a").await.unwrap().is_some());
    // The environment's clock is the machine's own, and goes on slowly while
    // tokio's is paused, so that a shorter time-out is used to see it pass.
    let short = cluster.node("n2").start().await.unwrap();
    let manager = jido_cluster::InstanceManager::<crate::harness::Counter>::builder("short")
        .shared_storage(cluster.storage.clone())
        .idle_timeout(Duration::from_millis(1));
    let handle = manager.start(&short).await.unwrap();
    handle.call("a", Message::Add(1)).await.unwrap();
    tokio::time::timeout(Duration::from_secs(60_000), async {
        while handle.lookup("a").await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(handle.call("a", Message::Get).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_message_leaves_nothing_behind() {
    let nodes = Cluster::new().start_many(2).await;
    for (_, handle) in &nodes {
        handle.call("a", Message::Add(1)).await.unwrap();
        for (message, word) in [(Message::Fail, "failed"), (Message::Panic, "panicked")] {
            let before = handle.call("a", Message::Get).await.unwrap();
            let error = handle.call("a", message).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.executed()),
                (ErrorKind::Agent, Executed::No)
            );
            assert!(error.to_string().contains(word), "{error}");
            assert_eq!(handle.call("a", Message::Get).await.unwrap(), before);
        }
    }
    // It was one activation all along.
    let reply = nodes[0].1.request("a", Message::Get).send().await.unwrap();
    assert_eq!((reply.value, reply.epoch.0), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn entries_are_journaled_in_order_with_the_state() {
    let cluster = Cluster::new();
    let nodes = cluster.start_many(1).await;
    let handle = &nodes[0].1;
    for i in 0..5 {
        handle
            .call("a", Message::Note(format!("note {i}")))
            .await
            .unwrap();
        let _ = handle.call("a", Message::Fail).await;
    }
    handle.stop("a").await.unwrap();
    handle
        .call("a", Message::Note("after".into()))
        .await
        .unwrap();
    let thread = cluster
        .storage
        .read_thread(&agent_id("counters", "a"), Seq(0), 100)
        .await
        .unwrap();
    let notes: Vec<String> = thread
        .iter()
        .map(|e| jido_core::decode_payload(&e.payload).unwrap())
        .collect();
    assert_eq!(
        notes,
        ["note 0", "note 1", "note 2", "note 3", "note 4", "after"]
    );
    assert!(
        thread
            .iter()
            .zip(0..)
            .all(|(entry, seq)| entry.seq == Seq(seq))
    );
    assert_eq!(thread[5].epoch.0, 2);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_agent_starts_afresh() {
    let nodes = Cluster::new().start_many(2).await;
    for (i, key) in ["a", "b", "c"].into_iter().enumerate() {
        nodes[0].1.call(key, Message::Add(9)).await.unwrap();
        nodes[i % 2].1.delete(key).await.unwrap();
        assert_eq!(nodes[1].1.call(key, Message::Get).await.unwrap(), 0);
    }
    nodes[0].1.delete("never-seen").await.unwrap();
    let page = nodes[0].1.keys(None, 10).await.unwrap();
    let keys: Vec<&str> = page
        .agents
        .iter()
        .map(|agent| agent.id.key.as_str())
        .collect();
    assert_eq!(keys, ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_time_out_and_a_late_message_is_not_executed() {
    let nodes = Cluster::new().start_many(2).await;
    for (_, handle) in &nodes {
        let before = handle.call("slow", Message::Get).await.unwrap();
        let timeout = Duration::from_millis(100);
        let slow = handle.call_timeout("slow", Message::Slow(60_000), timeout);
        let error = slow.await.unwrap_err();
        assert_eq!(
            (error.kind(), error.executed()),
            (ErrorKind::Timeout, Executed::Maybe)
        );
        // The agent goes on with the message that it had begun.
        let long = Duration::from_secs(100);
        let after = handle
            .call_timeout("slow", Message::Get, long)
            .await
            .unwrap();
        assert_eq!(after, before + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_refuses_at_once() {
    let cluster = Cluster::new();
    let node = cluster.node("n1").start().await.unwrap();
    let handle = cluster
        .manager()
        .mailbox_limit(3)
        .start(&node)
        .await
        .unwrap();
    handle.call("a", Message::Get).await.unwrap();
    let calls = (0..10).map(|_| handle.call("a", Message::Slow(10)));
    let results = futures_util::future::join_all(calls).await;
    let overloaded = results
        .iter()
        .filter_map(|result| result.as_ref().err())
        .filter(|e| e.kind() == ErrorKind::Overloaded && e.executed() == Executed::No)
        .count();
    assert_eq!(overloaded, 7);
    assert_eq!(handle.call("a", Message::Get).await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn whoever_stops_a_busy_agent_waits_no_longer_than_a_caller() {
    let nodes = Cluster::new().start_many(2).await;
    let (node, handle) = &nodes[0];
    let key = key_on(handle, node).await;
    handle.call(&key, Message::Get).await.unwrap();
    let (busy, busy_key) = (handle.clone(), key.clone());
    let minute = Duration::from_secs(60);
    tokio::spawn(async move {
        busy.call_timeout(busy_key, Message::Slow(20_000), minute)
            .await
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    for (_, handle) in &nodes {
        let began = tokio::time::Instant::now();
        let error = handle.stop(&key).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.executed()),
            (ErrorKind::Timeout, Executed::Maybe)
        );
        assert_eq!(began.elapsed().as_secs(), 5);
    }
    // It stops all the same, and what it was at is there.
    eventually_stopped(handle, &key).await;
    assert_eq!(handle.call(&key, Message::Get).await.unwrap(), 1);
}

async fn eventually_stopped(handle: &Handle<Counter>, key: &str) {
    while handle.lookup(key).await.unwrap().is_some() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn replies_that_wait_for_a_commit_are_bounded_too() {
    let storage = Faulty::new();
    let cluster = Cluster::on(storage.clone());
    let node = cluster.node("n1").start().await.unwrap();
    let manager = cluster.manager().mailbox_limit(3);
    let handle = manager.start(&node).await.unwrap();
    handle.call("a", Message::Get).await.unwrap();
    storage.set(Fault::SlowAcks);
    let short = Duration::from_millis(10);
    let mut ends = Vec::new();
    for message in [Message::Add(1), Message::Get, Message::Get, Message::Get] {
        let error = handle.call_timeout("a", message, short).await.unwrap_err();
        ends.push((error.kind(), error.executed()));
    }
    // Nobody waits for them any more, and yet they are there.
    assert!(
        ends[..3].iter().all(|end| end.0 == ErrorKind::Timeout),
        "{ends:?}"
    );
    assert_eq!(ends[3], (ErrorKind::Overloaded, Executed::No));
    storage.set(Fault::None);
    let long = Duration::from_secs(60);
    loop {
        match handle.call_timeout("a", Message::Get, long).await {
            Ok(count) => break assert_eq!(count, 1),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Overloaded),
        }
        tokio::time::sleep(short).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_state_beyond_the_limit_fails_its_own_message_alone() {
    let nodes = Cluster::new().start_many(1).await;
    let handle = &nodes[0].1;
    handle.call("a", Message::Add(1)).await.unwrap();
    let error = handle
        .call("a", Message::Note("x".repeat(9 << 20)))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.executed()),
        (ErrorKind::InvalidInput, Executed::No)
    );
    assert!(error.to_string().contains("8388608"), "{error}");
    assert_eq!(handle.call("a", Message::Add(1)).await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_message_too_large_to_travel_is_refused_by_the_sender() {
    let nodes = Cluster::new().start_many(2).await;
    let key = crate::harness::key_on(&nodes[0].1, &nodes[1].0).await;
    let error = nodes[0]
        .1
        .call(&key, Message::Note("x".repeat(9 << 20)))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.executed()),
        (ErrorKind::InvalidInput, Executed::No)
    );
    assert!(error.to_string().contains("limit"), "{error}");
    assert_eq!(nodes[0].1.call(&key, Message::Add(1)).await.unwrap(), 1);
    eventually(|| nodes[0].0.members().len() == 2).await;
}
