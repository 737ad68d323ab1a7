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
