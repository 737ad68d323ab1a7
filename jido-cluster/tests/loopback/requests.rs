//! Every request takes effect once, however often it is sent.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jido_cluster::{Durability, ErrorKind, Executed, RequestId, RequestOutcome, Timestamp};

use crate::harness::{Cluster, Message, key_on};

fn id(n: u128) -> RequestId {
    RequestId::new(n, 0)
}

#[tokio::test(start_paused = true)]
async fn a_retry_gets_the_reply_of_the_first_try_wherever_it_is_sent() {
    let cluster = Cluster::new();
    let nodes = cluster.start_many(2).await;
    let key = key_on(&nodes[0].1, &nodes[1].0).await;
    let first = nodes[0].1.request(&key, Message::Add(5)).id(id(1));
    let first = first.send().await.unwrap();
    nodes[0].1.call(&key, Message::Add(100)).await.unwrap();
    for (_, handle) in nodes.iter().cycle().take(4) {
        let again = handle.request(&key, Message::Add(5)).id(id(1));
        let again = again.send().await.unwrap();
        assert_eq!((again.value, again.revision), (first.value, first.revision));
    }
    nodes[1]
        .1
        .request(&key, Message::Add(5))
        .id(id(1))
        .cast()
        .await
        .unwrap();
    assert_eq!(nodes[0].1.call(&key, Message::Get).await.unwrap(), 105);
    // Also when the agent has slept, and on another node.
    assert!(nodes[0].1.stop(&key).await.unwrap());
    nodes[1].0.drain().await;
    let again = nodes[0].1.request(&key, Message::Add(5)).id(id(1));
    assert_eq!(again.send().await.unwrap().value, 5);
    assert_eq!(nodes[0].1.call(&key, Message::Get).await.unwrap(), 105);
}

#[tokio::test(start_paused = true)]
async fn tries_that_come_at_once_take_effect_once() {
    let nodes = Cluster::new().start_many(2).await;
    let key = key_on(&nodes[0].1, &nodes[0].0).await;
    let tries = (0..20).map(|i| {
        let request = nodes[i % 2].1.request(&key, Message::Slow(3)).id(id(9));
        request.send()
    });
    for reply in futures_util::future::join_all(tries).await {
        assert_eq!(reply.unwrap().value, 1);
    }
    assert_eq!(nodes[0].1.call(&key, Message::Get).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_session_ended_is_tried_again_and_applied_once() {
    // Cut off in the middle of its handler or of its commit, the owner goes on, and its
    // commit takes effect or is fenced. Whichever it is, the caller's next try finds out.
    for cut_after in 0..=14 {
        let cluster = Cluster::on(crate::faults::slow());
        let nodes = cluster.start_many(2).await;
        let key = key_on(&nodes[0].1, &nodes[1].0).await;
        nodes[0].1.call(&key, Message::Add(10)).await.unwrap();
        let call = nodes[0].1.call(&key, Message::Slow(6));
        let cut = async {
            tokio::time::sleep(Duration::from_millis(cut_after)).await;
            cluster.network.disconnect(nodes[1].0.incarnation());
        };
        let (reply, ()) = tokio::join!(call, cut);
        assert_eq!(reply.unwrap(), 11, "cut after {cut_after} ms");
        assert_eq!(nodes[0].1.call(&key, Message::Get).await.unwrap(), 11);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_as_final_only_where_no_try_may_come_after_it() {
    for cut_off in [false, true] {
        let cluster = Cluster::new();
        let nodes = cluster.start_many(2).await;
        let key = key_on(&nodes[0].1, &nodes[1].0).await;
        nodes[0].1.cast(&key, Message::Slow(20)).await.unwrap();
        let call = nodes[0].1.call(&key, Message::Fail);
        let cut = async {
            // It waits behind the slow one.
            tokio::time::sleep(Duration::from_millis(10)).await;
            if cut_off {
                cluster.network.disconnect(nodes[1].0.incarnation());
            }
        };
        let (reply, ()) = tokio::join!(call, cut);
        let error = reply.unwrap_err();
        let executed = match cut_off {
            true => Executed::Maybe,
            false => Executed::No,
        };
        assert_eq!(
            (error.kind(), error.executed()),
            (ErrorKind::Agent, executed)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_changes_nothing_commits_only_where_it_may_come_again() {
    let cluster = Cluster::new();
    let (_node, handle) = cluster.start("n1").await;
    let first = handle.request("a", Message::Get).send().await.unwrap();
    assert_eq!(first.revision.0, 0);
    let named = || handle.request("a", Message::Get).id(id(1)).send();
    let answered = named().await.unwrap();
    assert_eq!((answered.value, answered.revision.0), (0, 1));
    handle.call("a", Message::Add(3)).await.unwrap();
    let again = named().await.unwrap();
    assert_eq!((again.value, again.revision.0), (0, 1));
    assert_eq!(
        handle.outcome("a", id(1)).await.unwrap(),
        RequestOutcome::Committed(0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_retry_from_before_the_window_is_refused_and_one_within_it_is_not() {
    let cluster = Cluster::new();
    let node = cluster.node("n1").start().await.unwrap();
    let manager = cluster.manager().request_window(3, Duration::from_secs(60));
    let handle = manager.start(&node).await.unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = now.as_millis() as u64;
    let send = |n: u64, by| {
        let request = handle.request("a", Message::Add(by)).id(id(u128::from(n)));
        request.issued_at(Timestamp(now + n)).send()
    };
    for n in 1..=5 {
        send(n, 1).await.unwrap();
    }
    for n in 3..=5 {
        assert_eq!(send(n, 1).await.unwrap().value, n as i64);
    }
    let error = send(2, 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Expired);
    assert_eq!(error.executed(), Executed::Maybe);
    assert!(!error.is_retryable());
    assert_eq!(handle.call("a", Message::Get).await.unwrap(), 5);
    // As storage keeps it.
    assert!(handle.stop("a").await.unwrap());
    assert_eq!(send(2, 1).await.unwrap_err().kind(), ErrorKind::Expired);
    assert_eq!(send(4, 1).await.unwrap().value, 4);
}

#[tokio::test(start_paused = true)]
async fn a_request_from_the_future_is_refused_and_drives_out_no_other() {
    let cluster = Cluster::new();
    let (_node, handle) = cluster.start("n1").await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let made = |minutes: u64| now.as_millis() as u64 + minutes * 60_000;
    // A UUID of version 7, and one that doesn't tell.
    let tells = id(u128::from(made(7)) << 80 | 7 << 76 | 0b10 << 62);
    let request = || handle.request("a", Message::Add(1));
    for request in [
        request().id(tells),
        request().id(id(1)).issued_at(Timestamp(made(7))),
        request().id(id(1)).issued_at(Timestamp(u64::MAX)),
    ] {
        let error = request.send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.executed(), Executed::No);
        assert!(error.to_string().contains("at most 300 s"), "{error}");
    }
    let request = request().id(id(1)).issued_at(Timestamp(made(4)));
    assert_eq!(request.send().await.unwrap().value, 1);
}

#[tokio::test(start_paused = true)]
async fn the_outcome_of_a_request_can_be_asked_for() {
    let cluster = Cluster::new();
    let nodes = cluster.start_many(2).await;
    let key = key_on(&nodes[0].1, &nodes[1].0).await;
    let handle = &nodes[0].1;
    assert_eq!(
        handle.outcome(&key, id(1)).await.unwrap(),
        RequestOutcome::NotApplied
    );
    handle
        .request(&key, Message::Add(7))
        .id(id(1))
        .send()
        .await
        .unwrap();
    handle
        .request(&key, Message::Fail)
        .id(id(2))
        .send()
        .await
        .unwrap_err();
    for (n, expected) in [
        (1, RequestOutcome::Committed(7)),
        (2, RequestOutcome::NotApplied),
        (3, RequestOutcome::NotApplied),
    ] {
        assert_eq!(handle.outcome(&key, id(n)).await.unwrap(), expected);
    }
    // It waits for what is on its way to storage.
    handle
        .request(&key, Message::Slow(20))
        .id(id(4))
        .cast()
        .await
        .unwrap();
    assert_eq!(
        handle.outcome(&key, id(4)).await.unwrap(),
        RequestOutcome::Committed(8)
    );
}

#[tokio::test(start_paused = true)]
async fn without_records_nothing_is_said_that_isnt_known() {
    let cluster = Cluster::new();
    let node = cluster.node("n1").start().await.unwrap();
    let manager = cluster.manager().durability(Durability::Hibernate);
    let handle = manager.start(&node).await.unwrap();
    for _ in 0..2 {
        let request = handle.request("a", Message::Add(1)).id(id(1));
        request.send().await.unwrap();
    }
    assert_eq!(handle.call("a", Message::Get).await.unwrap(), 2);
    assert_eq!(
        handle.outcome("a", id(1)).await.unwrap(),
        RequestOutcome::Unknown
    );
}

#[tokio::test(start_paused = true)]
async fn a_window_that_holds_nothing_is_refused() {
    let cluster = Cluster::new();
    let node = cluster.node("n1").start().await.unwrap();
    for (count, age, field) in [
        (0, Duration::from_secs(60), "count"),
        (1, Duration::from_millis(999), "age"),
    ] {
        let manager = cluster.manager().request_window(count, age);
        let error = manager.start(&node).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(field), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_that_tells_when_it_was_made_is_believed_before_the_caller() {
    let cluster = Cluster::new();
    let node = cluster.node("n1").start().await.unwrap();
    let manager = cluster
        .manager()
        .request_window(3, Duration::from_secs(600));
    let handle = manager.start(&node).await.unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    // A UUID of version 7.
    let telling = id(now.as_millis() << 80 | 7 << 76 | 2 << 62);
    let made = telling.issued_at().unwrap().0;
    let add = |id, made| {
        let request = handle.request("a", Message::Add(1)).id(id);
        request.issued_at(Timestamp(made)).send()
    };
    assert_eq!(add(telling, made - 5_000).await.unwrap().value, 1);
    for n in 1..=3 {
        add(id(n), made + 1).await.unwrap();
    }
    // It is forgotten, and so nobody knows whether it was applied.
    let outcome = handle.outcome("a", telling).await.unwrap();
    assert_eq!(outcome, RequestOutcome::Unknown);
}
