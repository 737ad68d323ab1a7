//! Commits: batches of them, each with an outcome of its own.

use std::collections::HashMap;

use futures_util::future::join_all;
use jido_core::{AgentId, Epoch, Revision, Seq};
use sqlx::postgres::PgRow;

use super::MAX_COMMIT_BYTES;
use super::batch::{Placed, arguments_of};
use super::database::Database;
use super::fault::{Fault, Remedy};
use super::lookup::rows_of;
use super::needs::Needs;
use super::numbers::Numbers;
use super::row::{Of, Reader};
use crate::{AppendOutcome, Commit, Error, ErrorKind};

/// A statement takes this many commits at the most, and this many bytes of payload
/// unless one commit is larger: what it holds at the server and here is bounded by it.
const BATCH_COMMITS: usize = 512;
const BATCH_BYTES: usize = 16 * 1024 * 1024;

/// How often a commit is tried that others were in the way of.
const ATTEMPTS: usize = 4;

/// Appends commits to a database.
#[derive(Debug, Clone)]
pub(super) struct Appender {
    pub(super) database: Database,
    pub(super) numbers: Numbers,
    pub(super) with_json: bool,
}

impl Appender {
    /// Appends all commits, those of one agent one after another.
    pub(super) async fn append_many(self, commits: Vec<Commit>) -> Vec<AppendOutcome> {
        let mut outcomes: Vec<Option<AppendOutcome>> = Vec::new();
        outcomes.resize_with(commits.len(), || None);
        let mut checked = Vec::with_capacity(commits.len());
        for (at, commit) in commits.iter().enumerate() {
            match commit.check(MAX_COMMIT_BYTES) {
                Ok(()) => checked.push((at, commit)),
                Err(error) => outcomes[at] = Some(AppendOutcome::Failed(error)),
            }
        }
        let ids: Vec<&AgentId> = checked.iter().map(|(_, commit)| &commit.id).collect();
        let rounds = match self.numbers.of(&self.database, &ids).await {
            Ok(numbers) => rounds(&checked, &numbers),
            // Nothing was sent of what they write.
            Err(error) => {
                for (at, _) in checked {
                    outcomes[at] = Some(AppendOutcome::Failed(error.copy()));
                }
                Vec::new()
            }
        };
        for mut round in rounds {
            // The same order for everyone, so that no two batches lock each other out.
            round.sort_by_key(|placed| &placed.commit.id);
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
            Ok(rows) => return self.outcomes(batch, &rows).await,
            Err(fault) => fault,
        };
        let apart = matches!(fault.remedy(), Some(Remedy::Again | Remedy::Apart));
        if apart && batch.len() > 1 {
            let alone = batch.iter().map(|placed| self.append_alone(*placed));
            return join_all(alone).await.into_iter().flatten().collect();
        }
        if let (Some(Remedy::Again), [placed]) = (fault.remedy(), batch) {
            return self.append_alone(*placed).await;
        }
        batch
            .iter()
            .map(|placed| (placed.at, ended(&fault)))
            .collect()
    }

    /// Appends one commit, again while others are in its way.
    async fn append_alone(&self, placed: Placed<'_>) -> Vec<(usize, AppendOutcome)> {
        let batch = [placed];
        let mut attempt = 1;
        loop {
            match self.try_append(&batch).await {
                Ok(rows) => return self.outcomes(&batch, &rows).await,
                Err(fault) if fault.remedy() == Some(Remedy::Again) && attempt < ATTEMPTS => {
                    attempt += 1;
                }
                Err(fault) => return vec![(placed.at, ended(&fault))],
            }
        }
    }

    async fn try_append(&self, batch: &[Placed<'_>]) -> Result<Vec<PgRow>, Fault> {
        let needs = Needs::of(batch.iter().map(|placed| placed.commit), self.with_json);
        let arguments = arguments_of(batch, needs, self.with_json)?;
        self.database.run_here(needs.statement(), arguments).await
    }

    /// What the statement's row says about each commit. The statement has ended well, so
    /// what can't be read here is committed or not, and nobody knows.
    async fn outcomes(&self, batch: &[Placed<'_>], rows: &[PgRow]) -> Vec<(usize, AppendOutcome)> {
        let committed = match committed(batch.len(), rows) {
            Ok(committed) => committed,
            Err(error) => {
                let unknown =
                    |placed: &Placed<'_>| (placed.at, AppendOutcome::Unknown(error.copy()));
                return batch.iter().map(unknown).collect();
            }
        };
        let mut outcomes = Vec::with_capacity(batch.len());
        let mut refused = Vec::new();
        for (placed, committed) in batch.iter().zip(committed) {
            let Placed { at, commit, .. } = *placed;
            if committed {
                if commit.release {
                    self.numbers.forget(&commit.id);
                }
                let now = commit.expected.0 + u64::from(commit.advances_revision());
                outcomes.push((at, AppendOutcome::Committed(Revision(now))));
            } else {
                refused.push(*placed);
            }
        }
        if !refused.is_empty() {
            outcomes.extend(self.refusals(&refused).await);
        }
        outcomes
    }

    /// Why commits were refused, by how their agents stand now. They wrote nothing,
    /// whatever is found or not.
    async fn refusals(&self, refused: &[Placed<'_>]) -> Vec<(usize, AppendOutcome)> {
        let ids: Vec<&AgentId> = refused.iter().map(|placed| &placed.commit.id).collect();
        let rows = match rows_of(&self.database, &ids).await {
            Ok(rows) => rows,
            Err(error) => {
                let failed = |placed: &Placed<'_>| (placed.at, AppendOutcome::Failed(error.copy()));
                return refused.iter().map(failed).collect();
            }
        };
        let judged = refused.iter().zip(rows).map(|(placed, row)| {
            // Its row may be another since the database is.
            self.numbers.forget(&placed.commit.id);
            let outcome = match row {
                // It has never been claimed.
                None => Ok(AppendOutcome::Fenced { epoch: Epoch::ZERO }),
                Some(row) => judge(placed.commit, &row),
            };
            (placed.at, outcome.unwrap_or_else(AppendOutcome::Failed))
        });
        judged.collect()
    }
}

/// Commits in rounds, those of one agent each in another, with the numbers of their rows.
fn rounds<'a>(commits: &[(usize, &'a Commit)], numbers: &[i64]) -> Vec<Vec<Placed<'a>>> {
    let mut rounds: Vec<Vec<Placed<'_>>> = Vec::new();
    let mut seen: HashMap<&AgentId, usize> = HashMap::with_capacity(commits.len());
    for ((at, commit), number) in commits.iter().copied().zip(numbers.iter().copied()) {
        let placed = Placed { at, number, commit };
        let round = seen.entry(&commit.id).or_default();
        match rounds.get_mut(*round) {
            Some(commits) => commits.push(placed),
            None => rounds.push(vec![placed]),
        }
        *round += 1;
    }
    rounds
}

/// Cuts a round into batches that a statement takes.
fn split(round: Vec<Placed<'_>>) -> Vec<Vec<Placed<'_>>> {
    let mut batches: Vec<Vec<Placed<'_>>> = Vec::new();
    let mut bytes = 0;
    for placed in round {
        bytes += placed.commit.payload_len();
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH_COMMITS && bytes <= BATCH_BYTES => {
                batch.push(placed);
            }
            _ => {
                bytes = placed.commit.payload_len();
                batches.push(vec![placed]);
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

/// Which of so many commits were made, in their order.
fn committed(count: usize, rows: &[PgRow]) -> Result<Vec<bool>, Error> {
    let row = rows
        .first()
        .ok_or_else(|| incomplete("a batch's outcome"))?;
    let row = Reader::new(row, Of::Batch);
    let mut committed = vec![false; count];
    for ord in row
        .get::<Option<Vec<i64>>>("committed")?
        .into_iter()
        .flatten()
    {
        let at = usize::try_from(ord.wrapping_sub(1)).ok();
        let made = at.and_then(|at| committed.get_mut(at));
        *made.ok_or_else(|| row.corrupt("committed"))? = true;
    }
    Ok(committed)
}

/// Why a commit was refused, by the agent's row as it is since.
fn judge(commit: &Commit, row: &PgRow) -> Result<AppendOutcome, Error> {
    let row = Reader::new(row, Of::Agent(&commit.id));
    let epoch = Epoch(row.number("epoch")?);
    if epoch != commit.epoch || row.incarnation("owner")?.is_none() {
        return Ok(AppendOutcome::Fenced { epoch });
    }
    let actual = Revision(row.number("revision")?);
    if actual != commit.expected {
        return Ok(AppendOutcome::Conflict { actual });
    }
    commit.check_covers(Seq(row.number("thread_len")?))?;
    // Its owner has had two commits under way, or doesn't know what it owns.
    Err(Error::new(
        ErrorKind::Unavailable,
        format!(
            "agent {} was changed while a commit of it was refused: try again",
            commit.id
        ),
    ))
}

/// What only a fault in a statement of ours could bring about.
fn incomplete(what: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("Postgres left out {what}"))
}
