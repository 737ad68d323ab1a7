//! Which rows are agents': by its number one is found for a fraction of what its names cost.

use std::fmt;
use std::sync::Arc;

use jido_core::AgentId;
use quick_cache::sync::Cache;

use super::database::Database;
use super::lookup::rows_of;
use super::row::{Of, Reader};
use crate::Error;

/// Agents whose numbers are kept at the most, those that are used: some 30 MB. Those of
/// others are asked for with each of their commits.
const KEPT: usize = 256 * 1024;

/// What an agent without a row has: no row has it.
const NONE: i64 = -1;

/// The numbers of agents' rows, of those that this node owns or did not long ago. A row's
/// number never changes, unless the database is replaced under its nodes: so whoever uses
/// one looks whether the row is the agent's, and what turns out to be wrong is asked for anew.
#[derive(Clone)]
pub(super) struct Numbers(Arc<Cache<AgentId, i64>>);

impl Numbers {
    pub(super) fn new() -> Self {
        Self(Arc::new(Cache::new(KEPT)))
    }

    pub(super) fn learn(&self, id: &AgentId, number: i64) {
        self.0.insert(id.clone(), number);
    }

    pub(super) fn forget(&self, id: &AgentId) {
        self.0.remove(id);
    }

    /// The number of each agent, asking the database for those that are not known.
    pub(super) async fn of(
        &self,
        database: &Database,
        ids: &[&AgentId],
    ) -> Result<Vec<i64>, Error> {
        let mut numbers: Vec<i64> = Vec::with_capacity(ids.len());
        let mut unknown = Vec::new();
        for id in ids {
            let known = self.0.get(*id);
            if known.is_none() {
                unknown.push((numbers.len(), *id));
            }
            numbers.push(known.unwrap_or(NONE));
        }
        if unknown.is_empty() {
            return Ok(numbers);
        }
        let asked: Vec<&AgentId> = unknown.iter().map(|(_, id)| *id).collect();
        for ((at, id), row) in unknown.into_iter().zip(rows_of(database, &asked).await?) {
            let Some(row) = row else { continue };
            let number = Reader::new(&row, Of::Agent(id)).get("id")?;
            self.learn(id, number);
            numbers[at] = number;
        }
        Ok(numbers)
    }
}

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Numbers")
            .field("kept", &self.0.len())
            .finish_non_exhaustive()
    }
}
