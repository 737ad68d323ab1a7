//! Postgres alone: the batches that the adapter makes, as plain statements.
//!
//! Every lane is a connection with a task of its own that runs one statement after the
//! other, prepared and each a transaction: it writes an entry of 200 bytes for each agent
//! of the lane. Nobody checks anything, and nothing is handed from task to task.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::BYTES;

/// What a batch writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writes {
    /// A row for each entry: the least that anybody can do.
    Entries,
    /// Also the agent's own row, which counts its commits: the least that keeps a
    /// record by which another commit could be refused.
    EntriesAndRecords,
}

const ENTRIES: &str = "insert into entry select agent, $2, payload \
                       from unnest($1::bigint[], $3::bytea[]) as t(agent, payload)";
const BOTH: &str = "with input as (select * from unnest($1::bigint[], $3::bytea[]) as t(agent, payload)), \
                    counted as (update agent a set revision = revision + 1 from input i where a.id = i.agent) \
                    insert into entry select agent, $2, payload from input";

/// Connections, each with its agents.
pub(crate) struct Floor {
    lanes: Vec<(PgConnection, Vec<i64>)>,
    sql: &'static str,
    seq: i64,
}

impl Floor {
    pub(crate) async fn new(url: &str, shares: &[usize], writes: Writes) -> Self {
        let (schema, sql) = match writes {
            Writes::Entries => ("entries", ENTRIES),
            Writes::EntriesAndRecords => ("records", BOTH),
        };
        let agents: usize = shares.iter().sum();
        let tables = format!(
            "create schema {schema}; set search_path to {schema}; \
             create table agent (id bigint primary key, revision bigint not null) with (fillfactor = 70); \
             insert into agent select id, 0 from generate_series(0, {agents} - 1) id; \
             create table entry (agent bigint, seq bigint, payload bytea not null, primary key (agent, seq))"
        );
        let mut setup = PgConnection::connect(url).await.unwrap();
        setup.execute(AssertSqlSafe(tables)).await.unwrap();
        let mut lanes = Vec::new();
        let mut next = 0;
        for share in shares {
            let mut connection = PgConnection::connect(url).await.unwrap();
            // As the adapter's are: one plan, by indexes.
            let settings = format!(
                "set search_path to {schema}; set plan_cache_mode = force_generic_plan; \
                 set enable_seqscan = off; set jit = off"
            );
            connection.execute(AssertSqlSafe(settings)).await.unwrap();
            lanes.push((connection, (next..next + *share as i64).collect()));
            next += *share as i64;
        }
        Self { lanes, sql, seq: 0 }
    }

    pub(crate) async fn rounds(&mut self, rounds: u64) -> Duration {
        let (sql, seqs) = (self.sql, self.seq..self.seq + rounds as i64);
        self.seq = seqs.end;
        let begun = Instant::now();
        let tasks: Vec<_> = std::mem::take(&mut self.lanes)
            .into_iter()
            .map(|(mut connection, agents)| {
                let seqs = seqs.clone();
                tokio::spawn(async move {
                    let payload = [7u8; BYTES];
                    let payloads = vec![&payload[..]; agents.len()];
                    for seq in seqs {
                        let query = sqlx::query(sql).bind(&agents).bind(seq).bind(&payloads);
                        let done = query.execute(&mut connection).await.unwrap();
                        assert_eq!(done.rows_affected(), agents.len() as u64);
                    }
                    (connection, agents)
                })
            })
            .collect();
        for task in tasks {
            self.lanes.push(task.await.unwrap());
        }
        begun.elapsed()
    }
}
