//! What is under way, and what settles it: rules 1, 2 and 4.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use jido_core::{AgentId, Epoch, Incarnation, Revision};

use super::fixture::{Draw, World, checkpoint, id, note};
use crate::{AppendOutcome, ClaimOutcome, Loaded};

super::cases![
    Settled: [
        an_append_goes_on_when_nobody_waits,
        batches_that_are_dropped_come_whole_or_not_at_all,
        after_a_claim_no_older_append_takes_effect,
        claims_that_are_dropped_leave_one_owner,
    ],
    Claim: [what_is_loaded_after_a_claim_has_all_that_was_committed],
];

async fn an_append_goes_on_when_nobody_waits(world: World) {
    let one = world.node(1).await;
    let a = id("a");
    let epoch = world.claim(&a, one).await;
    let storage = world.storage.clone();
    let append = note(&a, epoch, 0);
    // Looked at once, so that it begins, and dropped.
    let _given_up = storage.append_many(vec![append]).now_or_never();
    let arrived = tokio::time::timeout(Duration::from_secs(10), async {
        while world.head(&a).await.revision == Revision::ZERO {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    arrived.await.expect("a dropped append arrives");
    assert_eq!(world.thread(&a).await.len(), 1);
}

/// A commit of two entries and a checkpoint that names its revision, so that a torn one shows.
fn whole(a: &AgentId, epoch: Epoch, expected: u64) -> crate::Commit {
    let mut whole = note(a, epoch, expected);
    whole.entries.extend(whole.entries.clone());
    let state = (expected + 1).to_string();
    whole.checkpoint = Some(checkpoint(state, (expected + 1) * 2));
    whole
}

/// Loads an agent of [`whole`] commits and checks that it is in one piece.
async fn in_one_piece(world: &World, a: &AgentId) -> Loaded {
    let loaded = world.storage.load(a).await.expect("load answers");
    let loaded = loaded.expect("it was claimed");
    let revision = loaded.record.revision.0;
    assert_eq!(
        loaded.record.thread_len.0,
        revision * 2,
        "the record of {a} and its thread differ"
    );
    let expected = (revision > 0).then(|| checkpoint(revision.to_string(), revision * 2));
    assert_eq!(
        loaded.checkpoint, expected,
        "the checkpoint is not that of revision {revision}"
    );
    let thread = world.thread(a).await;
    assert_eq!(
        thread.len() as u64,
        revision * 2,
        "the thread of {a} has not the length that its record says"
    );
    for (at, entry) in thread.iter().enumerate() {
        assert_eq!(entry.revision.0, at as u64 / 2 + 1, "entry {at} of {a}");
    }
    loaded
}

async fn batches_that_are_dropped_come_whole_or_not_at_all(world: World) {
    let one = world.node(1).await;
    let ids: Vec<AgentId> = (0..4).map(|n| id(format!("a{n}"))).collect();
    let mut draw = Draw::new(11);
    for round in 0..25 {
        let mut batch = Vec::new();
        let mut began = Vec::new();
        for id in &ids {
            let epoch = world.claim(id, one).await;
            let revision = world.head(id).await.revision.0;
            began.push(revision);
            batch.extend((revision..revision + 3).map(|at| whole(id, epoch, at)));
        }
        let patience = Duration::from_micros(draw.below(2_000));
        let waiting = tokio::time::timeout(patience, world.storage.append_many(batch));
        let given_up = waiting.await.is_err();
        for (id, began) in ids.iter().zip(began) {
            // The larger epoch settles it: what is not there now never comes.
            world.claim(id, one).await;
            let settled = in_one_piece(&world, id).await.record.revision.0;
            assert!(
                (began..=began + 3).contains(&settled),
                "{id} is at {settled}, from {began} on"
            );
            if !given_up {
                assert_eq!(settled, began + 3, "round {round}: it was acknowledged");
            }
        }
    }
    for id in &ids {
        in_one_piece(&world, id).await;
    }
}

async fn after_a_claim_no_older_append_takes_effect(world: World) {
    let nodes = (world.node(1).await, world.node(2).await);
    for round in 0..40 {
        let taken = take_amid_appends(&world, nodes, round).await;
        // The owner's last append has ended by now.
        assert_eq!(
            in_one_piece(&world, &taken.a).await,
            taken.loaded,
            "round {round}: it changed after the claim"
        );
    }
}

async fn what_is_loaded_after_a_claim_has_all_that_was_committed(world: World) {
    let nodes = (world.node(1).await, world.node(2).await);
    for round in 0..40 {
        let taken = take_amid_appends(&world, nodes, round).await;
        assert_eq!(
            taken.loaded.record.revision.0, taken.acknowledged,
            "round {round}: loaded after the claim, and acknowledged to the owner before"
        );
    }
}

/// An agent that was taken from its owner.
struct Taken {
    a: AgentId,
    /// What was loaded after the claim.
    loaded: Loaded,
    /// The last revision that was acknowledged to the owner.
    acknowledged: u64,
}

/// One node appends for as long as it may, another takes the agent from it.
async fn take_amid_appends(
    world: &World,
    (owner, taker): (Incarnation, Incarnation),
    round: u64,
) -> Taken {
    let a = id(format!("a{round}"));
    let old = world.claim(&a, owner).await;
    let race = Arc::new(Race::default());
    let appending = tokio::spawn(append_until_fenced(
        world.clone(),
        a.clone(),
        old,
        race.clone(),
    ));
    // In the midst of appends, and not always at the same place of one.
    while race.acknowledged.load(Ordering::SeqCst) <= round % 3 {
        assert!(!appending.is_finished(), "fenced before it was claimed");
        tokio::task::yield_now().await;
    }
    for _ in 0..round % 8 {
        tokio::task::yield_now().await;
    }
    let claimed = world.try_claim(&a, taker, Some(owner)).await;
    race.taken.store(true, Ordering::SeqCst);
    assert!(
        matches!(claimed, ClaimOutcome::Claimed(new) if new > old),
        "{claimed:?}"
    );
    let loaded = in_one_piece(world, &a).await;
    appending.await.unwrap();
    let acknowledged = race.acknowledged.load(Ordering::SeqCst);
    Taken {
        a,
        loaded,
        acknowledged,
    }
}

/// What the two know of each other.
#[derive(Default)]
struct Race {
    /// The last revision that was acknowledged to the owner.
    acknowledged: AtomicU64,
    /// Whether the other has claimed.
    taken: AtomicBool,
}

async fn append_until_fenced(world: World, a: AgentId, epoch: Epoch, race: Arc<Race>) {
    loop {
        let late = race.taken.load(Ordering::SeqCst);
        let acknowledged = race.acknowledged.load(Ordering::SeqCst);
        match world.append(whole(&a, epoch, acknowledged)).await {
            AppendOutcome::Committed(now) => {
                assert!(!late, "an append that began after the claim was committed");
                race.acknowledged.store(now.0, Ordering::SeqCst);
            }
            AppendOutcome::Fenced { epoch: now } => {
                assert!(now > epoch, "fenced by {now}, with {epoch}");
                return;
            }
            other => panic!("the owner's append ended as {other:?}"),
        }
        tokio::task::yield_now().await;
    }
}

async fn claims_that_are_dropped_leave_one_owner(world: World) {
    for life in 1..=4 {
        world.node(life).await;
    }
    let a = id("a");
    let mut draw = Draw::new(12);
    let mut last = Epoch::ZERO;
    let mut notes = 0;
    for round in 0..40u128 {
        let claimant = Incarnation(round % 4 + 1);
        let owner = world
            .storage
            .head(&a)
            .await
            .unwrap()
            .and_then(|head| head.owner);
        let patience = Duration::from_micros(draw.below(1_000));
        let _given_up = tokio::time::timeout(patience, world.try_claim(&a, claimant, owner)).await;
        // Whoever it is now, one owner alone commits.
        let ClaimOutcome::Claimed(epoch) = world.try_claim(&a, claimant, owner).await else {
            continue;
        };
        assert!(epoch > last, "epoch {epoch} after {last}");
        last = epoch;
        let revision = world.head(&a).await.revision.0;
        match world.append(note(&a, epoch, revision)).await {
            AppendOutcome::Committed(now) => {
                assert_eq!(now.0, revision + 1);
                notes += 1;
            }
            // The claim that nobody waited for came after the second one.
            AppendOutcome::Fenced { epoch: later } => assert!(later > epoch),
            other => panic!("{other:?}"),
        }
    }
    assert!(notes > 10, "hardly any claim succeeded: {notes}");
    assert_eq!(world.thread(&a).await.len(), notes);
}
