//! What a child does.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jido_core::Incarnation;

use super::super::fixture::{World, id, registration};
use super::super::witness::{take, whole};
use super::process::{NUMBER, PLACE, ROLE, tell};
use crate::{AppendOutcome, Registration, Storage};

pub(super) const RACE: &str = "race";
pub(super) const APPEND: &str = "append";

pub(super) const AGENTS: u64 = 3;
pub(super) const ROUNDS: u64 = 40;

/// Longer than a case may take: no child stays behind one that is stuck.
const LIFE: Duration = Duration::from_secs(150);

/// Plays this process's part in a case that starts processes; does nothing where no case
/// has started it. To be called by the test that [`Suite::processes`](super::super::Suite::processes)
/// names, with the same `open` as the suite has.
///
/// # Panics
///
/// When the storage does what it may not. The parent's case fails by it.
pub async fn child<F, S>(open: F)
where
    F: FnOnce(String) -> S,
    S: Future<Output = Arc<dyn Storage>>,
{
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    std::thread::spawn(|| {
        std::thread::sleep(LIFE);
        std::process::exit(1);
    });
    let place = std::env::var(PLACE).expect("a child has a place");
    let number = std::env::var(NUMBER).expect("a child has a number");
    let number: u64 = number.parse().expect("it is a number");
    let world = World::new(open(place).await);
    match role.as_str() {
        RACE => race(world, number).await,
        APPEND => append(world, number).await,
        other => panic!("there is no role {other:?}"),
    }
}

/// Claims from the others and appends, all over the same agents.
async fn race(world: World, number: u64) {
    let rival = registration("rival", 1000 + u128::from(number));
    let rival = world
        .storage
        .register_node(rival)
        .await
        .expect("a registration answers");
    if matches!(rival, Registration::Registered(_)) {
        tell("named");
    }
    let me = world.node(u128::from(number) + 1).await;
    for round in 0..ROUNDS {
        let key = format!("a{}", (round + number) % AGENTS);
        let id = id(&key);
        let epoch = take(&world, &id, me).await;
        tell(&format!("claimed {key} {epoch}"));
        let mut revision = world.head(&id).await.revision.0;
        for step in 0..4 {
            let mut commit = whole(&id, epoch, revision + 1);
            commit.release = step == 3 && round % 2 == 0;
            match world.append(commit).await {
                AppendOutcome::Committed(now) => {
                    assert_eq!(now.0, revision + 1);
                    revision = now.0;
                    tell(&format!("committed {key} {epoch} {revision}"));
                }
                // Taken by another meanwhile.
                AppendOutcome::Fenced { epoch: now } => {
                    assert!(now > epoch, "fenced by {now}, with {epoch}");
                    break;
                }
                // Committed to by another, between its claim and mine.
                AppendOutcome::Conflict { actual } => revision = actual.0,
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Appends to all agents at once, for as long as the process lives.
async fn append(world: World, number: u64) {
    let me = world.node(u128::from(number) + 1).await;
    let tasks: Vec<_> = (0..AGENTS)
        .map(|n| tokio::spawn(append_to(world.clone(), format!("a{n}"), me)))
        .collect();
    for task in tasks {
        task.await
            .expect("appends go on until the process is killed");
    }
}

async fn append_to(world: World, key: String, me: Incarnation) {
    let id = id(&key);
    let epoch = take(&world, &id, me).await;
    let mut revision = world.head(&id).await.revision.0;
    loop {
        match world.append(whole(&id, epoch, revision + 1)).await {
            AppendOutcome::Committed(now) => revision = now.0,
            other => panic!("{other:?}"),
        }
        tell(&format!("committed {key} {epoch} {revision}"));
    }
}
