//! Commits: batches of them, each with an outcome of its own.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use jido_core::{AgentId, Epoch, Revision, Seq};
use sqlx::postgres::PgRow;

use super::MAX_COMMIT_BYTES;
use super::batch::arguments_of;
use super::database::Database;
use super::fault::{Fault, Remedy};
use super::row::{Of, Reader};
use crate::{AppendOutcome, Commit, Error, ErrorKind};

/// A statement takes this many commits at the most, and this many bytes of payload
/// unless one commit is larger: what it holds at the server and here is bounded by it.
const BATCH_COMMITS: usize = 512;
const BATCH_BYTES: usize = 16 * 1024 * 1024;

/// How often a commit is tried that others were in the way of.
const ATTEMPTS: usize = 4;

/// A commit and its place among the outcomes.
type Placed<'a> = (usize, &'a Commit);

/// Appends commits to a database.
#[derive(Debug, Clone)]
pub(super) struct Appender {
    pub(super) database: Database,
    pub(super) with_json: bool,
}

impl Appender {
    /// Appends all commits, those of one agent one after another.
    pub(super) async fn append_many(self, commits: Vec<Commit>) -> Vec<AppendOutcome> {
        let mut outcomes: Vec<Option<AppendOutcome>> = Vec::new();
        outcomes.resize_with(commits.len(), || None);
        let mut rounds: Vec<Vec<Placed<'_>>> = Vec::new();
        let mut seen: BTreeMap<&AgentId, usize> = BTreeMap::new();
        for (at, commit) in commits.iter().enumerate() {
            if let Err(error) = commit.check(MAX_COMMIT_BYTES) {
                outcomes[at] = Some(AppendOutcome::Failed(error));
                continue;
            }
            let round = seen.entry(&commit.id).or_default();
            match rounds.get_mut(*round) {
                Some(commits) => commits.push((at, commit)),
                None => rounds.push(vec![(at, commit)]),
            }
            *round += 1;
        }
        for mut round in rounds {
            // The same order for everyone, so that no two batches lock each other out.
            round.sort_by_key(|(_, commit)| &commit.id);
            let batches = split(round);
            for done in join_all(batches.iter().map(|batch| self.append_batch(batch))).await {
                for (at, outcome) in done {
                    outcomes[at] = Some(outcome);
                }
            }
        }
        outcomes
            .into_iter()
            .map(|outcome| {
                outcome.unwrap_or_else(|| AppendOutcome::Unknown(incomplete("a commit's outcome")))
            })
            .collect()
    }

    /// Appends commits of different agents, in one statement if nothing is wrong with
    /// any of them.
    async fn append_batch(&self, batch: &[Placed<'_>]) -> Vec<(usize, AppendOutcome)> {
        let fault = match self.try_append(batch).await {
            Ok(rows) => return outcomes(batch, &rows),
            Err(fault) => fault,
        };
        let apart = matches!(fault.remedy(), Some(Remedy::Again | Remedy::Apart));
        if apart && batch.len() > 1 {
            let alone = batch.iter().map(|placed| self.append_alone(*placed));
            return join_all(alone).await;
        }
        if let (Some(Remedy::Again), [placed]) = (fault.remedy(), batch) {
            return vec![self.append_alone(*placed).await];
        }
        batch.iter().map(|(at, _)| (*at, ended(&fault))).collect()
    }

    /// Appends one commit, again while others are in its way.
    async fn append_alone(&self, placed: Placed<'_>) -> (usize, AppendOutcome) {
        let batch = [placed];
        let mut attempt = 1;
        loop {
            match self.try_append(&batch).await {
                Ok(rows) => {
                    let outcome = outcomes(&batch, &rows).pop();
                    return outcome.unwrap_or_else(|| {
                        let error = incomplete("a commit's outcome");
                        (placed.0, AppendOutcome::Unknown(error))
                    });
                }
                Err(fault) if fault.remedy() == Some(Remedy::Again) && attempt < ATTEMPTS => {
                    attempt += 1;
                }
                Err(fault) => return (placed.0, ended(&fault)),
            }
        }
    }

    async fn try_append(&self, batch: &[Placed<'_>]) -> Result<Vec<PgRow>, Fault> {
        let commits: Vec<&Commit> = batch.iter().map(|(_, commit)| *commit).collect();
        let arguments = arguments_of(&commits, self.with_json)?;
        self.database
            .run_here(include_str!("sql/append.sql"), arguments)
            .await
    }
}

/// Cuts a round into batches that a statement takes.
fn split(round: Vec<Placed<'_>>) -> Vec<Vec<Placed<'_>>> {
    let mut batches: Vec<Vec<Placed<'_>>> = Vec::new();
    let mut bytes = 0;
    for (at, commit) in round {
        bytes += commit.payload_len();
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH_COMMITS && bytes <= BATCH_BYTES => {
                batch.push((at, commit));
            }
            _ => {
                bytes = commit.payload_len();
                batches.push(vec![(at, commit)]);
            }
        }
    }
    batches
}

/// How a commit ended whose statement failed.
pub(super) fn ended(fault: &Fault) -> AppendOutcome {
    if fault.is_lost() {
        AppendOutcome::Unknown(fault.error())
    } else {
        AppendOutcome::Failed(fault.error())
    }
}

/// What the statement's rows say about each commit. The statement has ended well, so
/// what can't be read here is committed or not, and nobody knows.
fn outcomes(batch: &[Placed<'_>], rows: &[PgRow]) -> Vec<(usize, AppendOutcome)> {
    let mut found: BTreeMap<u64, &PgRow> = BTreeMap::new();
    for row in rows {
        let reader = Reader::new(row, Of::Batch);
        match reader.number("ord") {
            Ok(ord) => {
                found.insert(ord, row);
            }
            Err(error) => {
                let message = error.to_string();
                let unknown = |kind| AppendOutcome::Unknown(Error::new(kind, &*message));
                let all = batch.iter().map(|(at, _)| (*at, unknown(error.kind())));
                return all.collect();
            }
        }
    }
    (1..)
        .zip(batch)
        .map(|(ord, (at, commit))| {
            let outcome = match found.get(&ord) {
                // It has never been claimed.
                None => AppendOutcome::Fenced { epoch: Epoch::ZERO },
                Some(row) => judge(commit, row).unwrap_or_else(AppendOutcome::Unknown),
            };
            (*at, outcome)
        })
        .collect()
}

/// The outcome of a commit by the agent's row as it was when its lock was taken.
fn judge(commit: &Commit, row: &PgRow) -> Result<AppendOutcome, Error> {
    let row = Reader::new(row, Of::Agent(&commit.id));
    if row.get::<Option<i64>>("revision")?.is_some() {
        return Ok(AppendOutcome::Committed(Revision(row.number("revision")?)));
    }
    let epoch = Epoch(row.number("epoch")?);
    if epoch != commit.epoch || !row.get::<bool>("owned")? {
        return Ok(AppendOutcome::Fenced { epoch });
    }
    let actual = Revision(row.number("found")?);
    if actual != commit.expected {
        return Ok(AppendOutcome::Conflict { actual });
    }
    Ok(match commit.check_covers(Seq(row.number("thread_len")?)) {
        Err(error) => AppendOutcome::Failed(error),
        Ok(()) => AppendOutcome::Failed(incomplete("a commit that passes")),
    })
}

/// What only a fault in a statement of ours could bring about.
fn incomplete(what: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("Postgres left out {what}"))
}
