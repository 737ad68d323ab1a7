//! Statements are planned once, maybe when there was nothing to plan for.

use bytes::Bytes;
use jido_core::{Checkpoint, Epoch, RequestId, Revision, Seq, Timestamp};
use jido_storage::{Commit, PostgresStorage, RequestRecord, Storage};

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

/// Fills an agent's window, and empties it again.
async fn forget_one_by_one(storage: &PostgresStorage, key: &str, epoch: Epoch) {
    let mut full = Commit::new(id(key), epoch, Revision(2), Timestamp(3));
    let requests = 100..100 + AGENTS as u64;
    full.requests.extend(requests.clone().map(record));
    assert_eq!(committed(&storage.append(full).await), 3);
    for n in requests {
        let mut less = Commit::new(id(key), epoch, Revision(3), Timestamp(3));
        less.forget.push(request(n));
        assert_eq!(committed(&storage.append(less).await), 3);
    }
    let window = storage.load(&id(key)).await.unwrap().unwrap().requests;
    assert_eq!(window.marks.len(), 1);
}

/// How much was read by each index, the busiest first.
async fn reads(url: &str) -> String {
    let mut session = Session::open(url).await;
    let sql = "select string_agg(indexrelname || ' ' || idx_tup_read, ', ' order by idx_tup_read desc) \
               from pg_stat_user_indexes";
    session.ask(sql).await
}

#[tokio::test]
async fn what_is_planned_for_empty_tables_serves_full_ones() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let keys: Vec<String> = (0..AGENTS).map(|n| format!("agent-{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    // One connection, which has all of its plans from the start.
    let (storage, epochs) = claimed(options(&url).max_connections(1), &keys[..1]).await;
    let mut session = Session::open(&url).await;
    let empty =
        "delete from agent; vacuum analyze agent; vacuum analyze entry; vacuum analyze request";
    for statement in empty.split(';') {
        session.run(statement).await;
    }
    let nobody = [id(keys[0])];
    for revision in [0, 1] {
        fenced(&storage.append(whole(keys[0], epochs[0], revision)).await);
    }
    storage.heads(&nobody).await.unwrap();
    storage.reply_of(&nobody[0], request(0)).await.unwrap();
    fenced(&storage.delete(&nobody[0], epochs[0], Timestamp(5)).await);

    let mut epochs = Vec::new();
    for key in &keys {
        epochs.push(claim(&storage, key).await);
    }
    for (key, epoch) in keys.iter().zip(&epochs) {
        for revision in [0, 1] {
            let outcome = storage.append(whole(key, *epoch, revision)).await;
            assert_eq!(committed(&outcome), revision + 1);
        }
        assert!(storage.heads(&[id(key)]).await.unwrap()[0].is_some());
        let reply = storage.reply_of(&id(key), request(1)).await.unwrap();
        assert_eq!(reply.unwrap().reply, Bytes::from_static(b"reply"));
    }
    forget_one_by_one(&storage, keys[0], epochs[0]).await;
    for (key, epoch) in keys[1..].iter().zip(&epochs[1..]) {
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
