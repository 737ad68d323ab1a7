//! Reminders whose handler or whose commit fails.

use super::*;
use crate::faults::{Fault, Faulty};

/// Waits until one that fails four times was tried as often and once more.
async fn tried_at_growing_intervals(world: &World) {
    world.called("fails-4", 5).await;
    let calls = world.calls.of("fails-4");
    let pauses: Vec<u64> = calls.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (pause, least) in pauses.iter().zip([1_000, 2_000, 4_000, 8_000]) {
        assert!((least..least * 5 / 4 + 100).contains(pause), "{pauses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_is_tried_again_at_growing_intervals_and_applied_once() {
    let world = World::new();
    let (_node, handle) = world.start("n1").await;
    let due = world.now() + 5_000;
    // The first call panics, the next three fail.
    handle
        .call("a", Order::At("fails-4".into(), due))
        .await
        .unwrap();
    handle
        .call("a", Order::At("other".into(), due))
        .await
        .unwrap();
    tried_at_growing_intervals(&world).await;
    // It held the other up no longer than its call took.
    assert!(world.calls.of("other")[0] < due + 500);
    let mut rung = handle.call("a", Order::Rung).await.unwrap();
    rung.sort();
    assert_eq!(rung, [("fails-4".into(), due), ("other".into(), due)]);
    let thread = handle.thread("a", jido_cluster::Seq(0), 10).await.unwrap();
    assert_eq!(thread.len(), 2, "what failed left no entry");
    tokio::time::sleep(seconds(120)).await;
    assert_eq!(world.calls.of("fails-4").len(), 5);
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_waits_as_long_where_its_agent_could_be_parked_meanwhile() {
    let world = World::new();
    let manager = world.manager().park_after(Duration::from_millis(300));
    let (_node, handle) = world.start_with("n1", manager).await;
    let due = world.now() + 5_000;
    let order = Order::At("fails-4".into(), due);
    handle.call("a", order).await.unwrap();
    tried_at_growing_intervals(&world).await;
    let parked = async || handle.stats().await.unwrap().parked;
    while parked().await == 0 {
        tokio::time::sleep(seconds(1)).await;
    }
}

/// Whatever becomes of the commit that carries an occurrence's effect, it is applied once.
#[tokio::test(start_paused = true)]
async fn one_whose_commit_fails_or_is_in_doubt_is_applied_once() {
    for fault in [
        Fault::FailBefore,
        Fault::UnknownNotApplied,
        Fault::UnknownApplied,
    ] {
        let storage = Faulty::new();
        let world = World::on(storage.clone());
        let (_node, handle) = world.start("n1").await;
        let due = world.now() + 5_000;
        handle
            .call("a", Order::At("one".into(), due))
            .await
            .unwrap();
        tokio::time::sleep(seconds(4)).await;
        storage.set(fault);
        world.called("one", 1).await;
        tokio::time::sleep(seconds(3)).await;
        storage.set(Fault::None);
        tokio::time::sleep(seconds(120)).await;
        let calls = world.calls.of("one").len();
        assert_eq!(
            calls == 1,
            fault == Fault::UnknownApplied,
            "{calls} calls after {fault:?}"
        );
        assert!(
            calls <= 4,
            "{calls} calls after {fault:?}: pauses don't grow"
        );
        let rung = handle.call("a", Order::Rung).await.unwrap();
        assert_eq!(rung, [("one".into(), due)], "{fault:?}");
        let thread = handle.thread("a", jido_cluster::Seq(0), 10).await.unwrap();
        assert_eq!(thread.len(), 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn storage_that_was_away_when_one_was_due_is_asked_again() {
    let storage = Faulty::new();
    let world = World::on(storage.clone());
    let (_node, handle) = world.start("n1").await;
    let due = world.now() + 5_000;
    handle
        .call("a", Order::At("one".into(), due))
        .await
        .unwrap();
    handle.stop("a").await.unwrap();
    storage.set(Fault::Unavailable);
    tokio::time::sleep(seconds(60)).await;
    assert!(world.calls.of("one").is_empty());
    storage.set(Fault::None);
    world.called("one", 1).await;
    assert_eq!(
        handle.call("a", Order::Rung).await.unwrap(),
        [("one".into(), due)]
    );
}
