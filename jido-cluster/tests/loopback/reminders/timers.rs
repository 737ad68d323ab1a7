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
        handle.call_timeout("c", Order::At("x".into(), u64::MAX >> 17), seconds(2)),
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

/// Nobody but the agent itself would begin anew what goes on by such messages.
#[tokio::test(start_paused = true)]
async fn one_whose_commit_fails_comes_again_at_growing_intervals() {
    let growing = [10_000, 1_000, 2_000, 4_000];
    let once = [10_000, 1_000, 10_000, 10_000];
    for (fault, expected) in [
        (Fault::FailBefore, growing),
        (Fault::UnknownNotApplied, once),
    ] {
        let storage = Faulty::new();
        let world = World::on(storage.clone());
        let (_node, handle) = world.start("n1").await;
        handle.call("a", Order::Beat(10)).await.unwrap();
        storage.set(fault);
        world.called("beat", 5).await;
        storage.set(Fault::None);
        let calls = world.calls.of("beat");
        let pauses: Vec<u64> = calls.windows(2).map(|pair| pair[1] - pair[0]).collect();
        // To find out what became of a commit takes no longer than half a second.
        for (pause, least) in pauses.iter().zip(expected) {
            let most = least * 5 / 4 + 500;
            assert!((least..most).contains(pause), "{fault:?}: {pauses:?}");
        }
        world.called("beat", 8).await;
        // Those that were undone left nothing behind, and the others came in between.
        let rung = handle.call("a", Order::Rung).await.unwrap();
        let kept: Vec<u64> = rung.iter().map(|(_, at)| *at).collect();
        let calls = world.calls.of("beat");
        assert_eq!(kept[0], calls[0], "{fault:?}");
        assert_eq!(kept[1..], calls[calls.len() - (kept.len() - 1)..]);
        let pauses = kept[1..].windows(2).map(|pair| pair[1] - pair[0]);
        for pause in pauses {
            assert!((10_000..10_500).contains(&pause), "{fault:?}: {kept:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_for_storage_comes_as_soon_as_a_commit_went_well() {
    let storage = Faulty::new();
    let world = World::on(storage.clone());
    let (_node, handle) = world.start("n1").await;
    handle.call("a", Order::Beat(10)).await.unwrap();
    storage.set(Fault::FailBefore);
    world.called("beat", 7).await;
    // Its commit fails at once, and the next is tried 30 s later.
    tokio::time::sleep(seconds(1)).await;
    storage.set(Fault::None);
    let later = Order::At("later".into(), u64::MAX >> 17);
    handle.call("a", later).await.unwrap();
    let committed = world.now();
    world.called("beat", 8).await;
    let called = world.calls.of("beat")[7];
    assert!(called < committed + 100, "{committed}, called at {called}");
}

#[tokio::test(start_paused = true)]
async fn one_may_be_as_far_off_as_one_can_say() {
    let world = World::new();
    let (_node, handle) = world.start("n1").await;
    let times = vec![u64::MAX, 1];
    handle.call("a", Order::Later(times)).await.unwrap();
    tokio::time::sleep(seconds(3 * 60 * 60)).await;
    assert_eq!(ticks(&handle, "a").await, 1);
    let never = Order::Every("never".into(), u64::MAX, Missed::All);
    let error = handle.call("a", never).await.unwrap_err();
    assert!(error.to_string().contains("never occur"), "{error}");
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

/// On a clock that goes by itself: the agent never rests.
#[tokio::test]
async fn an_agent_that_sends_itself_one_after_the_other_is_reminded_too() {
    let world = World::new();
    let (_node, handle) = world.start("n1").await;
    handle.call("a", Order::Beat(0)).await.unwrap();
    let ring = Order::At("ring".into(), world.now());
    handle.call("a", ring).await.unwrap();
    world.called("ring", 1).await;
    assert!(world.calls.of("beat").len() > 1);
}
