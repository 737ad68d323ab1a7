//! What commits write, how records are cut, and which commits share a transaction.

use super::super::plan::{Plan, Rows, Write, cost, first_batch};
use super::super::rows::{AgentRow, ClaimRow, MAX_VALUE_BYTES, StateRow, cut, join};
use super::*;
use crate::record_codec::encode;
use crate::{Erase, Reminders};

fn owned(revision: u64, thread_len: u64) -> AgentRow {
    AgentRow {
        claim: ClaimRow {
            owner: Some(NODE),
            epoch: Epoch(2),
            ..ClaimRow::new(Timestamp(1))
        },
        state: StateRow {
            epoch: Epoch(2),
            revision: Revision(revision),
            thread_len: Seq(thread_len),
            covers: Some(Seq(1)),
            ..StateRow::default()
        },
    }
}

fn plan(key: &str, row: &AgentRow) -> Plan {
    let mut plan = Plan::default();
    let rows = Rows {
        claim: Some(encode(&row.claim).unwrap()),
        state: Some(encode(&row.state).unwrap()),
    };
    plan.rows.insert(id(key), rows);
    plan
}

fn outcome(outcome: &AppendOutcome) -> String {
    match outcome {
        AppendOutcome::Failed(error) => format!("Failed({:?})", error.kind()),
        other => format!("{other:?}"),
    }
}

#[test]
fn records_are_cut_at_the_engines_limit_and_put_together_again() {
    for len in [1usize, 99_999, 100_000, 100_001, 200_000, 1_000_000] {
        let record: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
        let pairs: Vec<_> = cut(b"k", &record).collect();
        assert_eq!(pairs.len(), len.div_ceil(MAX_VALUE_BYTES));
        assert!(pairs.iter().all(|(_, value)| value.len() <= 100_000));
        assert!(pairs.is_sorted(), "{len}: chunks are out of order");
        assert!(join(pairs) == record, "{len}");
    }
}

#[test]
fn a_refused_commit_plans_nothing() {
    let row = owned(3, 2);
    let a = id("a");
    let mut covers_too_much = commit(&a, Epoch(2), 3);
    covers_too_much.checkpoint = Some(checkpoint(vec![1], 9));
    for (refused, expected) in [
        (note(&a, Epoch(1), 3, 1), "Fenced { epoch: Epoch(2) }"),
        (note(&a, Epoch(3), 3, 1), "Fenced { epoch: Epoch(2) }"),
        (note(&a, Epoch(2), 2, 1), "Conflict { actual: Revision(3) }"),
        (
            note(&id("none"), Epoch(1), 0, 1),
            "Fenced { epoch: Epoch(0) }",
        ),
        (covers_too_much, "Failed(InvalidInput)"),
    ] {
        let mut plan = plan("a", &row);
        assert_eq!(outcome(&plan.append(&layout(), &refused)), expected);
        assert!(plan.changed.is_empty() && plan.released.is_empty() && plan.writes.is_empty());
    }
    let mut corrupt = Plan::default();
    let garbage = Rows {
        claim: Some(b"garbage".to_vec()),
        state: None,
    };
    corrupt.rows.insert(a.clone(), garbage);
    let refused = corrupt.append(&layout(), &note(&a, Epoch(2), 0, 1));
    assert_eq!(outcome(&refused), "Failed(Corrupt)");
}

#[test]
fn commits_of_one_agent_build_on_each_other() {
    let a = id("a");
    let mut plan = plan("a", &owned(0, 0));
    let first = plan.append(&layout(), &note(&a, Epoch(2), 0, 1));
    let stale = plan.append(&layout(), &note(&a, Epoch(2), 0, 1));
    let mut last = note(&a, Epoch(2), 1, 1);
    last.release = true;
    let last = plan.append(&layout(), &last);
    let late = plan.append(&layout(), &note(&a, Epoch(2), 2, 1));
    let outcomes = [first, stale, last, late].map(|one| outcome(&one));
    let expected = [
        "Committed(Revision(1))",
        "Conflict { actual: Revision(1) }",
        "Committed(Revision(2))",
        "Fenced { epoch: Epoch(2) }",
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(plan.writes.len(), 2, "an entry for each commit that counts");
    assert!(plan.changed.contains(&a) && plan.released.contains(&a));
}

#[test]
fn what_is_erased_goes_before_what_is_written() {
    let a = id("a");
    let mut plan = plan("a", &owned(3, 5));
    let mut anew = note(&a, Epoch(2), 3, 1);
    anew.erase = Erase {
        checkpoint: false,
        thread: true,
    };
    let _ = plan.append(&layout(), &anew);
    let content = layout().content(&a);
    assert_eq!(plan.writes[0], Write::Clear(content.thread()));
    let last = plan.writes.last().unwrap();
    assert!(matches!(last, Write::Set(key, _) if content.seq_of(key) == Some(Seq(0))));
}

#[test]
fn the_first_reply_stands_within_a_batch_too() {
    let a = id("a");
    let mut plan = plan("a", &owned(0, 0));
    plan.marks.insert((a.clone(), RequestId::new(1, 1)));
    let sets = |plan: &Plan| {
        let is_set = |write: &&Write| matches!(write, Write::Set(..));
        plan.writes.iter().filter(is_set).count()
    };
    let mut first = commit(&a, Epoch(2), 0);
    first.requests = vec![
        request(1, 1, "late"),
        request(1, 2, "x"),
        request(1, 2, "y"),
    ];
    let _ = plan.append(&layout(), &first);
    assert_eq!(sets(&plan), 2, "one mark and one reply");
    let mut second = commit(&a, Epoch(2), 1);
    second.requests = vec![request(1, 2, "late")];
    let _ = plan.append(&layout(), &second);
    assert_eq!(sets(&plan), 2, "it has a record since the first");
    // What is forgotten makes room for a record anew.
    let mut third = commit(&a, Epoch(2), 2);
    third.forget = vec![RequestId::new(1, 1)];
    third.requests = vec![request(1, 1, "again")];
    let _ = plan.append(&layout(), &third);
    assert_eq!(sets(&plan), 4);
}

#[test]
fn a_batch_ends_where_the_next_commit_does_not_fit() {
    let layout = layout();
    let commits: Vec<_> = [100_000, 400_000, 400_000, 900_000, 10, 10]
        .iter()
        .zip(0..)
        .map(|(len, n)| note(&id(&format!("a{n}")), Epoch(1), 0, *len))
        .collect();
    assert_eq!(first_batch(&layout, &commits, 1_000_000), 3);
    assert_eq!(first_batch(&layout, &commits[3..], 1_000_000), 3);
    // One that is too large goes alone; and none is no batch.
    assert_eq!(first_batch(&layout, &commits[3..], 500_000), 1);
    assert_eq!(first_batch(&layout, &[], 1_000_000), 0);
    // Many small ones cost more than their payload.
    let small: Vec<_> = (0..10_000)
        .map(|n| note(&id(&format!("a{n}")), Epoch(1), 0, 1))
        .collect();
    let fit = first_batch(&layout, &small, 1_000_000);
    assert!((500..2_000).contains(&fit), "{fit}");
}

#[test]
fn a_commit_at_the_limit_stays_below_a_megabyte() {
    let long = id(&"k".repeat(1024));
    let mut all = note(&long, Epoch(1), 0, 300_000);
    all.checkpoint = Some(checkpoint(vec![1; 300_000], 1));
    all.requests = vec![request(
        1,
        1,
        &"r".repeat(DEFAULT_MAX_COMMIT_BYTES - 600_005),
    )];
    assert_eq!(all.payload_len(), DEFAULT_MAX_COMMIT_BYTES);
    assert!(cost(&layout(), &all) < BATCH_BYTES);
}

#[tokio::test]
async fn no_transaction_is_larger_than_it_was_thought() {
    let long = "k".repeat(1024);
    for key in ["a", &long] {
        for size in [0, 1, 30_000] {
            let double = Double::new();
            let (storage, ..) = ready(&double).await;
            let a = id(key);
            let epoch = claim(&storage, &a).await;
            let mut all = commit(&a, epoch, 0);
            for _ in 0..20 {
                all.entries.extend(note(&a, epoch, 0, size).entries);
            }
            all.entries[3].refs = vec![(String::new(), String::new()); 40];
            all.checkpoint = Some(checkpoint(vec![1; size * 10], 1));
            all.requests = (0..20)
                .map(|n| request(u128::MAX - n, u64::MAX, "r"))
                .collect();
            all.reminders = Some(Reminders {
                wake_at: Some(Timestamp(u64::MAX)),
                list: vec![1; size].into(),
            });
            all.forget = (0..20).map(|n| RequestId::new(n, 0)).collect();
            all.thread_metadata = (0..20).map(|n| (n.to_string(), String::new())).collect();
            all.erase = Erase {
                checkpoint: true,
                thread: true,
            };
            all.at = Timestamp(u64::MAX);
            let thought = cost(&layout(), &all);
            let outcome = storage.append(all).await;
            assert!(
                matches!(outcome, AppendOutcome::Committed(_)),
                "{outcome:?}"
            );
            // The marker comes on top.
            let largest = double.seen().largest as usize;
            let most = thought + 1_000_000 - BATCH_BYTES;
            assert!(
                largest <= most,
                "{largest} bytes, where {most} were the most"
            );
            assert!(
                2 * largest > thought,
                "{largest} bytes, where {thought} were thought"
            );
        }
    }
}

#[test]
fn a_commit_of_too_many_records_is_refused_with_the_limit() {
    let mut many = commit(&id(&"k".repeat(1024)), Epoch(1), 0);
    for _ in 0..9_000 {
        many.entries
            .extend(note(&many.id.clone(), Epoch(1), 0, 1).entries);
    }
    let error = check(&layout(), &many, DEFAULT_MAX_COMMIT_BYTES).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().contains("9500000"), "{error}");
}
