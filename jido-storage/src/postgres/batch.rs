//! A batch of commits as the values of a statement: an array for each column, or its one
//! value where there is one row.

use sqlx::postgres::{PgArguments, PgHasArrayType};
use sqlx::types::Uuid;
use sqlx::{Arguments, Encode, Postgres, Type};

use super::database::unwritable;
use super::fault::Fault;
use super::json;
use super::needs::{Entries, Needs, Record, Requests};
use super::row::{clamped, compared, time};
use crate::{Commit, RequestRecord};
use jido_core::{AgentId, NewEntry, RequestId};

/// A commit of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed<'a> {
    /// Its place among the outcomes.
    pub(super) at: usize,
    /// The number of its agent's row.
    pub(super) number: i64,
    pub(super) commit: &'a Commit,
}

/// A request's number by its bits: it names one of 2^64 and is never counted on.
pub(super) fn seq_of(request: RequestId) -> i64 {
    request.seq() as i64
}

fn client_of(request: RequestId) -> Uuid {
    Uuid::from_u128(request.client())
}

/// The values of an append, of commits of different agents, in the order in which their
/// rows are to be locked.
pub(super) fn arguments_of(
    batch: &[Placed<'_>],
    needs: Needs,
    with_json: bool,
) -> Result<PgArguments, Fault> {
    let mut values = Values {
        single: needs.single,
        arguments: PgArguments::default(),
    };
    let managers = Managers::of(batch);
    values.array(managers.names.iter().map(|id| id.cluster.as_str()))?;
    values.array(managers.names.iter().map(|id| id.manager.as_str()))?;
    values.commits(batch)?;
    values.column(&managers.of_commits, |manager| *manager)?;
    if needs.record >= Record::Saved {
        values.saved(batch)?;
    }
    if needs.record >= Record::RarelySet {
        values.rarely_set(batch)?;
    }
    if needs.entries > Entries::None {
        let rows = of_commits(batch, |commit| &commit.entries);
        values.entries(&rows)?;
        if needs.entries == Entries::Described {
            values.described(&rows, with_json)?;
        }
    }
    if needs.requests == Requests::Forgotten {
        values.forgotten(&of_commits(batch, |commit| &commit.forget))?;
    }
    if needs.requests > Requests::None {
        values.requests(&of_commits(batch, |commit| &commit.requests))?;
    }
    Ok(values.arguments)
}

/// The managers of a batch's agents, each once: most often there is one.
struct Managers<'a> {
    /// One agent of each.
    names: Vec<&'a AgentId>,
    /// Which of them is each commit's, counted from 1 as the statement does.
    of_commits: Vec<i32>,
}

impl<'a> Managers<'a> {
    fn of(batch: &[Placed<'a>]) -> Self {
        let mut managers = Self {
            names: Vec::new(),
            of_commits: Vec::with_capacity(batch.len()),
        };
        let mut count = 0;
        for Placed { commit, .. } in batch {
            let id = &commit.id;
            // They come in the order of their ids.
            let same = |last: &&AgentId| last.cluster == id.cluster && last.manager == id.manager;
            if !managers.names.last().is_some_and(same) {
                managers.names.push(id);
                count += 1;
            }
            managers.of_commits.push(count);
        }
        managers
    }
}

/// Values, in the order in which the statement has them.
struct Values {
    /// Whether the statement has one row of everything.
    single: bool,
    arguments: PgArguments,
}

impl Values {
    fn add<'t, T>(&mut self, value: T) -> Result<(), Fault>
    where
        T: Encode<'t, Postgres> + Type<Postgres>,
    {
        self.arguments.add(value).map_err(|_| unwritable())
    }

    fn array<'t, T>(&mut self, values: impl Iterator<Item = T>) -> Result<(), Fault>
    where
        T: Encode<'t, Postgres> + Type<Postgres> + PgHasArrayType,
    {
        self.add(values.collect::<Vec<_>>())
    }

    /// One column of rows.
    fn column<'r, 't, R, T>(
        &mut self,
        rows: &'r [R],
        value: impl Fn(&'r R) -> T,
    ) -> Result<(), Fault>
    where
        T: Encode<'t, Postgres> + Type<Postgres> + PgHasArrayType,
    {
        match rows {
            [row] if self.single => self.add(value(row)),
            _ => self.array(rows.iter().map(value)),
        }
    }

    fn commits(&mut self, batch: &[Placed<'_>]) -> Result<(), Fault> {
        self.column(batch, |placed| placed.number)?;
        self.column(batch, |Placed { commit, .. }| commit.id.key.as_str())?;
        self.column(batch, |Placed { commit, .. }| compared(commit.epoch.0))?;
        self.column(batch, |Placed { commit, .. }| compared(commit.expected.0))?;
        self.column(batch, |Placed { commit, .. }| {
            i64::from(commit.advances_revision())
        })?;
        self.column(batch, |Placed { commit, .. }| time(commit.at))?;
        self.column(batch, |Placed { commit, .. }| length(commit.entries.len()))
    }

    fn saved(&mut self, batch: &[Placed<'_>]) -> Result<(), Fault> {
        self.column(batch, |Placed { commit, .. }| {
            commit.checkpoint.as_ref().map(|one| &*one.state)
        })?;
        self.column(batch, |Placed { commit, .. }| {
            commit.checkpoint.as_ref().map(|one| clamped(one.covers.0))
        })?;
        self.column(batch, |Placed { commit, .. }| {
            commit.forget_before.map(time)
        })
    }

    fn rarely_set(&mut self, batch: &[Placed<'_>]) -> Result<(), Fault> {
        let metadata = batch
            .iter()
            .map(|Placed { commit, .. }| json::of_pairs(&commit.thread_metadata))
            .collect::<Result<Vec<_>, _>>()?;
        self.column(batch, |Placed { commit, .. }| commit.erase.checkpoint)?;
        self.column(batch, |Placed { commit, .. }| commit.erase.thread)?;
        self.column(&metadata, |json| json.as_deref())?;
        self.column(batch, |Placed { commit, .. }| commit.reminders.is_some())?;
        self.column(batch, |Placed { commit, .. }| {
            let reminders = commit.reminders.as_ref()?;
            reminders.wake_at.map(time)
        })?;
        self.column(batch, |Placed { commit, .. }| {
            let reminders = commit.reminders.as_ref()?;
            Some(&*reminders.list).filter(|list| !list.is_empty())
        })?;
        self.column(batch, |Placed { commit, .. }| commit.release)
    }

    fn entries(&mut self, rows: &[Brought<'_, NewEntry>]) -> Result<(), Fault> {
        self.column(rows, |row| row.commit)?;
        self.column(rows, |row| row.place)?;
        self.column(rows, |row| &*row.of.kind)?;
        self.column(rows, |row| time(row.of.at))?;
        self.column(rows, |row| &*row.of.payload)
    }

    fn described(&mut self, rows: &[Brought<'_, NewEntry>], with_json: bool) -> Result<(), Fault> {
        let refs = rows
            .iter()
            .map(|row| json::of_refs(&row.of.refs))
            .collect::<Result<Vec<_>, _>>()?;
        self.column(rows, |row| {
            with_json
                .then(|| json::of_payload(&row.of.payload))
                .flatten()
        })?;
        self.column(&refs, |json| json.as_deref())
    }

    fn forgotten(&mut self, rows: &[Brought<'_, RequestId>]) -> Result<(), Fault> {
        self.column(rows, |row| row.commit)?;
        self.column(rows, |row| client_of(*row.of))?;
        self.column(rows, |row| seq_of(*row.of))
    }

    fn requests(&mut self, rows: &[Brought<'_, RequestRecord>]) -> Result<(), Fault> {
        self.column(rows, |row| row.commit)?;
        self.column(rows, |row| client_of(row.of.request))?;
        self.column(rows, |row| seq_of(row.of.request))?;
        self.column(rows, |row| time(row.of.issued_at))?;
        self.column(rows, |row| &*row.of.reply)
    }
}

/// One of several things that a commit brings.
struct Brought<'a, T> {
    /// Which of the batch's commits brings it, counted from 1 as the statement does.
    commit: i64,
    /// Its place among what the commit brings, from 0.
    place: i64,
    of: &'a T,
}

/// What commits bring, those of one commit in their order.
fn of_commits<'a, T>(
    batch: &[Placed<'a>],
    brought: impl Fn(&'a Commit) -> &'a [T],
) -> Vec<Brought<'a, T>> {
    let mut rows = Vec::new();
    for (commit, one) in (1..).zip(batch) {
        let of_one = (0..).zip(brought(one.commit));
        rows.extend(of_one.map(|(place, of)| Brought { commit, place, of }));
    }
    rows
}

/// How many there are: they are in memory, so it fits.
fn length(count: usize) -> i64 {
    clamped(count as u64)
}

#[cfg(test)]
mod tests;
