//! Statements are planned once, maybe when there was nothing to plan for.

use bytes::Bytes;
use jido_core::{Checkpoint, Epoch, RequestId, Revision, Seq, Timestamp};
use jido_storage::{AppendOutcome, Commit, PostgresStorage, RequestRecord, Storage};

use crate::fixture::*;

const AGENTS: usize = 300;

fn request(n: u64) -> RequestId {
    RequestId::new(7, n)
}

fn record(n: u64) -> RequestRecord {
    RequestRecord {
        request: request(n),
        issued_at: Timestamp(3),
        reply: Bytes::from_static(b"reply"),
    }
}

/// Everything that a commit can write, the next of an agent.
fn whole(key: &str, epoch: Epoch, expected: u64) -> Commit {
    let mut commit = note(key, epoch, expected);
    commit.requests.push(record(expected));
    commit.forget.extend(expected.checked_sub(1).map(request));
    commit.erase.thread = expected == 1;
    commit.checkpoint = Some(Checkpoint {
        state: Bytes::from_static(b"state"),
        covers: Seq(0),
    });
    commit
}

/// Appends the next commit of each agent, all at once, and says how each has ended.
async fn append(
    storage: &PostgresStorage,
    agents: &[(&str, Epoch)],
    next: impl Fn(&str, Epoch) -> Commit,
) -> Vec<AppendOutcome> {
    let commits = agents.iter().map(|(key, epoch)| next(key, *epoch));
    storage.append_many(commits.collect()).await
}

/// Fills agents' windows, and empties them again.
async fn forget_one_by_one(storage: &PostgresStorage, agents: &[(&str, Epoch)]) {
    let requests = 100..100 + AGENTS as u64;
    let full = |key: &str, epoch| {
        let mut full = Commit::new(id(key), epoch, Revision(2), Timestamp(3));
        full.requests.extend(requests.clone().map(record));
        full
    };
    for outcome in append(storage, agents, full).await {
        assert_eq!(committed(&outcome), 3);
    }
    for n in requests.clone() {
        let less = |key: &str, epoch| {
            let mut less = Commit::new(id(key), epoch, Revision(3), Timestamp(3));
            less.forget.push(request(n));
            less
        };
        for outcome in append(storage, agents, less).await {
            assert_eq!(committed(&outcome), 3);
        }
    }
    for (key, _) in agents {
        let window = storage.load(&id(key)).await.unwrap().unwrap().requests;
        assert_eq!(window.marks.len(), 1);
    }
}

/// How much was read by each index, the busiest first.
async fn reads(url: &str) -> String {
    let mut session = Session::open(url).await;
    let sql = "select string_agg(indexrelname || ' ' || idx_tup_read, ', ' order by idx_tup_read desc) \
               from pg_stat_user_indexes";
    session.ask(sql).await
}

/// What is planned for empty tables serves full ones, for so many commits at once.
async fn serves_full_tables(at_once: usize) {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let keys: Vec<String> = (0..AGENTS).map(|n| format!("agent-{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    // One connection, which has all of its plans from the start.
    let (storage, epochs) = claimed(options(&url).max_connections(1), &keys[..at_once]).await;
    let first: Vec<_> = keys.iter().copied().zip(epochs).collect();
    let mut session = Session::open(&url).await;
    let empty =
        "delete from agent; vacuum analyze agent; vacuum analyze entry; vacuum analyze request";
    for statement in empty.split(';') {
        session.run(statement).await;
    }
    for revision in [0, 1] {
        let outcomes = append(&storage, &first, |key, epoch| whole(key, epoch, revision)).await;
        outcomes.iter().for_each(fenced);
    }
    let (nobody, epoch) = (id(first[0].0), first[0].1);
    storage.heads(std::slice::from_ref(&nobody)).await.unwrap();
    storage.reply_of(&nobody, request(0)).await.unwrap();
    fenced(&storage.delete(&nobody, epoch, Timestamp(5)).await);

    let mut agents = Vec::new();
    for key in keys {
        agents.push((key, claim(&storage, key).await));
    }
    for agents in agents.chunks(at_once) {
        for revision in [0, 1] {
            for outcome in append(&storage, agents, |key, epoch| whole(key, epoch, revision)).await
            {
                assert_eq!(committed(&outcome), revision + 1);
            }
        }
    }
    for (key, _) in &agents {
        assert!(storage.heads(&[id(key)]).await.unwrap()[0].is_some());
        let reply = storage.reply_of(&id(key), request(1)).await.unwrap();
        assert_eq!(reply.unwrap().reply, Bytes::from_static(b"reply"));
    }
    let (few, rest) = agents.split_at(at_once);
    forget_one_by_one(&storage, few).await;
    for (key, epoch) in rest {
        let deleted = storage.delete(&id(key), *epoch, Timestamp(5)).await;
        assert_eq!(committed(&deleted), 3);
    }
    // What a connection has counted is told when it ends.
    storage.close().await;
    let reads = reads(&url).await;
    let busiest = reads.split([' ', ',']).nth(1).unwrap();
    let most: usize = busiest.parse().unwrap();
    // A look at every row by one of the statements would be 300 for each time it is run.
    assert!(most < 30 * AGENTS, "for {AGENTS} agents: {reads}");
}

#[tokio::test]
async fn what_is_planned_for_empty_tables_serves_full_ones() {
    serves_full_tables(1).await;
}

#[tokio::test]
async fn what_is_planned_for_batches_on_empty_tables_serves_full_ones() {
    serves_full_tables(2).await;
}
