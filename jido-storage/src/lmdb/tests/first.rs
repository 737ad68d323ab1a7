//! What is done to nodes' records goes before all else that waits.

use std::time::Duration;

use super::*;
use crate::lmdb::job::Place;
use crate::lmdb::queue::{Last, MAX_QUEUED};

/// Long enough for anything on two busy cores, where a fault would last for ever.
const LIMIT: Duration = Duration::from_secs(30);

fn renewal() -> Renew {
    Renew {
        cluster: cluster(),
        incarnation: NODE,
    }
}

fn declaration(observed: Option<u64>) -> DeclareDead {
    DeclareDead {
        cluster: cluster(),
        incarnation: NODE,
        observed,
    }
}

/// As many commits as may wait.
fn commits(id: &AgentId, epoch: Epoch) -> impl Iterator<Item = Append> {
    let commits = (0..MAX_QUEUED as u64).map(move |n| commit(id, epoch, n, 1));
    commits.map(ready)
}

#[test]
fn a_renewal_finds_room_in_a_full_queue_and_is_in_the_next_batch() {
    let queue = Queue::default();
    let mut waiting = Vec::new();
    for append in commits(&id("a"), Epoch(1)) {
        let (job, outcome) = job(append);
        queue.push([job]);
        waiting.push(outcome);
    }
    let (late, mut late_outcome) = job(ready(commit(&id("a"), Epoch(1), 0, 1)));
    queue.push([late]);
    assert!(
        matches!(&late_outcome.try_recv(), Ok(AppendOutcome::Failed(error))
            if error.kind() == ErrorKind::Overloaded),
        "the queue is not full"
    );

    let (renew, mut renewed) = job(renewal());
    let (declare, mut declared) = job(declaration(None));
    queue.push([renew, declare]);
    assert!(renewed.try_recv().is_err(), "the renewal is refused");
    assert!(declared.try_recv().is_err(), "the declaration is refused");
    assert_eq!(queue.len(), MAX_QUEUED + 2);

    let mut seen = 0;
    while queue.len() > 0 {
        let batch = queue.next_batch(&mut Last::default());
        let nodes = batch.iter().take_while(|job| job.place() == Place::Nodes);
        let nodes = nodes.count();
        assert_eq!(nodes, if seen == 0 { 2 } else { 0 }, "after {seen}");
        seen += batch.len();
        // One that comes meanwhile is before those that have waited for longer.
        if queue.len() > 0 {
            let mut batch = Vec::new();
            queue.push([job(renewal()).0]);
            assert!(queue.join(&mut batch, 0, Duration::ZERO));
            assert!(batch[0].place() == Place::Nodes);
            assert!(batch[1..].iter().all(|job| job.place() == Place::Last));
            seen += batch.len() - 1;
        }
    }
    assert_eq!(seen, MAX_QUEUED + 2, "each is handed out once");
    drop(waiting);
}

#[test]
fn operations_on_nodes_have_a_bound_of_their_own() {
    let queue = Queue::default();
    let mut waiting = Vec::new();
    for _ in 0..=MAX_QUEUED {
        let (job, outcome) = job(renewal());
        queue.push([job]);
        waiting.push(outcome);
    }
    let refused = waiting.pop().unwrap().try_recv().unwrap();
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Overloaded);
    assert!(
        waiting
            .iter_mut()
            .all(|outcome| outcome.try_recv().is_err())
    );
    // And leave commits theirs.
    let (append, mut outcome) = job(ready(commit(&id("a"), Epoch(1), 0, 1)));
    queue.push([append]);
    assert!(outcome.try_recv().is_err());
    queue.abandon();
    assert!(outcome.try_recv().is_ok());
    assert!(waiting.iter_mut().all(|outcome| outcome.try_recv().is_ok()));
}

#[tokio::test]
async fn a_lease_is_renewed_while_more_waits_than_may() {
    let folder = tempfile::tempdir().unwrap();
    let storage = LmdbStorage::open(folder.path()).unwrap();
    register(&storage).await;
    let a = id("a");
    let epoch = claim(&storage, &a).await;
    // Nothing is written for as long as this lasts.
    let held = storage.handle.env.begin().unwrap();
    let waiting: Vec<_> = commits(&a, epoch)
        .map(|append| storage.submit(append))
        .collect();
    // The writer may have taken some.
    let mut more = Vec::new();
    let mut last = waiting.len() as u64;
    while storage.handle.queue.len() < MAX_QUEUED {
        more.push(storage.submit(ready(commit(&a, epoch, last, 1))));
        last += 1;
    }
    let refused = storage.append(commit(&a, epoch, last, 1)).await;
    assert!(
        matches!(&refused, AppendOutcome::Failed(error) if error.kind() == ErrorKind::Overloaded),
        "{refused:?}"
    );
    let renewed = storage.submit(renewal());
    let alive = storage.submit(declaration(Some(1)));
    drop(held);
    let outcomes = async {
        // In the order in which they came.
        assert_eq!(
            outcome_of::<Renew>(renewed).await.unwrap(),
            Renewal::Renewed(2)
        );
        assert!(!outcome_of::<DeclareDead>(alive).await.unwrap());
        for outcome in waiting.into_iter().chain(more) {
            let outcome = outcome_of::<Append>(outcome).await;
            assert!(
                matches!(outcome, AppendOutcome::Committed(_)),
                "{outcome:?}"
            );
        }
    };
    tokio::time::timeout(LIMIT, outcomes).await.unwrap();
    assert_eq!(storage.head(&a).await.unwrap().unwrap().revision.0, last);
}
