//! A batch of commits as the values of a statement: an array for each column.

use sqlx::postgres::{PgArguments, PgHasArrayType};
use sqlx::types::Uuid;
use sqlx::{Arguments, Encode, Postgres, Type};

use super::database::unwritable;
use super::fault::Fault;
use super::json;
use super::row::{clamped, compared, time};
use super::statement::Needs;
use crate::Commit;
use jido_core::{AgentId, RequestId};

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
    let mut values = Values::default();
    let managers = Managers::of(batch);
    values.column(&managers.names, |id| id.cluster.as_str())?;
    values.column(&managers.names, |id| id.manager.as_str())?;
    values.commits(batch)?;
    values.add(managers.of_commits)?;
    if needs.rarely_set {
        values.rarely_set(batch)?;
    }
    if needs.entries {
        values.entries(batch, with_json)?;
    }
    if needs.requests {
        values.requests(batch)?;
    }
    Ok(values.0)
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
#[derive(Default)]
struct Values(PgArguments);

impl Values {
    fn add<'t, T>(&mut self, value: T) -> Result<(), Fault>
    where
        T: Encode<'t, Postgres> + Type<Postgres>,
    {
        self.0.add(value).map_err(|_| unwritable())
    }

    /// One column of rows.
    fn column<'t, R: Copy, T>(&mut self, rows: &[R], value: impl Fn(R) -> T) -> Result<(), Fault>
    where
        T: Encode<'t, Postgres> + Type<Postgres> + PgHasArrayType,
    {
        self.add(rows.iter().map(|row| value(*row)).collect::<Vec<_>>())
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
        self.column(batch, |Placed { commit, .. }| length(commit.entries.len()))?;
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
        self.add(metadata)?;
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

    fn entries(&mut self, batch: &[Placed<'_>], with_json: bool) -> Result<(), Fault> {
        let rows = of_commits(batch, |commit| &commit.entries);
        let payloads_json: Vec<_> = rows
            .iter()
            .map(|row| {
                with_json
                    .then(|| json::of_payload(&row.of.payload))
                    .flatten()
            })
            .collect();
        let refs = rows
            .iter()
            .map(|row| json::of_refs(&row.of.refs))
            .collect::<Result<Vec<_>, _>>()?;
        self.column(&rows, |row| row.commit)?;
        self.column(&rows, |row| row.place)?;
        self.column(&rows, |row| &*row.of.kind)?;
        self.column(&rows, |row| time(row.of.at))?;
        self.column(&rows, |row| &*row.of.payload)?;
        self.add(payloads_json)?;
        self.add(refs)
    }

    fn requests(&mut self, batch: &[Placed<'_>]) -> Result<(), Fault> {
        let rows = of_commits(batch, |commit| &commit.forget);
        self.column(&rows, |row| row.commit)?;
        self.column(&rows, |row| client_of(*row.of))?;
        self.column(&rows, |row| seq_of(*row.of))?;
        let rows = of_commits(batch, |commit| &commit.requests);
        self.column(&rows, |row| row.commit)?;
        self.column(&rows, |row| client_of(row.of.request))?;
        self.column(&rows, |row| seq_of(row.of.request))?;
        self.column(&rows, |row| time(row.of.issued_at))?;
        self.column(&rows, |row| &*row.of.reply)
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

impl<T> Clone for Brought<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Brought<'_, T> {}

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
mod tests {
    use super::*;
    use jido_core::{AgentId, AgentKey, ClusterName, Epoch, ManagerName, Revision, Timestamp};

    #[test]
    fn every_statement_gets_as_many_values_as_it_has() {
        let id = AgentId::new(
            ClusterName::new("c").unwrap(),
            ManagerName::new("m").unwrap(),
            AgentKey::new("k").unwrap(),
        );
        let commit = Commit::new(id, Epoch(1), Revision(0), Timestamp(1));
        let placed = Placed {
            at: 0,
            number: 1,
            commit: &commit,
        };
        let mut statements = std::collections::BTreeSet::new();
        for needs in Needs::all() {
            let sql = needs.statement();
            let count = arguments_of(&[placed], needs, false).unwrap().len();
            assert!(sql.contains(&format!("${count}::")), "{needs:?}: {sql}");
            assert!(
                !sql.contains(&format!("${}", count + 1)),
                "{needs:?}: {sql}"
            );
            assert!(!sql.contains('{'), "{needs:?}: {sql}");
            statements.insert(sql);
        }
        assert_eq!(statements.len(), 16);
    }
}
