//! The rows of many agents.

use jido_core::AgentId;
use sqlx::postgres::PgRow;

use super::database::{Database, arguments};
use super::row::{Of, Reader};
use crate::Error;

/// Agents that one statement looks up at the most: what it holds is bounded by it.
const LOOKUPS: usize = 1024;

/// The row of each agent, of deleted ones too, in the order asked for; a statement for every
/// [`LOOKUPS`] of them.
pub(super) async fn rows_of(
    database: &Database,
    ids: &[&AgentId],
) -> Result<Vec<Option<PgRow>>, Error> {
    let mut rows = Vec::with_capacity(ids.len());
    for ids in ids.chunks(LOOKUPS) {
        let texts = |of: fn(&AgentId) -> &str| ids.iter().map(|id| of(id)).collect::<Vec<_>>();
        let answer = database
            .run(
                include_str!("sql/heads.sql"),
                arguments!(
                    texts(|id| id.cluster.as_str()),
                    texts(|id| id.manager.as_str()),
                    texts(|id| id.key.as_str()),
                )?,
            )
            .await?;
        let mut found: Vec<Option<PgRow>> = Vec::new();
        found.resize_with(ids.len(), || None);
        for row in answer {
            let reader = Reader::new(&row, Of::Lookups);
            let at = usize::try_from(reader.number("ord")?.wrapping_sub(1)).ok();
            let Some(place) = at.and_then(|at| found.get_mut(at)) else {
                return Err(reader.corrupt("ord"));
            };
            *place = Some(row);
        }
        rows.append(&mut found);
    }
    Ok(rows)
}
