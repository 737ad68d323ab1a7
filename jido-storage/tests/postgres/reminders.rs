//! The index of those that are due costs commits nothing that don't move it.

use jido_core::{ManagerName, Timestamp};
use jido_storage::{DueQuery, Reminders, Storage};

use crate::fixture::*;

/// Updates of agents' rows, and those of them that no index had to follow.
async fn updates(session: &mut Session) -> (u64, u64) {
    session
        .run("select pg_stat_force_next_flush(), pg_stat_clear_snapshot()")
        .await;
    let sql = "select n_tup_upd || ' ' || n_tup_hot_upd from pg_stat_user_tables \
               where schemaname = 'jido' and relname = 'agent'";
    let found = session.ask(sql).await;
    let (all, hot) = found.split_once(' ').unwrap();
    (all.parse().unwrap(), hot.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_commit_that_moves_no_time_follows_no_index() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let (storage, epochs) = claimed(options(&url), &["a"]).await;
    let mut revision = 0;
    let append = async |wake_at: Option<u64>, revision: &mut u64| {
        let mut commit = note("a", epochs[0], *revision);
        commit.reminders = wake_at.map(|wake_at| Reminders {
            wake_at: Some(Timestamp(wake_at)),
            list: format!("list {revision}").into(),
        });
        *revision = committed(&storage.append(commit).await);
    };
    append(Some(5), &mut revision).await;
    for _ in 0..20 {
        // Without reminders, and with other ones for the same time.
        append(None, &mut revision).await;
        append(Some(5), &mut revision).await;
    }
    // A backend tells of its updates once it is gone at the latest.
    storage.close().await;
    let mut session = Session::open(&url).await;
    let told = async {
        loop {
            let (all, hot) = updates(&mut session).await;
            if all >= 41 {
                return (all, hot);
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let (all, hot) = tokio::time::timeout(LIMIT, told).await.unwrap();
    // All but the first, which set the time; a row that finds its page full moves.
    assert!(hot + 3 >= all, "{hot} of {all}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn those_that_are_due_are_found_by_the_index() {
    let server = server().await;
    let url = server.fresh_database().await.unwrap();
    let (storage, epochs) = claimed(options(&url), &["a"]).await;
    let mut commit = note("a", epochs[0], 0);
    commit.reminders = Some(Reminders {
        wake_at: Some(Timestamp(5)),
        list: "list".into(),
    });
    assert_eq!(committed(&storage.append(commit).await), 1);
    let mut session = Session::open(&url).await;
    session
        .run("set enable_seqscan = off; set plan_cache_mode = force_generic_plan")
        .await;
    session
        .run(format!(
            "prepare due (text, text, bigint, bigint, text, bigint) as {}",
            include_str!("../../src/postgres/sql/due.sql")
        ))
        .await;
    session
        .run(
            "create function jido.plan(sql text) returns text language plpgsql as $$ \
             declare line text; plan text := ''; \
             begin for line in execute 'explain ' || sql loop plan := plan || line; end loop; \
             return plan; end $$",
        )
        .await;
    let plan = session
        .ask("select jido.plan($$execute due ('main', 'agents', 9, -1, '', 10)$$)")
        .await;
    assert!(plan.contains("agent_due"), "{plan}");
    assert!(!plan.contains("Sort"), "{plan}");
    let query = DueQuery {
        cluster: cluster(),
        manager: ManagerName::new("agents").unwrap(),
        until: Timestamp(u64::MAX),
        after: None,
        limit: 10,
    };
    assert_eq!(storage.due(query).await.unwrap().len(), 1);
}
