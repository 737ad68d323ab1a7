//! Node records: registration, leases, death.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jido_core::{ClusterName, Incarnation};

use super::fixture::{World, cluster, id, id_of, registration};
use crate::{ClaimOutcome, NodeState, Registration, Renewal};

super::cases![Node: [
    a_registration_is_kept_as_given,
    the_same_life_registers_again_unharmed,
    a_name_that_is_up_is_taken,
    a_life_is_known_whatever_name_it_gives,
    a_dead_life_stays_dead,
    clusters_do_not_meet,
    beats_count,
    only_the_observed_beat_is_declared_dead,
    one_of_many_gets_the_name,
    renewals_at_once_all_count,
    a_renewal_and_a_death_at_once_agree,
    a_life_that_ends_among_claims_claims_no_more,
]];

async fn a_registration_is_kept_as_given(world: World) {
    let given = registration("n1", 1);
    let Ok(Registration::Registered(record)) = world.storage.register_node(given.clone()).await
    else {
        panic!("the first node is refused");
    };
    assert_eq!((record.beat, record.state), (1, NodeState::Up));
    assert_eq!(
        (
            &record.name,
            record.incarnation,
            &record.address,
            &record.metadata,
            record.registered_at
        ),
        (
            &given.name,
            given.incarnation,
            &given.address,
            &given.metadata,
            given.at
        ),
    );
    assert_eq!(world.storage.nodes(&cluster()).await.unwrap(), [record]);
}

async fn the_same_life_registers_again_unharmed(world: World) {
    world.node(1).await;
    world
        .storage
        .renew_node(&cluster(), Incarnation(1))
        .await
        .unwrap();
    let again = world
        .storage
        .register_node(registration("n1", 1))
        .await
        .unwrap();
    let Registration::Registered(record) = again else {
        panic!("refused: {again:?}")
    };
    assert_eq!(record.beat, 2, "its lease began anew");
    assert_eq!(world.storage.nodes(&cluster()).await.unwrap().len(), 1);
}

async fn a_name_that_is_up_is_taken(world: World) {
    world.node(1).await;
    let second = world
        .storage
        .register_node(registration("n1", 2))
        .await
        .unwrap();
    let Registration::NameTaken(record) = second else {
        panic!("registered: {second:?}")
    };
    assert_eq!(record.incarnation, Incarnation(1));
    assert_eq!(world.storage.nodes(&cluster()).await.unwrap().len(), 1);
    world.bury(Incarnation(1)).await;
    let third = world
        .storage
        .register_node(registration("n1", 3))
        .await
        .unwrap();
    assert!(matches!(third, Registration::Registered(_)), "{third:?}");
}

async fn a_life_is_known_whatever_name_it_gives(world: World) {
    for life in 1..=3 {
        world.node(life).await;
    }
    for name in ["n1", "n2", "n3", "n4"] {
        let again = world
            .storage
            .register_node(registration(name, 2))
            .await
            .unwrap();
        let Registration::Registered(record) = again else {
            panic!("refused: {again:?}")
        };
        assert_eq!(record.name.as_str(), "n2");
    }
    assert_eq!(world.storage.nodes(&cluster()).await.unwrap().len(), 3);
}

async fn a_dead_life_stays_dead(world: World) {
    let node = world.node(1).await;
    // What it owns keeps its record from being forgotten.
    world.claim(&super::fixture::id("a"), node).await;
    world.bury(node).await;
    let again = world
        .storage
        .register_node(registration("n1", 1))
        .await
        .unwrap();
    let Registration::NameTaken(record) = again else {
        panic!("it rose again: {again:?}")
    };
    assert_eq!((record.incarnation, record.state), (node, NodeState::Dead));
    assert_eq!(
        world.storage.renew_node(&cluster(), node).await.unwrap(),
        Renewal::Dead
    );
    let unseen = world
        .storage
        .declare_dead(&cluster(), node, Some(99))
        .await
        .unwrap();
    assert!(unseen, "it is dead, whatever beat was observed");
}

async fn clusters_do_not_meet(world: World) {
    world.node(1).await;
    for other in ["main.b", "mai", "main-", "maim"] {
        let mut node = registration("n1", 2);
        node.cluster = ClusterName::new(other).unwrap();
        let there = world.storage.register_node(node.clone()).await.unwrap();
        assert!(matches!(there, Registration::Registered(_)), "{there:?}");
        assert_eq!(world.storage.nodes(&node.cluster).await.unwrap().len(), 1);
    }
    assert_eq!(world.storage.nodes(&cluster()).await.unwrap().len(), 1);
    world.bury(Incarnation(2)).await;
    let other = ClusterName::new("maim").unwrap();
    assert_eq!(
        world
            .storage
            .renew_node(&other, Incarnation(2))
            .await
            .unwrap(),
        Renewal::Renewed(2)
    );
}

async fn beats_count(world: World) {
    let node = world.node(1).await;
    for beat in 2..6 {
        let renewal = world.storage.renew_node(&cluster(), node).await.unwrap();
        assert_eq!(renewal, Renewal::Renewed(beat));
    }
    let unknown = world
        .storage
        .renew_node(&cluster(), Incarnation(9))
        .await
        .unwrap();
    assert_eq!(unknown, Renewal::Dead, "it was never registered");
}

async fn only_the_observed_beat_is_declared_dead(world: World) {
    let node = world.node(1).await;
    world.storage.renew_node(&cluster(), node).await.unwrap();
    for (observed, dead) in [(Some(1), false), (Some(3), false), (Some(2), true)] {
        let answer = world
            .storage
            .declare_dead(&cluster(), node, observed)
            .await
            .unwrap();
        assert_eq!(answer, dead, "beat is 2, observed {observed:?}");
        let renewed = world.storage.nodes(&cluster()).await.unwrap()[0].state == NodeState::Up;
        assert_eq!(renewed, !dead);
    }
    let unknown = world
        .storage
        .declare_dead(&cluster(), Incarnation(9), Some(1))
        .await
        .unwrap();
    assert!(unknown, "a life without a record is dead");
}

async fn one_of_many_gets_the_name(world: World) {
    let tasks: Vec<_> = (1..=50)
        .map(|life| {
            let world = world.clone();
            tokio::spawn(async move {
                let outcome = world
                    .storage
                    .register_node(registration("n1", life))
                    .await
                    .unwrap();
                matches!(outcome, Registration::Registered(_))
            })
        })
        .collect();
    let mut registered = 0;
    for task in tasks {
        registered += usize::from(task.await.unwrap());
    }
    assert_eq!(registered, 1);
    assert_eq!(world.storage.nodes(&cluster()).await.unwrap().len(), 1);
}

async fn renewals_at_once_all_count(world: World) {
    let node = world.node(1).await;
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move { world.storage.renew_node(&cluster(), node).await.unwrap() })
        })
        .collect();
    let mut beats = BTreeSet::new();
    for task in tasks {
        match task.await.unwrap() {
            Renewal::Renewed(beat) => assert!(beats.insert(beat), "beat {beat} was given twice"),
            Renewal::Dead => panic!("it is up"),
        }
    }
    assert_eq!(beats, (2..=51).collect());
}

async fn a_renewal_and_a_death_at_once_agree(world: World) {
    for life in 1..=40 {
        let node = world.node(life).await;
        let (renewer, observer) = (world.clone(), world.clone());
        let renewing = async move { renewer.storage.renew_node(&cluster(), node).await };
        let dying = async move {
            let observed = observer.storage;
            observed.declare_dead(&cluster(), node, Some(1)).await
        };
        // Now the one begins first, now the other.
        let (renewing, dying) = if life % 2 == 0 {
            (tokio::spawn(renewing), tokio::spawn(dying))
        } else {
            let dying = tokio::spawn(dying);
            (tokio::spawn(renewing), dying)
        };
        let renewed = renewing.await.unwrap().unwrap();
        let dead = dying.await.unwrap().unwrap();
        match renewed {
            Renewal::Renewed(beat) => {
                assert_eq!(beat, 2);
                assert!(
                    !dead,
                    "life {life} renewed, and was declared dead at the beat before"
                );
            }
            Renewal::Dead => assert!(dead, "life {life} was told that it is dead, and is not"),
        }
        let after = world.storage.renew_node(&cluster(), node).await.unwrap();
        assert_eq!(after == Renewal::Dead, dead, "dead is final");
    }
}

async fn a_life_that_ends_among_claims_claims_no_more(world: World) {
    const CLAIMERS: u128 = 3;
    let two = world.node(1_000).await;
    for life in 1..=10 {
        let node = world.node(life).await;
        let manager = format!("m{life}");
        let made = Arc::new(AtomicU64::new(0));
        let claiming: Vec<_> = (0..CLAIMERS)
            .map(|claimer| {
                let (world, manager, made) = (world.clone(), manager.clone(), made.clone());
                tokio::spawn(async move {
                    let mut claimed = Vec::new();
                    for n in 0.. {
                        let a = id_of(&manager, format!("{claimer}-{n}"));
                        match world.try_claim(&a, node, None).await {
                            ClaimOutcome::Claimed(epoch) => claimed.push((a, epoch)),
                            ClaimOutcome::ClaimantDead => break,
                            ClaimOutcome::Held { .. } => panic!("nobody else wants {a}"),
                        }
                        made.fetch_add(1, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                    }
                    claimed
                })
            })
            .collect();
        while made.load(Ordering::SeqCst) <= life as u64 % 4 {
            let ended = claiming.iter().any(|claimer| claimer.is_finished());
            assert!(!ended, "a node that is up claims no more");
            tokio::task::yield_now().await;
        }
        world.bury(node).await;
        let at_its_end = world.keys(&manager, 1_000).await;
        let late = world.try_claim(&id("late"), node, None).await;
        assert_eq!(
            late,
            ClaimOutcome::ClaimantDead,
            "it is dead by its own word"
        );
        for claimed in claiming {
            for (a, known) in claimed.await.unwrap() {
                assert!(
                    at_its_end.iter().any(|key| key == a.key.as_str()),
                    "{a} was claimed by the dead"
                );
                let epoch = world.claim(&a, two).await;
                assert!(epoch > known, "epoch {epoch} after {known}");
            }
        }
    }
}
