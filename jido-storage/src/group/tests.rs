#![allow(
    clippy::disallowed_methods,
    reason = "this is test code: it starts the drivers"
)]

mod scripted;

use std::future::Future;
use std::pin::Pin;

use futures_util::FutureExt;
use jido_core::Revision;
use tokio::task::JoinHandle;

use self::scripted::{Act, Scripted, Seen, note};
use super::*;

type Waits<'a> = Pin<Box<dyn Future<Output = AppendOutcome> + Send + 'a>>;

struct World {
    adapter: Arc<Scripted>,
    group: GroupCommitter,
    drivers: Vec<JoinHandle<()>>,
}

impl World {
    fn new(options: GroupOptions) -> Self {
        let adapter = Scripted::new();
        let (group, drivers) = GroupCommitter::new(adapter.clone(), &options).unwrap();
        let drivers = drivers.into_iter().map(|d| tokio::spawn(d.run())).collect();
        Self {
            adapter,
            group,
            drivers,
        }
    }

    /// Hands a commit in, so that it stands in the queue when this returns.
    fn hand_in(&self, commit: Commit) -> Waits<'_> {
        queued(self.group.append(commit))
    }

    fn hand_in_delete<'a>(&'a self, (id, epoch): &'a (AgentId, Epoch)) -> Waits<'a> {
        queued(self.group.delete(id, *epoch, Timestamp(0)))
    }

    async fn len_of(&self, (id, _): &(AgentId, Epoch)) -> u64 {
        let head = self.adapter.inner.head(id).await.unwrap().unwrap();
        head.thread_len.0
    }
}

fn queued(mut waits: Waits<'_>) -> Waits<'_> {
    assert!(waits.as_mut().now_or_never().is_none(), "it ended at once");
    waits
}

fn batch(names: &[&str]) -> Seen {
    Seen::Batch(names.iter().map(|name| (*name).to_owned()).collect())
}

#[track_caller]
fn is_committed(outcome: &AppendOutcome, revision: u64) {
    match outcome {
        AppendOutcome::Committed(at) => assert_eq!(*at, Revision(revision)),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn has_failed(outcome: &AppendOutcome, kind: ErrorKind) {
    match outcome {
        AppendOutcome::Failed(error) => assert_eq!(error.kind(), kind, "{error}"),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn is_unknown(outcome: &AppendOutcome) {
    assert!(matches!(outcome, AppendOutcome::Unknown(_)), "{outcome:?}");
}

#[tokio::test]
async fn what_queues_up_while_a_batch_is_in_flight_is_the_next_one() {
    let world = World::new(GroupOptions::new());
    let (a, b) = (
        world.adapter.claim("a").await,
        world.adapter.claim("b").await,
    );
    // Nothing is in flight: it goes out alone, without waiting for others.
    let first = world.hand_in(note(&a, 0, 1));
    world.adapter.arrived(1).await;
    assert_eq!(world.adapter.seen(), [batch(&["a0"])]);
    let rest: Vec<_> = [(&b, 0), (&a, 1), (&b, 1), (&a, 2)]
        .into_iter()
        .map(|(agent, expected)| world.hand_in(note(agent, expected, 1)))
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(world.adapter.seen(), []);
    world.adapter.let_go(2);
    is_committed(&first.await, 1);
    world.adapter.arrived(1).await;
    assert_eq!(world.adapter.seen(), [batch(&["b0", "a1", "b1", "a2"])]);
    for (waits, revision) in rest.into_iter().zip([1, 2, 2, 3]) {
        is_committed(&waits.await, revision);
    }
}

#[tokio::test]
async fn a_batch_is_bounded_in_commits_and_bytes() {
    let world = World::new(GroupOptions::new().max_batch(3).max_batch_bytes(4_000));
    let a = world.adapter.claim("a").await;
    let sizes = [1, 1, 1, 1, 9_000, 1_400, 1_400];
    let waiting: Vec<_> = (0..)
        .zip(sizes)
        .map(|(expected, bytes)| world.hand_in(note(&a, expected, bytes)))
        .collect();
    world.adapter.let_go(4);
    for (waits, revision) in waiting.into_iter().zip(1..) {
        is_committed(&waits.await, revision);
    }
    let batches = [
        batch(&["a0", "a1", "a2"]),
        batch(&["a3"]),
        batch(&["a4"]),
        batch(&["a5", "a6"]),
    ];
    assert_eq!(world.adapter.seen(), batches);
}

#[tokio::test]
async fn beyond_the_bounds_commits_fail_at_once_and_are_not_written() {
    for options in [
        GroupOptions::new().max_queued(2),
        GroupOptions::new().max_queued_bytes(4_000),
    ] {
        let world = World::new(options);
        let a = world.adapter.claim("a").await;
        let b = world.adapter.claim("b").await;
        let first = world.hand_in(note(&a, 0, 1_000));
        world.adapter.arrived(1).await;
        let second = world.hand_in(note(&a, 1, 1_000));
        let third = world.hand_in(note(&a, 2, 1_000));
        let refused = world.group.append(note(&b, 0, 1_000)).now_or_never();
        has_failed(&refused.unwrap(), ErrorKind::Overloaded);
        let refused = world.group.delete(&b.0, b.1, Timestamp(0));
        let refused = refused.now_or_never();
        world.adapter.let_go(2);
        for (waits, revision) in [first, second, third].into_iter().zip(1..) {
            is_committed(&waits.await, revision);
        }
        // By count a deletion is refused too; by bytes it is small enough.
        if let Some(refused) = refused {
            has_failed(&refused, ErrorKind::Overloaded);
            assert_eq!(world.len_of(&b).await, 0);
        }
    }
}

#[tokio::test]
async fn of_many_commits_none_is_done_whose_predecessor_was_refused() {
    let world = World::new(GroupOptions::new().max_queued_bytes(4_000));
    let a = world.adapter.claim("a").await;
    let first = world.hand_in(note(&a, 0, 1_000));
    world.adapter.arrived(1).await;
    // The second is too large beside the first, the third would fit.
    let many = vec![note(&a, 1, 1_000), note(&a, 2, 5_000), note(&a, 3, 1)];
    let mut many = world.group.append_many(many);
    assert!(many.as_mut().now_or_never().is_none());
    world.adapter.let_go(2);
    is_committed(&first.await, 1);
    let outcomes = many.await;
    is_committed(&outcomes[0], 2);
    has_failed(&outcomes[1], ErrorKind::Overloaded);
    has_failed(&outcomes[2], ErrorKind::Overloaded);
}

#[tokio::test]
async fn a_commit_that_fails_fails_alone() {
    let world = World::new(GroupOptions::new());
    let a = world.adapter.claim("a").await;
    let mut fenced = world.adapter.claim("b").await;
    fenced.1 = Epoch(fenced.1.0 + 7);
    let too_large = world.group.capabilities().max_commit_bytes + 1;
    let first = world.hand_in(note(&a, 0, 1));
    let fenced = world.hand_in(note(&fenced, 0, 1));
    let conflict = world.hand_in(note(&a, 9, 1));
    let last = world.hand_in(note(&a, 1, 1));
    let large = world.hand_in(note(&a, 2, too_large));
    world.adapter.let_go(2);
    is_committed(&first.await, 1);
    let (fenced, conflict) = (fenced.await, conflict.await);
    assert!(matches!(fenced, AppendOutcome::Fenced { .. }), "{fenced:?}");
    assert!(
        matches!(
            conflict,
            AppendOutcome::Conflict {
                actual: Revision(1)
            }
        ),
        "{conflict:?}"
    );
    is_committed(&last.await, 2);
    has_failed(&large.await, ErrorKind::TooLarge);
}

#[tokio::test]
async fn a_commit_goes_on_when_nobody_waits_for_it() {
    let world = World::new(GroupOptions::new());
    let a = world.adapter.claim("a").await;
    let in_flight = world.hand_in(note(&a, 0, 1));
    world.adapter.arrived(1).await;
    drop((in_flight, world.hand_in(note(&a, 1, 1))));
    let last = world.hand_in(note(&a, 2, 1));
    world.adapter.let_go(2);
    is_committed(&last.await, 3);
    assert_eq!(world.len_of(&a).await, 3);
}

#[tokio::test]
async fn closing_ends_what_is_in_flight_as_it_would_and_fails_the_rest() {
    let mut world = World::new(GroupOptions::new());
    let a = world.adapter.claim("a").await;
    let in_flight = world.hand_in(note(&a, 0, 1));
    world.adapter.arrived(1).await;
    let waits = world.hand_in(note(&a, 1, 1));
    let deletion = world.hand_in_delete(&a);
    world.group.close();
    has_failed(&waits.await, ErrorKind::Unavailable);
    has_failed(&deletion.await, ErrorKind::Unavailable);
    let late = world.group.append(note(&a, 1, 1)).now_or_never();
    has_failed(&late.unwrap(), ErrorKind::Unavailable);
    world.adapter.let_go(1);
    is_committed(&in_flight.await, 1);
    world.drivers.remove(0).await.unwrap();
    assert_eq!(world.len_of(&a).await, 1);
}

#[tokio::test]
async fn dropping_the_committer_ends_its_drivers() {
    let World {
        adapter,
        group,
        drivers,
    } = World::new(GroupOptions::new().lanes(3));
    let a = adapter.claim("a").await;
    drop(queued(group.append(note(&a, 0, 1))));
    adapter.arrived(1).await;
    drop(group);
    adapter.let_go(1);
    for driver in drivers {
        driver.await.unwrap();
    }
    assert_eq!(
        adapter.inner.head(&a.0).await.unwrap().unwrap().revision,
        Revision(1)
    );
}

#[tokio::test]
async fn without_a_driver_nobody_waits_for_good() {
    let mut world = World::new(GroupOptions::new());
    let driver = world.drivers.remove(0);
    let a = world.adapter.claim("a").await;
    let in_flight = world.hand_in(note(&a, 0, 1));
    world.adapter.arrived(1).await;
    let waits = world.hand_in(note(&a, 1, 1));
    driver.abort();
    assert!(driver.await.unwrap_err().is_cancelled());
    is_unknown(&in_flight.await);
    has_failed(&waits.await, ErrorKind::Unavailable);
    let late = world.group.append(note(&a, 1, 1)).now_or_never();
    has_failed(&late.unwrap(), ErrorKind::Unavailable);

    let (group, never_run) =
        GroupCommitter::new(world.adapter.clone(), &GroupOptions::new()).unwrap();
    let waits = queued(group.append(note(&a, 0, 1)));
    drop(never_run);
    has_failed(&waits.await, ErrorKind::Unavailable);
}

#[tokio::test]
async fn an_adapter_that_panics_loses_its_batch_alone() {
    let world = World::new(GroupOptions::new());
    let (a, b) = (
        world.adapter.claim("a").await,
        world.adapter.claim("b").await,
    );
    let in_flight = world.hand_in(note(&a, 0, 1));
    world.adapter.arrived(1).await;
    let next = world.hand_in(note(&b, 0, 1));
    world.adapter.set(Act::Panic);
    world.adapter.let_go(1);
    is_unknown(&in_flight.await);
    world.adapter.set(Act::Commit);
    world.adapter.let_go(1);
    is_committed(&next.await, 1);
}

#[tokio::test]
async fn a_commit_without_an_outcome_is_unknown() {
    let world = World::new(GroupOptions::new());
    let a = world.adapter.claim("a").await;
    let (first, second) = (world.hand_in(note(&a, 0, 1)), world.hand_in(note(&a, 1, 1)));
    world.adapter.set(Act::ForgetAnOutcome);
    world.adapter.let_go(1);
    is_committed(&first.await, 1);
    is_unknown(&second.await);
}

#[tokio::test]
async fn deletions_keep_their_agents_order_and_share_a_batch_with_others() {
    let world = World::new(GroupOptions::new());
    let (a, b) = (
        world.adapter.claim("a").await,
        world.adapter.claim("b").await,
    );
    let c = world.adapter.claim("c").await;
    let ended = [
        world.hand_in(note(&a, 0, 1)),
        world.hand_in_delete(&b),
        world.hand_in_delete(&c),
        world.hand_in_delete(&a),
        world.hand_in(note(&a, 2, 1)),
    ];
    world.adapter.let_go(5);
    let [first, b, c, deletion, late] = ended;
    is_committed(&first.await, 1);
    is_committed(&b.await, 1);
    is_committed(&c.await, 1);
    is_committed(&deletion.await, 2);
    let late = late.await;
    assert!(matches!(late, AppendOutcome::Fenced { .. }), "{late:?}");
    let delete = |key: &str| Seen::Delete(key.to_owned());
    let seen = [
        batch(&["a0"]),
        delete("b"),
        delete("c"),
        delete("a"),
        batch(&["a2"]),
    ];
    assert_eq!(world.adapter.seen(), seen);
}

#[tokio::test]
async fn lanes_have_batches_in_flight_at_once_and_keep_each_agents_order() {
    let world = World::new(GroupOptions::new().lanes(4));
    let mut agents = Vec::new();
    for n in 0..40 {
        agents.push(world.adapter.claim(&format!("k{n}-")).await);
    }
    let mut waiting = Vec::new();
    for expected in 0..3 {
        for agent in &agents {
            waiting.push((expected + 1, world.hand_in(note(agent, expected, 1))));
        }
    }
    world.adapter.arrived(4).await;
    world.adapter.let_go(waiting.len());
    for (revision, waits) in waiting {
        is_committed(&waits.await, revision);
    }
    // An agent is in the same lane in every process: what is in flight at once is
    // the same each time.
    assert_eq!(world.adapter.seen().len(), 4);
}

#[tokio::test]
async fn records_of_many_agents_are_one_question_to_the_adapter() {
    let world = World::new(GroupOptions::new());
    let (a, _) = world.adapter.claim("a").await;
    let (b, _) = world.adapter.claim("b").await;
    let heads = world.group.heads(&[b.clone(), a, b]).await.unwrap();
    let keys = heads.iter().flatten().map(|head| head.id.key.as_str());
    assert_eq!(keys.collect::<Vec<_>>(), ["b", "a", "b"]);
    assert_eq!(world.adapter.seen(), [Seen::Heads(3)]);
}

#[tokio::test]
async fn options_out_of_range_are_refused() {
    for (options, names) in [
        (GroupOptions::new().lanes(0), "lanes is 0"),
        (GroupOptions::new().lanes(257), "lanes is 257"),
        (GroupOptions::new().max_queued(0), "max_queued is 0"),
        (
            GroupOptions::new().max_queued_bytes(0),
            "max_queued_bytes is 0",
        ),
        (GroupOptions::new().max_batch(0), "max_batch is 0"),
        (
            GroupOptions::new().max_batch_bytes(0),
            "max_batch_bytes is 0",
        ),
    ] {
        let error = GroupCommitter::new(Scripted::new(), &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(names), "{error}");
    }
}
