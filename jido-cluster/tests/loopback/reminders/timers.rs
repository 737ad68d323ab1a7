//! Messages that an agent schedules in memory.

use super::*;
use crate::faults::{Fault, Faulty};
use jido_cluster::MAX_TIMERS;

async fn ticks(handle: &Handle<Sleeper>, key: &str) -> usize {
    handle.call(key, Order::Rung).await.unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn they_come_in_time_and_keep_the_agent_awake_until_then() {
    let world = World::new();
    let manager = world
        .manager()
        .park_after(seconds(2))
        .idle_timeout(seconds(4));
    let (_node, handle) = world.start_with("n1", manager).await;
    let set = world.now();
    handle.call("a", Order::Later(vec![30, 10])).await.unwrap();
    tokio::time::sleep(seconds(29)).await;
    assert!(runs(&handle, "a").await, "it has something to do yet");
    eventually(|| world.now() > set + 31_000).await;
    let rung = handle.call("a", Order::Rung).await.unwrap();
    let times: Vec<u64> = rung.iter().map(|(_, at)| at - set).collect();
    assert!(
        (10_000..10_100).contains(&times[0]) && (30_000..30_100).contains(&times[1]),
        "{times:?}"
    );
    tokio::time::sleep(seconds(30)).await;
    assert!(!runs(&handle, "a").await);
}

#[tokio::test(start_paused = true)]
async fn they_go_with_the_activation_and_with_what_failed() {
    let storage = Faulty::new();
    let world = World::on(storage.clone());
    let (_node, handle) = world.start("n1").await;
    handle.call("a", Order::LaterAndFail).await.unwrap_err();
    handle.call("b", Order::Later(vec![10])).await.unwrap();
    handle.stop("b").await.unwrap();
    // One that waits for a commit that fails.
    handle.call("c", Order::Rung).await.unwrap();
    storage.set(Fault::FailBefore);
    let (changed, scheduled) = tokio::join!(
        handle.call_timeout("c", Order::At("x".into(), u64::MAX >> 16), seconds(2)),
        handle.call_timeout("c", Order::Later(vec![5]), seconds(2)),
    );
    changed.unwrap_err();
    drop(scheduled);
    storage.set(Fault::None);
    tokio::time::sleep(seconds(60)).await;
    for key in ["a", "b"] {
        assert_eq!(ticks(&handle, key).await, 0, "{key}");
    }
    assert!(
        ticks(&handle, "c").await <= 1,
        "it came as often as it was scheduled"
    );
}

#[tokio::test(start_paused = true)]
async fn there_are_only_so_many() {
    let world = World::new();
    let (_node, handle) = world.start("n1").await;
    let most = vec![60; MAX_TIMERS];
    handle.call("a", Order::Later(most)).await.unwrap();
    let error = handle.call("a", Order::Later(vec![1])).await.unwrap_err();
    assert!(error.to_string().contains("1000"), "{error}");
    tokio::time::sleep(seconds(61)).await;
    assert_eq!(ticks(&handle, "a").await, MAX_TIMERS);
    handle.call("a", Order::Later(vec![1])).await.unwrap();
}
