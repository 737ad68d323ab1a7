//! An agent that is taken over, and a page of the directory, beside bare statements.

use std::time::{Duration, Instant};

use jido_core::{Checkpoint, Revision, Seq, Timestamp};
use jido_storage::{AppendOutcome, Commit, DirectoryQuery, Storage};
use sqlx::{Connection, PgConnection};

use crate::adapter::{agent, claim, cluster, connect, manager};
use crate::{middle, seconds};

const AGENTS: usize = 1_000;
const STATE: usize = 2_048;
const TURNS: usize = 200;
const PAGES: usize = 50;

fn milliseconds(took: &[Duration]) -> f64 {
    middle(seconds(took)) * 1e3
}

/// A claim and then a load, of agents with a checkpoint of 2 kB, one after the other.
pub(crate) async fn claims_and_loads(url: &str) {
    let storage = connect(url).await;
    for n in 0..AGENTS {
        let id = agent(n);
        let epoch = claim(&storage, &id).await;
        let mut commit = Commit::new(id, epoch, Revision(0), Timestamp(1));
        commit.checkpoint = Some(Checkpoint {
            // Not such as would become smaller when it is stored.
            state: (0..STATE).map(|at| (at * at % 251) as u8).collect(),
            covers: Seq(0),
        });
        let outcome = storage.append(commit).await;
        assert!(
            matches!(outcome, AppendOutcome::Committed(_)),
            "{outcome:?}"
        );
    }
    let mut bare = PgConnection::connect(url).await.unwrap();
    let (mut taken, mut beside) = (Vec::new(), Vec::new());
    for n in 0..=TURNS {
        let id = agent(n * 7 % AGENTS);
        let begun = Instant::now();
        claim(&storage, &id).await;
        let loaded = storage.load(&id).await.unwrap().unwrap();
        taken.push(begun.elapsed());
        assert_eq!(loaded.checkpoint.unwrap().state.len(), STATE);

        let key = format!("agent-{}", (n * 7 + 1) % AGENTS);
        let begun = Instant::now();
        for sql in [
            "update jido.agent set epoch = epoch + 1 where cluster = 'bench' and manager = 'agents' \
             and key = $1 returning epoch::text::bytea",
            "select checkpoint from jido.agent where cluster = 'bench' and manager = 'agents' \
             and key = $1",
        ] {
            let row: (Vec<u8>,) = sqlx::query_as(sql)
                .bind(&key)
                .fetch_one(&mut bare)
                .await
                .unwrap();
            assert!(!row.0.is_empty());
        }
        beside.push(begun.elapsed());
    }
    println!(
        "claim and load of {STATE} bytes: {:.2} ms; a bare update and select {:.2} ms",
        milliseconds(&taken[1..]),
        milliseconds(&beside[1..])
    );
}

/// Pages of 1,000, of the agents that are there by now.
pub(crate) async fn pages(url: &str) {
    let storage = connect(url).await;
    let mut bare = PgConnection::connect(url).await.unwrap();
    let (mut read, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..=PAGES {
        let query = DirectoryQuery {
            cluster: cluster(),
            manager: manager(),
            after: None,
            limit: AGENTS,
        };
        let begun = Instant::now();
        let page = storage.directory(query).await.unwrap();
        read.push(begun.elapsed());
        assert_eq!(page.agents.len(), AGENTS);

        let begun = Instant::now();
        let rows = sqlx::query(
            "select key, owner, epoch, revision, thread_len, created_at, updated_at from jido.agent \
             where cluster = 'bench' and manager = 'agents' order by key limit 1000",
        )
        .fetch_all(&mut bare)
        .await
        .unwrap();
        beside.push(begun.elapsed());
        assert_eq!(rows.len(), AGENTS);
    }
    println!(
        "directory page of {AGENTS}: {:.2} ms; the bare select {:.2} ms",
        milliseconds(&read[1..]),
        milliseconds(&beside[1..])
    );
}
