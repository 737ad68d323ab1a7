//! Batches: rule 2 for many commits at once.

use jido_core::{AgentId, Epoch};

use super::fixture::{
    World, checkpoint, commit, committed, conflict, entry, failed, fenced, id, note,
};
use crate::{AppendOutcome, ErrorKind};

super::cases![Batch: [
    each_of_a_batch_succeeds_or_fails_alone,
    commits_of_one_agent_keep_their_order,
    an_empty_batch_is_nothing,
    a_batch_may_be_larger_than_a_commit,
    what_fails_in_a_batch_leaves_its_own_agent_as_it_was,
    batches_in_opposite_orders_do_not_block_each_other,
]];

async fn each_of_a_batch_succeeds_or_fails_alone(world: World) {
    let one = world.node(1).await;
    let (a, b, c) = (id("a"), id("b"), id("c"));
    let (ea, eb) = (world.claim(&a, one).await, world.claim(&b, one).await);
    let limit = world.storage.capabilities().max_commit_bytes;
    let mut large = note(&a, ea, 1);
    large.checkpoint = Some(checkpoint(vec![1; limit], 0));
    let outcomes = world
        .storage
        .append_many(vec![
            note(&a, ea, 0),
            note(&b, eb, 5),
            note(&c, Epoch(1), 0),
            large,
            note(&b, eb, 0),
            note(&a, ea, 1),
            note(&b, Epoch(99), 1),
        ])
        .await;
    let [o0, o1, o2, o3, o4, o5, o6] =
        <[AppendOutcome; 7]>::try_from(outcomes).expect("an outcome each");
    assert_eq!(committed(o0), 1);
    assert_eq!(conflict(o1), 0);
    assert_eq!(fenced(o2), Epoch::ZERO);
    failed(o3, ErrorKind::TooLarge);
    assert_eq!(committed(o4), 1);
    assert_eq!(committed(o5), 2);
    assert_eq!(fenced(o6), eb);
    assert_eq!(world.thread(&a).await.len(), 2);
    assert_eq!(world.thread(&b).await.len(), 1);
    assert!(world.storage.head(&c).await.unwrap().is_none());
}

async fn commits_of_one_agent_keep_their_order(world: World) {
    let one = world.node(1).await;
    let (a, b) = (id("a"), id("b"));
    let (ea, eb) = (world.claim(&a, one).await, world.claim(&b, one).await);
    let commits = (0..100)
        .flat_map(|n| [note(&a, ea, n), note(&b, eb, n)])
        .collect();
    let outcomes = world.storage.append_many(commits).await;
    assert_eq!(outcomes.len(), 200);
    for (at, outcome) in outcomes.into_iter().enumerate() {
        assert_eq!(committed(outcome), at as u64 / 2 + 1);
    }
    // A release in the middle fences what comes after it.
    let mut release = note(&a, ea, 100);
    release.release = true;
    let mut outcomes = world
        .storage
        .append_many(vec![release, note(&a, ea, 101)])
        .await;
    assert_eq!(fenced(outcomes.pop().unwrap()), ea);
    assert_eq!(committed(outcomes.pop().unwrap()), 101);
}

async fn an_empty_batch_is_nothing(world: World) {
    assert!(world.storage.append_many(Vec::new()).await.is_empty());
}

async fn a_batch_may_be_larger_than_a_commit(world: World) {
    let one = world.node(1).await;
    let len = world.storage.capabilities().max_commit_bytes * 2 / 5;
    let ids: Vec<AgentId> = (0..6).map(|n| id(format!("a{n}"))).collect();
    let mut batch = Vec::new();
    for (at, id) in ids.iter().enumerate() {
        let mut large = commit(id, world.claim(id, one).await, 0);
        large.checkpoint = Some(checkpoint(vec![at as u8; len], 0));
        batch.push(large);
    }
    for outcome in world.storage.append_many(batch).await {
        assert_eq!(committed(outcome), 1);
    }
    for (at, id) in ids.iter().enumerate() {
        let loaded = world.storage.load(id).await.unwrap().unwrap();
        let state = loaded.checkpoint.expect("it was committed").state;
        assert!(state == vec![at as u8; len], "{id} has another state");
    }
}

async fn what_fails_in_a_batch_leaves_its_own_agent_as_it_was(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    committed(world.append(note(&a, epoch, 0)).await);
    // Each builds on a revision that only the one before it, which fails, would have made.
    let mut beyond = note(&a, epoch, 1);
    beyond.checkpoint = Some(checkpoint("state", 99));
    beyond.release = true;
    let batch = vec![beyond, note(&a, epoch, 2), note(&a, epoch, 1)];
    let mut outcomes = world.storage.append_many(batch).await.into_iter();
    failed(outcomes.next().unwrap(), ErrorKind::InvalidInput);
    assert_eq!(conflict(outcomes.next().unwrap()), 1);
    assert_eq!(committed(outcomes.next().unwrap()), 2);
    let loaded = world.storage.load(&a).await.unwrap().unwrap();
    assert_eq!((loaded.record.owner, loaded.checkpoint), (Some(one), None));
    assert_eq!(world.thread(&a).await.len(), 2);
}

async fn batches_in_opposite_orders_do_not_block_each_other(world: World) {
    const AGENTS: u64 = 6;
    let one = world.node(1).await;
    let mut owned = Vec::new();
    for n in 0..AGENTS {
        let id = id(format!("a{n}"));
        owned.push((id.clone(), world.claim(&id, one).await));
    }
    let tasks: Vec<_> = (0..6usize)
        .map(|task| {
            let (world, mut mine) = (world.clone(), owned.clone());
            mine.rotate_left(task);
            if task % 2 == 1 {
                mine.reverse();
            }
            tokio::spawn(async move {
                let mut revisions = vec![0; mine.len()];
                let mut won = 0;
                for _ in 0..15 {
                    let batch = mine.iter().zip(&revisions);
                    let batch = batch.map(|((id, epoch), revision)| {
                        let mut append = commit(id, *epoch, *revision);
                        append.entries.push(entry(format!("{task}")));
                        append
                    });
                    let outcomes = world.storage.append_many(batch.collect()).await;
                    assert_eq!(outcomes.len(), mine.len());
                    for (revision, outcome) in revisions.iter_mut().zip(outcomes) {
                        match outcome {
                            AppendOutcome::Committed(now) => {
                                assert_eq!(now.0, *revision + 1);
                                *revision = now.0;
                                won += 1;
                            }
                            AppendOutcome::Conflict { actual } => *revision = actual.0,
                            other => panic!("{other:?}"),
                        }
                    }
                }
                won
            })
        })
        .collect();
    let mut won = 0;
    for task in tasks {
        won += task.await.unwrap();
    }
    let mut found = 0;
    for (id, _) in &owned {
        let head = world.head(id).await;
        assert_eq!(head.revision.0, head.thread_len.0, "one entry a commit");
        assert_eq!(world.thread(id).await.len() as u64, head.thread_len.0);
        found += head.thread_len.0;
    }
    assert_eq!(found, won, "acknowledged and found differ");
}
