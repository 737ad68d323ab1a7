//! Rows are found by their numbers, which are the same as long as the database is.

use jido_core::{AgentId, ManagerName, Timestamp};
use jido_storage::{ClaimOutcome, ClaimRequest, ErrorKind, Storage};

use crate::fixture::*;

#[tokio::test]
async fn a_row_that_became_another_agents_is_left_alone_and_the_own_one_found_again() {
    let server = server().await;
    for became in ["cluster = 'other'", "manager = 'other'", "key = 'other'"] {
        let url = server.fresh_database().await.unwrap();
        let (storage, epochs) = claimed(options(&url), &["moved"]).await;
        let mut session = Session::open(&url).await;
        // As in a database that was replaced: the number is another agent's, of whom the
        // rest is the same.
        let change = format!("update jido.agent set {became}");
        session.run(&change).await;
        session
            .run(
                "insert into jido.agent (cluster, manager, key, owner, epoch, created_at, updated_at) \
                 select 'main', 'agents', 'moved', owner, epoch, created_at, updated_at \
                 from jido.agent",
            )
            .await;
        let other = format!("select revision::text from jido.agent where {became}");

        let refused = storage.append(note("moved", epochs[0], 0)).await;
        failed(&refused, ErrorKind::Unavailable);
        let head = storage.head(&id("moved")).await.unwrap().unwrap();
        assert_eq!(head.revision.0, 0, "{became}");
        assert_eq!(session.ask(&other).await, "0", "{became}");

        let outcome = storage.append(note("moved", epochs[0], 0)).await;
        assert_eq!(committed(&outcome), 1, "{became}");
        assert_eq!(session.ask(&other).await, "0", "{became}");
    }
}

#[tokio::test]
async fn another_handle_finds_the_rows_of_agents_that_it_has_not_claimed() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let (storage, epochs) = claimed(options(&url), &["a", "b"]).await;
    let beside = connect(&url).await;
    assert_eq!(committed(&beside.append(note("a", epochs[0], 0)).await), 1);
    // One that is known now, one that is not, and one that has no row.
    let commits = vec![
        note("a", epochs[0], 1),
        note("b", epochs[1], 0),
        note("never", epochs[0], 0),
    ];
    let outcomes = beside.append_many(commits).await;
    assert_eq!(committed(&outcomes[0]), 2);
    assert_eq!(committed(&outcomes[1]), 1);
    fenced(&outcomes[2]);
    // Who gave it back and has it again goes on with it.
    let mut last = note("a", epochs[0], 2);
    last.release = true;
    assert_eq!(committed(&beside.append(last).await), 3);
    let again = claim(&storage, "a").await;
    assert_eq!(committed(&beside.append(note("a", again, 3)).await), 4);
}

#[tokio::test]
async fn agents_of_several_managers_share_a_batch() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let (storage, _) = claimed(options(&url), &[]).await;
    let mut commits = Vec::new();
    for manager in ["carts", "users", "agents"] {
        for key in ["b", "a"] {
            let manager = ManagerName::new(manager).unwrap();
            let id = AgentId::new(cluster(), manager, id(key).key);
            let claim = ClaimRequest {
                id: id.clone(),
                claimant: NODE,
                take_from: None,
                at: Timestamp(2),
            };
            let ClaimOutcome::Claimed(epoch) = storage.claim(claim).await.unwrap() else {
                panic!("{id} is not claimed");
            };
            let mut commit = note(key, epoch, 0);
            commit.id = id;
            commits.push(commit);
        }
    }
    let outcomes = storage.append_many(commits.clone()).await;
    assert!(outcomes.iter().all(|outcome| committed(outcome) == 1));
    for commit in commits {
        let head = storage.head(&commit.id).await.unwrap().unwrap();
        assert_eq!(head.thread_len.0, 1, "{}", commit.id);
    }
}
