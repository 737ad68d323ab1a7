//! Many tasks at once.

use std::collections::{BTreeMap, BTreeSet};

use jido_core::{AgentId, Epoch, Incarnation, Seq, Timestamp};

use super::fixture::{Draw, World, checkpoint, commit, committed, entry, id, note};
use crate::{AppendOutcome, ClaimOutcome};

super::cases![Whole: [
    one_of_many_claims_an_agent,
    one_of_many_follows_the_dead,
    one_of_many_appends_a_revision,
    one_of_many_releases_and_deletes,
    claims_appends_and_releases_at_once,
    many_agents_at_once,
]];

async fn one_of_many_claims_an_agent(world: World) {
    for round in 0..10 {
        let a = id(format!("a{round}"));
        let mut tasks = Vec::new();
        for node in 1..=20u128 {
            if round == 0 {
                world.node(node).await;
            }
            let (world, a) = (world.clone(), a.clone());
            tasks.push(tokio::spawn(async move {
                world.try_claim(&a, Incarnation(node), None).await
            }));
        }
        let mut claimed = 0;
        for task in tasks {
            claimed += usize::from(matches!(task.await.unwrap(), ClaimOutcome::Claimed(_)));
        }
        assert_eq!(claimed, 1);
    }
}

async fn one_of_many_follows_the_dead(world: World) {
    for life in 1..=16 {
        world.node(life).await;
    }
    for round in 0..8u128 {
        let dead = world.node(100 + round).await;
        let a = id(format!("a{round}"));
        let first = world.claim(&a, dead).await;
        world.bury(dead).await;
        let tasks: Vec<_> = (1..=16)
            .map(|life| {
                let (world, a) = (world.clone(), a.clone());
                tokio::spawn(async move { world.try_claim(&a, Incarnation(life), None).await })
            })
            .collect();
        let mut claimed = Vec::new();
        let mut held = Vec::new();
        for task in tasks {
            match task.await.unwrap() {
                ClaimOutcome::Claimed(epoch) => claimed.push(epoch),
                ClaimOutcome::Held { epoch, .. } => held.push(epoch),
                ClaimOutcome::ClaimantDead => panic!("it is up"),
            }
        }
        let [epoch] = claimed[..] else {
            panic!("{} followed the dead", claimed.len())
        };
        assert!(epoch > first, "epoch {epoch} after {first}");
        assert!(
            held.iter().all(|other| *other == epoch),
            "held by others: {held:?}"
        );
    }
}

async fn one_of_many_releases_and_deletes(world: World) {
    let one = world.node(1).await;
    for round in 0..10 {
        let a = id(format!("a{round}"));
        let epoch = world.claim(&a, one).await;
        committed(world.append(note(&a, epoch, 0)).await);
        let tasks: Vec<_> = (0..12)
            .map(|task| {
                let (world, a) = (world.clone(), a.clone());
                tokio::spawn(async move {
                    if task % 2 == 0 {
                        return world.storage.delete(&a, epoch, Timestamp(9)).await;
                    }
                    let mut release = note(&a, epoch, 1);
                    release.release = true;
                    world.append(release).await
                })
            })
            .collect();
        let mut won = 0;
        for task in tasks {
            match task.await.unwrap() {
                AppendOutcome::Committed(now) => {
                    assert_eq!(now.0, 2);
                    won += 1;
                }
                AppendOutcome::Fenced { epoch: now } => assert_eq!(now, epoch),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(won, 1, "the claim of {a} was given back more than once");
        match world.storage.head(&a).await.unwrap() {
            Some(head) => {
                assert_eq!((head.owner, head.thread_len), (None, Seq(2)));
                assert_eq!(world.thread(&a).await.len(), 2);
            }
            None => assert!(world.thread(&a).await.is_empty()),
        }
    }
}

async fn one_of_many_appends_a_revision(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    for revision in 0..10 {
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let (world, append) = (world.clone(), note(&a, epoch, revision));
                tokio::spawn(async move { world.append(append).await })
            })
            .collect();
        let mut won = 0;
        for task in tasks {
            match task.await.unwrap() {
                AppendOutcome::Committed(now) => {
                    assert_eq!(now.0, revision + 1);
                    won += 1;
                }
                AppendOutcome::Conflict { actual } => assert_eq!(actual.0, revision + 1),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(won, 1, "at revision {revision}");
    }
    assert_eq!(world.thread(&a).await.len(), 10);
}

/// What a task saw, in its own order.
#[derive(Debug)]
enum Seen {
    Claimed(AgentId, Epoch),
    Committed {
        id: AgentId,
        epoch: Epoch,
        revision: u64,
        text: String,
    },
}

/// Claims with takeover, appends in bursts, releases; everything on few agents.
async fn contend(world: World, task: u64) -> Vec<Seen> {
    let me = Incarnation(u128::from(task) + 1);
    let mut draw = Draw::new(task);
    let mut seen = Vec::new();
    let mut stale: Vec<(AgentId, Epoch)> = Vec::new();
    for round in 0..25 {
        let id = id(format!("a{}", draw.below(3)));
        let mut outcome = world.try_claim(&id, me, None).await;
        if let ClaimOutcome::Held { owner, .. } = outcome {
            outcome = world.try_claim(&id, me, Some(owner)).await;
        }
        let ClaimOutcome::Claimed(epoch) = outcome else {
            continue;
        };
        seen.push(Seen::Claimed(id.clone(), epoch));
        // Every epoch of before is over: my own claim came after it.
        for (old, epoch) in stale.iter().filter(|(old, _)| *old == id) {
            let late = world.append(note(old, *epoch, 0)).await;
            assert!(
                matches!(late, AppendOutcome::Fenced { .. }),
                "a stale epoch got {late:?}"
            );
        }
        stale.push((id.clone(), epoch));
        let Some(head) = world.storage.head(&id).await.unwrap() else {
            continue;
        };
        let mut revision = head.revision.0;
        for step in 0..draw.below(4) {
            let text = format!("{task}/{round}/{step}");
            let mut append = commit(&id, epoch, revision);
            append.entries.push(entry(text.clone()));
            append.release = step == 2;
            match world.append(append).await {
                AppendOutcome::Committed(now) => {
                    revision = now.0;
                    seen.push(Seen::Committed {
                        id: id.clone(),
                        epoch,
                        revision,
                        text,
                    });
                }
                AppendOutcome::Conflict { .. } | AppendOutcome::Fenced { .. } => break,
                other => panic!("{other:?}"),
            }
        }
    }
    seen
}

async fn claims_appends_and_releases_at_once(world: World) {
    let mut tasks = Vec::new();
    for task in 0..8u64 {
        world.node(u128::from(task) + 1).await;
    }
    for task in 0..8 {
        tasks.push(tokio::spawn(contend(world.clone(), task)));
    }
    let mut epochs = BTreeSet::new();
    let mut commits: BTreeMap<(AgentId, u64), (Epoch, String)> = BTreeMap::new();
    for task in tasks {
        let mut last: BTreeMap<AgentId, Epoch> = BTreeMap::new();
        for seen in task.await.unwrap() {
            match seen {
                Seen::Claimed(id, epoch) => {
                    let before = last.insert(id.clone(), epoch).unwrap_or_default();
                    assert!(epoch > before, "epoch {epoch} after {before} in one task");
                    assert!(epochs.insert((id, epoch)), "epoch {epoch} was given twice");
                }
                Seen::Committed {
                    id,
                    epoch,
                    revision,
                    text,
                } => {
                    let twice = commits.insert((id, revision), (epoch, text));
                    assert!(twice.is_none(), "revision {revision} was committed twice");
                }
            }
        }
    }
    assert!(
        commits.len() > 20,
        "hardly anything was committed: {}",
        commits.len()
    );
    // What is there is what was acknowledged, in the order of epochs.
    let mut found = 0;
    for n in 0..3 {
        let a = id(format!("a{n}"));
        let mut last = Epoch::ZERO;
        for (at, entry) in world.thread(&a).await.into_iter().enumerate() {
            let revision = at as u64 + 1;
            assert_eq!(entry.revision.0, revision, "one entry a commit");
            assert!(entry.epoch >= last, "epochs fall along a thread");
            last = entry.epoch;
            let (epoch, text) = &commits[&(a.clone(), revision)];
            assert_eq!((entry.epoch, &entry.payload[..]), (*epoch, text.as_bytes()));
            found += 1;
        }
        let given = epochs.iter().filter(|(id, _)| *id == a).count() as u64;
        if given > 0 {
            assert_eq!(world.head(&a).await.epoch, Epoch(given), "an epoch a claim");
        }
    }
    assert_eq!(found, commits.len(), "acknowledged and found differ");
}

async fn many_agents_at_once(world: World) {
    let one = world.node(1).await;
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let world = world.clone();
            tokio::spawn(async move {
                let a = id(format!("agent-{n}"));
                let epoch = world.claim(&a, one).await;
                for revision in 0..5 {
                    let mut append = note(&a, epoch, revision);
                    append.checkpoint = Some(checkpoint(format!("{n}/{revision}"), revision + 1));
                    assert_eq!(committed(world.append(append).await), revision + 1);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    for n in 0..200 {
        let a = id(format!("agent-{n}"));
        let loaded = world.storage.load(&a).await.unwrap().unwrap();
        assert_eq!(loaded.record.thread_len, Seq(5));
        assert_eq!(loaded.checkpoint, Some(checkpoint(format!("{n}/4"), 5)));
    }
    assert_eq!(world.keys("agents", 64).await.len(), 200);
}
