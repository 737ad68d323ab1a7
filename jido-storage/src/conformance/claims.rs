//! Claims: rule 1.

use jido_core::{ClusterName, Epoch, Incarnation, Revision, Seq, Timestamp};

use super::fixture::{
    World, checkpoint, cluster, commit, committed, fenced, id, note, registration,
};
use crate::{ClaimOutcome, ClaimRequest};

super::cases![Claim: [
    a_first_claim_makes_the_record,
    a_live_owner_holds,
    the_claimant_itself_gets_a_new_epoch,
    a_dead_owner_is_followed,
    only_the_named_owner_is_taken_from,
    the_dead_and_the_unknown_claim_nothing,
    a_claim_leaves_the_state,
    epochs_grow_across_deletions,
    the_owner_is_looked_up_in_the_agents_own_cluster,
]];

async fn a_first_claim_makes_the_record(world: World) {
    let node = world.node(1).await;
    let a = id("a");
    assert!(world.storage.load(&a).await.unwrap().is_none());
    assert!(world.storage.head(&a).await.unwrap().is_none());
    let epoch = world.claim(&a, node).await;
    assert!(epoch > Epoch::ZERO);
    let loaded = world.storage.load(&a).await.unwrap().expect("a record");
    assert!(loaded.checkpoint.is_none());
    let record = loaded.record;
    assert_eq!(record.id, a);
    assert_eq!(record.owner, Some(node));
    assert_eq!(record.epoch, epoch);
    assert_eq!(
        (record.revision, record.thread_len),
        (Revision::ZERO, Seq::ZERO)
    );
    assert_eq!(
        (record.created_at, record.updated_at),
        (Timestamp(60), Timestamp(60))
    );
    assert_eq!(world.head(&a).await, record);
}

async fn a_live_owner_holds(world: World) {
    let (one, two) = (world.node(1).await, world.node(2).await);
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    for _ in 0..3 {
        assert_eq!(
            world.try_claim(&a, two, None).await,
            ClaimOutcome::Held { owner: one, epoch }
        );
    }
    assert_eq!(
        committed(world.append(note(&a, epoch, 0)).await),
        1,
        "the owner was disturbed"
    );
}

async fn the_claimant_itself_gets_a_new_epoch(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    let first = world.claim(&a, one).await;
    let second = world.claim(&a, one).await;
    assert!(second > first);
    assert_eq!(fenced(world.append(note(&a, first, 0)).await), second);
    assert_eq!(committed(world.append(note(&a, second, 0)).await), 1);
}

async fn a_dead_owner_is_followed(world: World) {
    let (one, two) = (world.node(1).await, world.node(2).await);
    let a = id("a");
    let first = world.claim(&a, one).await;
    world.bury(one).await;
    // The dead commits until its agent is claimed by another (rule 7).
    assert_eq!(committed(world.append(note(&a, first, 0)).await), 1);
    let second = world.claim(&a, two).await;
    assert!(second > first);
    assert_eq!(fenced(world.append(note(&a, first, 1)).await), second);
    assert_eq!(world.head(&a).await.owner, Some(two));
}

async fn only_the_named_owner_is_taken_from(world: World) {
    let (one, two, three) = (
        world.node(1).await,
        world.node(2).await,
        world.node(3).await,
    );
    let a = id("a");
    let first = world.claim(&a, one).await;
    let held = ClaimOutcome::Held {
        owner: one,
        epoch: first,
    };
    assert_eq!(world.try_claim(&a, two, Some(three)).await, held);
    let taken = world.try_claim(&a, two, Some(one)).await;
    assert!(
        matches!(taken, ClaimOutcome::Claimed(epoch) if epoch > first),
        "{taken:?}"
    );
    // One that lost it meanwhile is not the owner any more.
    let late = world.try_claim(&a, three, Some(one)).await;
    assert!(
        matches!(late, ClaimOutcome::Held { owner, .. } if owner == two),
        "{late:?}"
    );
}

async fn the_dead_and_the_unknown_claim_nothing(world: World) {
    let dead = world.node(1).await;
    world.bury(dead).await;
    let a = id("a");
    for nobody in [dead, Incarnation(77)] {
        assert_eq!(
            world.try_claim(&a, nobody, None).await,
            ClaimOutcome::ClaimantDead
        );
    }
    assert!(
        world.storage.head(&a).await.unwrap().is_none(),
        "a refused claim left a record"
    );
    assert!(world.page("agents", None, 10).await.agents.is_empty());

    // Not even what it owned before.
    let (two, three) = (world.node(2).await, world.node(3).await);
    let epoch = world.claim(&a, two).await;
    world.bury(two).await;
    assert_eq!(
        world.try_claim(&a, two, Some(two)).await,
        ClaimOutcome::ClaimantDead
    );
    assert_eq!(world.head(&a).await.epoch, epoch);
    world.claim(&a, three).await;
}

async fn a_claim_leaves_the_state(world: World) {
    let (one, two) = (world.node(1).await, world.node(2).await);
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    let mut first = note(&a, epoch, 0);
    first.checkpoint = Some(checkpoint("state", 1));
    committed(world.append(first).await);
    let before = world.storage.load(&a).await.unwrap().unwrap();
    let thread = world.thread(&a).await;
    world.bury(one).await;
    let epoch = world.claim(&a, two).await;
    let after = world.storage.load(&a).await.unwrap().unwrap();
    assert_eq!(after.checkpoint, before.checkpoint);
    assert_eq!(after.record.revision, before.record.revision);
    assert_eq!(after.record.thread_len, before.record.thread_len);
    assert_eq!(after.record.created_at, before.record.created_at);
    assert_eq!((after.record.owner, after.record.epoch), (Some(two), epoch));
    assert_eq!(world.thread(&a).await, thread);
}

async fn epochs_grow_across_deletions(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    let mut last = Epoch::ZERO;
    let mut revision = 0;
    for _ in 0..4 {
        let epoch = world.claim(&a, one).await;
        assert!(epoch > last, "epoch {epoch} after {last}");
        last = epoch;
        assert_eq!(
            committed(world.append(note(&a, epoch, revision)).await),
            revision + 1
        );
        revision = committed(world.storage.delete(&a, epoch, Timestamp(70)).await);
        assert_eq!(fenced(world.append(note(&a, epoch, revision)).await), epoch);
    }
}

async fn the_owner_is_looked_up_in_the_agents_own_cluster(world: World) {
    let (one, two) = (world.node(1).await, world.node(2).await);
    let other = ClusterName::new("other").unwrap();
    // The same life is also registered elsewhere, and dead there alone.
    let mut elsewhere = registration("n1", 1);
    elsewhere.cluster = other.clone();
    world.storage.register_node(elsewhere).await.unwrap();
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    world.storage.declare_dead(&other, one, None).await.unwrap();
    assert_eq!(
        world.try_claim(&a, two, None).await,
        ClaimOutcome::Held { owner: one, epoch }
    );

    let mut abroad = a.clone();
    abroad.cluster = other;
    let claim = ClaimRequest {
        id: abroad,
        claimant: two,
        take_from: None,
        at: Timestamp(60),
    };
    assert_eq!(
        world.storage.claim(claim).await.unwrap(),
        ClaimOutcome::ClaimantDead
    );
    let released = commit(&a, epoch, 0);
    committed(
        world
            .append(crate::Commit {
                release: true,
                ..released
            })
            .await,
    );
    world.claim(&a, two).await;
    assert_eq!(world.storage.nodes(&cluster()).await.unwrap().len(), 2);
}
