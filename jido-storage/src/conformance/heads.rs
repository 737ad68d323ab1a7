//! The records of many agents at once.

use jido_core::{AgentId, Timestamp};

use super::fixture::{Draw, World, commit, committed, id, id_of, note};
use crate::AgentRecord;

super::cases![Heads: [
    none_are_asked_for,
    each_stands_in_its_place,
    thousands_stand_in_their_places,
    they_are_as_new_as_the_call,
]];

/// How many are asked for at once in the end: more than an adapter may look up in one go.
const MANY: u64 = 5_000;

async fn heads(world: &World, ids: &[AgentId]) -> Vec<Option<AgentRecord>> {
    let heads = world.storage.heads(ids).await.expect("heads answer");
    assert_eq!(heads.len(), ids.len(), "an answer for every question");
    heads
}

/// Asks for many at once, and holds each answer against that which is given alone.
async fn asked(world: &World, ids: &[AgentId]) {
    for (at, (id, head)) in ids.iter().zip(heads(world, ids).await).enumerate() {
        let alone = world.storage.head(id).await.expect("head answers");
        assert_eq!(head, alone, "{id}, asked for at place {at}");
    }
}

/// Agents in all states, of which no two have the same record, with some that have none.
async fn agents(world: &World) -> Vec<AgentId> {
    let one = world.node(1).await;
    let mut agents = Vec::new();
    // Keys in another order than that in which they are claimed and asked for.
    for key in ["m", "b", "z", "a", "B", "ba", "b/"] {
        let id = id(key);
        let epoch = world.claim(&id, one).await;
        for revision in 0..agents.len() as u64 {
            committed(world.append(note(&id, epoch, revision)).await);
        }
        agents.push(id);
    }
    // Of the same key, and another's.
    let namesake = id_of("others", "a");
    world.claim(&namesake, one).await;
    let dormant = id("dormant");
    let mut release = note(&dormant, world.claim(&dormant, one).await, 0);
    release.release = true;
    committed(world.append(release).await);
    // One that is gone, and one that came again.
    let [gone, again] = ["gone", "again"].map(id);
    for deleted in [&gone, &again] {
        let epoch = world.claim(deleted, one).await;
        committed(world.append(note(deleted, epoch, 0)).await);
        committed(world.storage.delete(deleted, epoch, Timestamp(70)).await);
    }
    world.claim(&again, one).await;
    agents.extend([namesake, dormant, gone, again, id("never"), id("0")]);
    agents
}

async fn none_are_asked_for(world: World) {
    assert!(heads(&world, &[]).await.is_empty());
    world.claim(&id("a"), world.node(1).await).await;
    assert!(heads(&world, &[]).await.is_empty());
}

async fn each_stands_in_its_place(world: World) {
    let mut agents = agents(&world).await;
    let there = heads(&world, &agents).await;
    assert_eq!(there.iter().flatten().count(), 10, "{there:?}");
    asked(&world, &agents).await;
    agents.reverse();
    asked(&world, &agents).await;
    // Each is answered as often as it is asked for, whether it is there or not.
    for id in &agents {
        let other = &agents[0];
        asked(&world, std::slice::from_ref(id)).await;
        asked(&world, &[id, id, other, id].map(Clone::clone)).await;
    }
}

async fn thousands_stand_in_their_places(world: World) {
    let agents = agents(&world).await;
    let mut alone = Vec::new();
    for id in &agents {
        alone.push(world.storage.head(id).await.expect("head answers"));
    }
    let mut draw = Draw::new(11);
    let mut drawn = Vec::new();
    let mut expected = Vec::new();
    for n in 0..MANY {
        // Every third is one that nobody claimed, and each of these another one.
        if draw.below(3) == 0 {
            drawn.push(id(format!("never-{n}")));
            expected.push(None);
        } else {
            let at = draw.below(agents.len() as u64) as usize;
            drawn.push(agents[at].clone());
            expected.push(alone[at].clone());
        }
    }
    let found = heads(&world, &drawn).await;
    for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found, expected, "{}, asked for at place {at}", drawn[at]);
    }
}

async fn they_are_as_new_as_the_call(world: World) {
    let one = world.node(1).await;
    let ids = ["a", "b"].map(id);
    for (at, id) in ids.iter().enumerate() {
        assert_eq!(heads(&world, &ids).await[at], None);
        let epoch = world.claim(id, one).await;
        for revision in 0..3 {
            committed(world.append(note(id, epoch, revision)).await);
            let head = heads(&world, &ids).await.swap_remove(at);
            assert_eq!(head.map(|head| head.revision.0), Some(revision + 1));
        }
        let mut release = commit(id, epoch, 3);
        release.release = true;
        committed(world.append(release).await);
        let head = heads(&world, &ids).await.swap_remove(at);
        assert_eq!(head.map(|head| head.owner), Some(None));
    }
}
