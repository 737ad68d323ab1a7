//! Reminders that are replaced, forgotten, deleted with their agent, and kept by hibernation.

use super::*;

#[tokio::test(start_paused = true)]
async fn patterns_replacing_and_forgetting() {
    let world = World::new();
    let (_node, handle) = world.start("n1").await;
    handle
        .call("a", Order::Cron("c".into(), "* * * * *".into()))
        .await
        .unwrap();
    world.called("c", 2).await;
    let rung = handle.call("a", Order::Rung).await.unwrap();
    assert_eq!(rung[0].1 % 60_000, 0);
    assert_eq!(rung[1].1, rung[0].1 + 60_000);
    let due = world.now() + 3_600_000;
    handle.call("a", Order::At("c".into(), due)).await.unwrap();
    handle.call("a", Order::At("d".into(), due)).await.unwrap();
    let names = handle.call("a", Order::Names).await.unwrap();
    assert_eq!(names, [("c".into(), due), ("d".into(), due)]);
    handle.call("a", Order::Forget("d".into())).await.unwrap();
    let error = handle
        .call("a", Order::Cron("e".into(), "nonsense".into()))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("nonsense"), "{error}");
    // A message that fails sets nothing.
    handle
        .call("a", Order::SetAndFail("f".into()))
        .await
        .unwrap_err();
    assert_eq!(
        handle.call("a", Order::Names).await.unwrap(),
        [("c".into(), due)]
    );
    tokio::time::sleep(seconds(3_700)).await;
    assert_eq!(world.calls.of("c").len(), 3);
    assert!(world.calls.of("d").is_empty() && world.calls.of("f").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_agent_is_reminded_of_nothing() {
    let world = World::new();
    let (_node, handle) = world.start("n1").await;
    handle
        .call("a", Order::At("one".into(), world.now() + 5_000))
        .await
        .unwrap();
    handle.delete("a").await.unwrap();
    tokio::time::sleep(seconds(30)).await;
    assert!(world.calls.of("one").is_empty());
    assert!(!runs(&handle, "a").await);
}

#[tokio::test(start_paused = true)]
async fn where_hibernation_commits_they_are_kept_with_the_rest() {
    let world = World::new();
    let manager = world.manager().durability(Durability::Hibernate);
    let (_node, handle) = world.start_with("n1", manager).await;
    let due = world.now() + 5_000;
    handle
        .call("a", Order::At("one".into(), due))
        .await
        .unwrap();
    handle
        .call("a", Order::At("two".into(), due + 60_000))
        .await
        .unwrap();
    assert!(
        !world.is_due(u64::MAX >> 1).await,
        "nothing is written before"
    );
    world.called("one", 1).await;
    handle.stop("a").await.unwrap();
    assert!(world.is_due(due + 60_000).await);
    world.called("two", 1).await;
    assert_eq!(world.calls.of("one").len(), 1);
    let rung = handle.call("a", Order::Rung).await.unwrap();
    assert_eq!(rung, [("one".into(), due), ("two".into(), due + 60_000)]);
}

#[tokio::test(start_paused = true)]
async fn one_that_another_node_has_set_comes_to_an_agent_that_was_parked_meanwhile() {
    let world = World::new();
    // Soon enough that none that is due is met running.
    let quiet = Duration::from_millis(100);
    let manager = || world.manager().park_after(quiet).idle_timeout(None);
    let (one, handle) = world.start_with("n1", manager()).await;
    let (two, other) = world.start_with("n2", manager()).await;
    crate::harness::met(&one, 2).await;
    crate::harness::met(&two, 2).await;
    let mut key = "a".to_owned();
    while handle.owner(&key).await.unwrap().placed.as_ref() != Some(&one.me().name) {
        key.push('a');
    }
    handle.call(&key, Order::Rung).await.unwrap();
    tokio::time::sleep(seconds(30)).await;
    assert_eq!(handle.stats().await.unwrap().parked, 1);

    world.cluster.network.disconnect(one.incarnation());
    crate::harness::met(&two, 1).await;
    let due = world.now() + 5_000;
    other
        .call(&key, Order::At("one".into(), due))
        .await
        .unwrap();
    // Given back, so that nobody has it but, as it thinks, the first.
    two.drain().await;
    world.called("one", 1).await;
    let called = world.calls.of("one")[0];
    assert!(called < due + 30_000, "{due}, called at {called}");
    let rung = handle.call(&key, Order::Rung).await.unwrap();
    assert_eq!(rung, [("one".into(), due)]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_written_yet_comes_in_time_to_an_agent_that_could_be_parked() {
    let world = World::new();
    let manager = world.manager().durability(Durability::Hibernate);
    let manager = manager.park_after(seconds(10)).idle_timeout(seconds(300));
    let (_node, handle) = world.start_with("n1", manager).await;
    let due = world.now() + 60_000;
    handle
        .call("a", Order::At("one".into(), due))
        .await
        .unwrap();
    world.called("one", 1).await;
    let called = world.calls.of("one")[0];
    assert!(called < due + 5_000, "{due}, called at {called}");
    // That it came isn't written either, and is before long.
    tokio::time::sleep(seconds(400)).await;
    assert!(!runs(&handle, "a").await, "it never came to rest");
    assert_eq!(world.calls.of("one").len(), 1);
    let rung = handle.call("a", Order::Rung).await.unwrap();
    assert_eq!(rung, [("one".into(), due)]);
}
