//! What is there after everybody closed the storage: rule 3.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use jido_core::{AgentId, Timestamp};

use super::case::{Case, Needs, Rule};
use super::fixture::{World, cluster, commit, committed, fenced, id, note, request};
use super::stage::Stage;
use super::witness::{check, take, whole};
use crate::Renewal;

macro_rules! case {
    ($name:ident) => {
        Case::over(
            concat!(module_path!(), "::", stringify!($name)),
            Rule::Durable,
            Needs::REOPENED,
            $name,
        )
    };
}

pub(super) const CASES: &[Case] = &[
    case!(what_was_acknowledged_is_there_after_opening_again),
    case!(all_that_an_agent_has_is_there_after_opening_again),
    case!(what_nobody_waited_for_is_whole_after_opening_again),
];

type Run<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

fn what_was_acknowledged_is_there_after_opening_again<'a>(stage: &'a Stage<'_>) -> Run<'a> {
    Box::pin(async move {
        let place = stage.place();
        let ids: Vec<AgentId> = (0..8).map(|n| id(format!("a{n}"))).collect();
        for round in 0..3u64 {
            let world = stage.open(&place).await;
            let me = world.node(u128::from(round) + 1).await;
            let tasks: Vec<_> = ids
                .iter()
                .cloned()
                .map(|id| {
                    let world = world.clone();
                    tokio::spawn(async move {
                        let epoch = take(&world, &id, me).await;
                        for step in 1..=4 {
                            let revision = round * 4 + step;
                            let now = committed(world.append(whole(&id, epoch, revision)).await);
                            assert_eq!(now, revision);
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            drop(world);
            let world = stage.open(&place).await;
            for id in &ids {
                let found = check(&world, id).await.len() as u64;
                assert_eq!(
                    found,
                    (round + 1) * 4,
                    "revisions of {id} after opening again"
                );
            }
            let nodes = world.storage.nodes(&cluster()).await.unwrap();
            assert_eq!(nodes.len() as u64, round + 1, "nodes after opening again");
            assert_eq!(world.keys("agents", 3).await.len(), ids.len());
        }
    })
}

fn all_that_an_agent_has_is_there_after_opening_again<'a>(stage: &'a Stage<'_>) -> Run<'a> {
    Box::pin(async move {
        let place = stage.place();
        let [kept, released, deleted] = ["kept", "released", "deleted"].map(id);
        let world = stage.open(&place).await;
        let (one, two) = (world.node(1).await, world.node(2).await);
        let first = world.claim(&kept, one).await;
        let epoch = world.claim(&kept, one).await;
        let mut all = note(&kept, epoch, 0);
        all.thread_metadata.insert("title".into(), "kept".into());
        all.requests = vec![request(1, 5, "reply"), request(1, 6, "")];
        all.forget_before = Some(Timestamp(4));
        committed(world.append(all).await);
        let before = world.storage.load(&kept).await.unwrap();

        let mut given = note(&released, world.claim(&released, one).await, 0);
        given.release = true;
        committed(world.append(given).await);
        let gone = world.claim(&deleted, one).await;
        committed(world.append(note(&deleted, gone, 0)).await);
        committed(world.storage.delete(&deleted, gone, Timestamp(9)).await);
        world.storage.renew_node(&cluster(), one).await.unwrap();
        world.bury(two).await;
        drop(world);

        let world = stage.open(&place).await;
        assert_eq!(world.storage.load(&kept).await.unwrap(), before);
        assert_eq!(fenced(world.append(note(&kept, first, 1)).await), epoch);
        committed(world.append(commit(&kept, epoch, 1)).await);
        assert_eq!(world.head(&released).await.owner, None);
        assert!(world.storage.head(&deleted).await.unwrap().is_none());
        let renewed = world.storage.renew_node(&cluster(), one).await.unwrap();
        assert_eq!(renewed, Renewal::Renewed(3), "the beat goes on");
        let dead = world.storage.renew_node(&cluster(), two).await.unwrap();
        assert_eq!(dead, Renewal::Dead, "dead is final");
        let again = world.claim(&deleted, one).await;
        assert!(again > gone, "epoch {again} after {gone} and a deletion");
        assert_eq!(fenced(world.append(note(&deleted, gone, 2)).await), again);
        assert_eq!(world.head(&deleted).await.revision.0, 2, "revisions go on");
    })
}

fn what_nobody_waited_for_is_whole_after_opening_again<'a>(stage: &'a Stage<'_>) -> Run<'a> {
    Box::pin(async move {
        let place = stage.place();
        let a = id("a");
        let mut revision = 0;
        for round in 0..8u64 {
            let world: World = stage.open(&place).await;
            let me = world.node(u128::from(round) + 1).await;
            let epoch = take(&world, &a, me).await;
            let batch = (1..=5)
                .map(|step| whole(&a, epoch, revision + step))
                .collect();
            let patience = Duration::from_micros(round * 150);
            let waiting = tokio::time::timeout(patience, world.storage.append_many(batch));
            let acknowledged = waiting.await.is_ok();
            drop(world);
            let world = stage.open(&place).await;
            take(&world, &a, me).await;
            let found = check(&world, &a).await.len() as u64;
            assert!(
                (revision..=revision + 5).contains(&found),
                "revision {found} after {revision}"
            );
            assert!(
                !acknowledged || found == revision + 5,
                "{found} of {revision} and 5"
            );
            revision = found;
        }
    })
}
